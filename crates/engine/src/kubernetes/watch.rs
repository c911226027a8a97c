//! Which tasks change, by watches on our Jobs, Deployments and pods in each tenant's namespace. Namespaces that come and go are watched too.

use super::{Options, failed, names, namespaces};
use crate::Error;
use futures::{
    FutureExt, StreamExt,
    stream::{AbortHandle, SelectAll, abortable},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{Namespace, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    runtime::watcher::{self, Event, watcher},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

type Stream<T> = Pin<Box<dyn futures::Stream<Item = Result<T, watcher::Error>> + Send>>;
type Changes = Stream<Option<String>>;

/// Until a namespace is asked again that is closed to us: a new one, to which our rights are given next, or one that goes.
const CLOSED: Duration = Duration::from_secs(1);

/// Seconds after which a watch is asked for anew: one that the network has swallowed is noticed a moment later.
const RENEWED: u32 = 60;
/// Until an API server that says nothing in a watch, or to the list that begins it, is away.
pub(super) const SILENCE: Duration = Duration::from_secs(90);

/// After trouble it ends with an error: whoever watches begins anew, and looks at everything then. What is there when it begins is told too.
pub struct Watch {
    client: Client,
    options: Arc<Options>,
    namespaces: Stream<Event<PartialObjectMeta<Namespace>>>,
    changes: SelectAll<Changes>,
    /// What ends the watches in a namespace.
    watched: BTreeMap<String, [AbortHandle; 3]>,
    /// While all namespaces are told anew: those that were.
    told: BTreeSet<String>,
}

impl Watch {
    pub(super) fn begin(client: &Client, options: Arc<Options>) -> Self {
        let tenants = watcher::Config::default().timeout(RENEWED).labels(&namespaces::selector());
        let namespaces = watcher(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), tenants);
        Self {
            client: client.clone(),
            options,
            namespaces: Box::pin(namespaces),
            changes: SelectAll::new(),
            watched: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    pub async fn next(&mut self) -> Result<BTreeSet<String>, Error> {
        let mut names = BTreeSet::new();
        while names.is_empty() {
            tokio::select! {
                event = self.namespaces.next() => {
                    let ended = || Error::Away { doing: "watching the tasks".into(), said: "the watch has ended".into() };
                    self.follow(event.ok_or_else(ended)?.map_err(trouble)?);
                }
                Some(change) = self.changes.next(), if !self.changes.is_empty() => {
                    names.extend(change.map_err(trouble)?);
                    // What came together is told together.
                    while let Some(Some(change)) = self.changes.next().now_or_never() {
                        names.extend(change.map_err(trouble)?);
                    }
                }
            }
        }
        Ok(names)
    }

    fn follow(&mut self, event: Event<PartialObjectMeta<Namespace>>) {
        match event {
            Event::Init => self.told.clear(),
            Event::InitApply(o) => {
                self.told.extend(o.metadata.name.clone());
                self.watch(&o.metadata);
            }
            // What went while nobody listened.
            Event::InitDone => {
                let gone: Vec<_> = self.watched.keys().filter(|name| !self.told.contains(*name)).cloned().collect();
                gone.iter().for_each(|name| self.unwatch(name));
            }
            Event::Apply(o) => self.watch(&o.metadata),
            Event::Delete(o) => self.unwatch(o.metadata.name.as_deref().unwrap_or_default()),
        }
    }

    fn watch(&mut self, namespace: &ObjectMeta) {
        let Some(name) = namespace.name.as_deref().filter(|name| self.options.is_ours(name)) else { return };
        if self.watched.contains_key(name) {
            return;
        }
        let of_kinds = [changes::<Job>(&self.client, name), changes::<Deployment>(&self.client, name), changes::<Pod>(&self.client, name)];
        let ends = of_kinds.map(|changes| {
            let (changes, end) = abortable(changes);
            self.changes.push(Box::pin(changes));
            end
        });
        self.watched.insert(name.to_owned(), ends);
    }

    fn unwatch(&mut self, namespace: &str) {
        self.watched.remove(namespace).iter().flatten().for_each(AbortHandle::abort);
    }
}

fn trouble(e: watcher::Error) -> Error {
    let doing = "watching the tasks";
    match e {
        watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e) | watcher::Error::WatchFailed(e) => failed(doing)(e),
        other => Error::Away { doing: doing.into(), said: other.to_string() },
    }
}

/// The names of the tasks whose objects of one kind change. Only what names them is sent, not the objects.
fn changes<K>(client: &Client, namespace: &str) -> Changes
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + serde::de::DeserializeOwned + Debug + Send + 'static,
{
    let ours = watcher::Config::default().timeout(RENEWED).labels(&names::all());
    let stream = watcher(Api::<PartialObjectMeta<K>>::namespaced(client.clone(), namespace), ours);
    Box::pin(stream.then(|event| async move {
        match event {
            Ok(Event::Apply(o) | Event::Delete(o) | Event::InitApply(o)) => Ok(super::label(&o.metadata, names::TASK)),
            Ok(Event::Init | Event::InitDone) => Ok(None),
            // The watcher itself asks again.
            Err(e) if is_closed(&e) => {
                tokio::time::sleep(CLOSED).await;
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }))
}

fn is_closed(e: &watcher::Error) -> bool {
    match e {
        watcher::Error::InitialListFailed(kube::Error::Api(s)) | watcher::Error::WatchStartFailed(kube::Error::Api(s)) => s.is_forbidden(),
        watcher::Error::WatchError(s) => s.is_forbidden(),
        _ => false,
    }
}
