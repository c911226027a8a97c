//! Which tasks change, by watches on our Jobs, Deployments and pods in all namespaces.

use super::{Options, failed, names};
use crate::Error;
use futures::{FutureExt, StreamExt, stream::SelectAll};
use k8s_openapi::{
    api::{apps::v1::Deployment, batch::v1::Job, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    runtime::watcher::{self, Event, watcher},
};
use std::{collections::BTreeSet, fmt::Debug, pin::Pin, sync::Arc};

type Changes = Pin<Box<dyn futures::Stream<Item = Result<Option<String>, watcher::Error>> + Send>>;

/// After trouble it ends with an error: whoever watches begins anew, and looks at everything then. What is there when it begins is told too.
pub struct Watch {
    changes: SelectAll<Changes>,
}

impl Watch {
    pub(super) fn begin(client: &Client, options: Arc<Options>) -> Self {
        let changes =
            [changes::<Job>(client, options.clone()), changes::<Deployment>(client, options.clone()), changes::<Pod>(client, options)];
        Self { changes: futures::stream::select_all(changes) }
    }

    pub async fn next(&mut self) -> Result<BTreeSet<String>, Error> {
        let mut names = BTreeSet::new();
        while names.is_empty() {
            let mut seen = self.changes.next().await;
            if seen.is_none() {
                return Err(Error::Away { doing: "watching the tasks".into(), said: "the watch has ended".into() });
            }
            // What came together is told together.
            while let Some(change) = seen {
                names.extend(change.map_err(trouble)?);
                seen = self.changes.next().now_or_never().flatten();
            }
        }
        Ok(names)
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
fn changes<K>(client: &Client, options: Arc<Options>) -> Changes
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + Debug + Send + 'static,
{
    let ours = watcher::Config::default().labels(&names::all());
    let stream = watcher(Api::<PartialObjectMeta<K>>::all(client.clone()), ours);
    Box::pin(stream.map(move |event| {
        event.map(|event| match event {
            Event::Apply(o) | Event::Delete(o) | Event::InitApply(o) => task_of(&o.metadata, &options),
            Event::Init | Event::InitDone => None,
        })
    }))
}

fn task_of(meta: &ObjectMeta, options: &Options) -> Option<String> {
    options.is_ours(meta.namespace.as_deref()?).then(|| super::label(meta, names::TASK)).flatten()
}
