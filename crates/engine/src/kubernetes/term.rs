//! Which leader may change something: the highest term that was begun is kept in an object of the platform's namespace, and looked at
//! right before each change.
//!
//! What this leaves open, and on one machine is not: look and change are two calls. A leader that freezes exactly between them, for longer
//! than its successor needs to begin, makes one change when it thaws. That change is to an object with a name and a hash from our
//! rows: a Job that is made late is one that was wanted when it was decided, and whoever leads finds it by its name, adopts or ends it;
//! a stop or a removal that comes late is of a task that was to end. Two of one task cannot come of it: names are taken once.

use super::{KubernetesEngine, failed, names::FIELD_MANAGER, typed};
use crate::Error;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

/// What holds the highest term.
pub const OBJECT: &str = "atelier-term";
const KEY: &str = "term";

/// The term that the object says.
pub(super) fn of(object: &ConfigMap) -> Option<i64> {
    object.data.as_ref()?.get(KEY)?.parse().ok()
}

impl KubernetesEngine {
    /// Refuses whoever's term is over; the first look of a term ends all earlier ones.
    pub(super) async fn may_write(&self) -> Result<(), Error> {
        let Some(mine) = self.term else { return Ok(()) };
        let doing = || failed("looking at the term of leadership");
        let maps: Api<ConfigMap> = self.api(&self.options.platform_namespace);
        loop {
            let seen = maps.get_opt(OBJECT).await.map_err(doing())?;
            let known = seen.as_ref().and_then(of);
            match known {
                Some(current) if current > mine => return Err(Error::Outdated { mine, current }),
                Some(current) if current == mine => return Ok(()),
                _ => {}
            }
            let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
            let written = match seen {
                // With the version that was read: whoever else writes meanwhile makes this one fail, and look again.
                Some(mut object) => {
                    object.data.get_or_insert_default().insert(KEY.into(), mine.to_string());
                    maps.replace(OBJECT, &params, &object).await
                }
                None => maps.create(&params, &self.term_object(mine)?).await,
            };
            match written {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(s)) if s.is_conflict() || s.is_already_exists() => {}
                Err(kube::Error::Api(s)) if s.is_not_found() => self.make_platform_namespace().await?,
                Err(e) => return Err(doing()(e)),
            }
        }
    }

    fn term_object(&self, term: i64) -> Result<ConfigMap, Error> {
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": OBJECT, "namespace": self.options.platform_namespace },
            "data": { KEY: term.to_string() },
        });
        typed(object, "noting the term of leadership")
    }

    /// Where the portal runs outside of the cluster, nobody else has made it.
    async fn make_platform_namespace(&self) -> Result<(), Error> {
        let name = &self.options.platform_namespace;
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let done = namespaces.patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(object)).await;
        done.map(drop).map_err(failed(format!("making the namespace {name}")))
    }
}
