//! An endpoint: what is wanted of it, what it is, what its servers said, and what the engine sees of them.

use super::{Asked, Body, Piece, Support, not_found, run::level, tasks::Task, value};
use crate::{
    control::tasks,
    store::{Store, endpoints::EndpointRecord},
};
use domain::{endpoint::EndpointLogLine, name::Name, problem::Problem, time::Timestamp};
use serde_json::json;

impl Support {
    pub(super) async fn of_endpoint(&self, tenant: &Name, name: &Name, asked: &Asked) -> Result<Vec<Piece>, Problem> {
        let record = match self.endpoint(tenant, name).await {
            Ok(Some(record)) => record,
            Ok(None) => {
                return Err(not_found(
                    format!("The tenant {tenant} has no endpoint {name}, or there is no such tenant."),
                    "`atelier tenant list` names the tenants.",
                ));
            }
            Err(why) => {
                let files = ["endpoint.json", "log.txt", "events.json", "audit.json"];
                let mut pieces: Vec<_> = files.map(|file| Piece::missing(file, &why)).into();
                // Its tasks are named by its id, which only the database knows.
                pieces.extend(self.tasks_unknown("ep-").await);
                return Ok(pieces);
            }
        };
        let id = record.endpoint.id;
        let mut pieces = vec![Piece::json("endpoint.json", told(&record))];
        let lines = async |store: &Store| store.newest_endpoint_lines(tenant, id, asked.log_lines).await;
        pieces.push(self.read("log.txt", lines, |lines: Vec<EndpointLogLine>| Body::Text(lines.iter().map(line).collect())).await);
        pieces.push(self.events(tenant, &id.to_string(), asked.audit).await);
        pieces.push(self.audit(Some(id.to_string()), asked.audit).await);
        // Of somebody else's server there is no task.
        if record.endpoint.external.is_none() {
            let server = Task { name: tasks::endpoint_task(id, record.launch), read_to: Some(record.output) };
            pieces.extend(self.tasks_of(tenant, &tasks::endpoint_prefix(id), vec![server]).await);
        }
        Ok(pieces)
    }

    async fn endpoint(&self, tenant: &Name, name: &Name) -> Result<Option<EndpointRecord>, String> {
        let store = self.store.as_ref().map_err(Clone::clone)?;
        let found = store.endpoint_by_name(tenant, name).await;
        found.map_err(|e| format!("The database does not tell: {}.", domain::causes::in_words(&e)))
    }
}

/// Not the key of somebody else's server, sealed or not.
fn told(record: &EndpointRecord) -> serde_json::Value {
    let e = &record.endpoint;
    json!({
        "endpoint": value(e),
        "said": e.reason.said(),
        "created_at": e.created_at.rfc3339(),
        "ready_at": e.ready_at.map(Timestamp::rfc3339),
        "launch": record.launch,
        "max_lora_rank": record.max_lora_rank,
        "not_started_again_before": record.retry_at.map(Timestamp::rfc3339),
        "addresses": e.addresses,
        "has_a_key_of_the_server": record.sealed_key.is_some(),
    })
}

fn line(l: &EndpointLogLine) -> String {
    format!("{} {} {}\n", l.at.rfc3339(), level(l.level), l.text)
}
