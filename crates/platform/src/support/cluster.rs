//! Where tasks run, as a whole: version and rights, machines, and the objects around the tasks of tenants with what was changed in them.

use super::{Piece, Subject, Support, tasks::in_time, value};
use crate::places;
use domain::{name::Name, tenant::Tenant};
use engine::{Engine, kubernetes::KubernetesEngine};
use serde_json::json;

impl Support {
    pub(super) async fn of_cluster(&self, subject: &Subject) -> Vec<Piece> {
        let cluster = match &self.engine {
            Ok(Engine::Kubernetes(cluster)) => cluster,
            Ok(Engine::Local(_)) => return Vec::new(),
            Err(why) => return vec![Piece::missing("cluster/cluster.json", why)],
        };
        let diagnosis = match in_time(cluster.diagnose()).await {
            Ok(diagnosis) => diagnosis,
            // Who does not answer is not asked for more.
            Err(why) => return ["cluster/cluster.json", "cluster/tenant-objects.json"].map(|file| Piece::missing(file, &why)).into(),
        };
        let (term, machines) = (in_time(cluster.term_of_the_cluster()).await, in_time(cluster.cluster()).await);
        let mut pieces = vec![Piece::json(
            "cluster/cluster.json",
            json!({
                "version": diagnosis.version,
                "we_may_not": diagnosis.refused,
                "term": term.as_ref().ok(),
                "machines_and_who_has_what": machines.as_ref().ok(),
            }),
        )];
        let problems = [term.err(), machines.err()].into_iter().flatten();
        pieces.extend(problems.map(|why| Piece::missing("cluster/cluster.json", why)));
        pieces.extend(self.tenant_objects(cluster, subject).await);
        pieces
    }

    async fn tenant_objects(&self, cluster: &KubernetesEngine, subject: &Subject) -> Vec<Piece> {
        let file = "cluster/tenant-objects.json";
        let tenants = match self.tenants(subject).await {
            Ok(tenants) => tenants,
            Err(why) => return vec![Piece::missing(file, why)],
        };
        let (mut told, mut pieces) = (Vec::new(), Vec::new());
        for (tenant, place) in tenants {
            match in_time(cluster.tenant_objects(&place)).await {
                Ok(objects) => told.push(json!({
                    "tenant": tenant,
                    "in_order": objects.iter().all(|o| o.refused.is_none() && !o.found.differs()),
                    "objects": value(&objects),
                })),
                Err(why) => pieces.push(Piece::missing(file, format!("{tenant}: {why}"))),
            }
        }
        pieces.insert(0, Piece::json(file, told.into()));
        pieces
    }

    /// Those that the subject is about, with what each should be given.
    async fn tenants(&self, subject: &Subject) -> Result<Vec<(Name, engine::Place)>, String> {
        let store = self.store.as_ref().map_err(Clone::clone)?;
        let found = async {
            let names = match subject {
                Subject::Platform => store.tenant_names().await?,
                Subject::Run(id) => store.tenant_of_run(*id).await?.into_iter().collect(),
                Subject::Endpoint(tenant, _) => vec![tenant.clone()],
            };
            let mut places = Vec::new();
            for name in names {
                let tenant: Option<Tenant> = store.tenant(&name).await?;
                if let Some(tenant) = tenant {
                    places.push((name, places::place(store, &self.tenant_group, &tenant).await?));
                }
            }
            Ok(places)
        };
        found.await.map_err(|e: sqlx::Error| format!("The database does not tell: {}.", domain::causes::in_words(&e)))
    }
}
