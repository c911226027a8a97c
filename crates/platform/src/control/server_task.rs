//! The task that the server of an endpoint is, by the settings as they are; and having the engine change one that runs.

use super::{
    Halt, Leader, places,
    tasks::{self, TaskBuilder},
};
use crate::{problem::Doing, store::endpoints::EndpointRecord};
use domain::{base_model::StoredFile, ids::ModelVersionId, name::Name, problem::Problem, run::LogLevel};
use engine::{Error as EngineError, Observation, Task};

pub(super) async fn needed_rank(leader: &Leader, record: &EndpointRecord) -> Result<u32, Halt> {
    if record.endpoint.merged_version.is_some() {
        return Ok(0);
    }
    let mut ranks = Vec::new();
    for a in &record.endpoint.attachments {
        let version = leader.platform.store().model_version(&record.endpoint.tenant, a.version).await.doing("reading a model version")?;
        ranks.extend(version.map(|v| v.settings.lora_rank()));
    }
    Ok(tasks::max_lora_rank(ranks))
}

/// What the engine is asked for, by the settings as they are.
pub(super) async fn task_of(leader: &Leader, record: &EndpointRecord) -> Result<Task, Halt> {
    let e = &record.endpoint;
    let base = match &e.base {
        Some(base) => leader.platform.store().base_model(base.id).await.doing("reading the base model")?,
        None => None,
    };
    let base = base.ok_or_else(|| Problem::not_found("The base model"))?;
    let tasks = TaskBuilder { location: leader.platform.location(), limits: leader.platform.task_limits() };
    let files = match e.merged_version {
        Some(version) => files_of(leader, &e.tenant, version).await?,
        None => base.files.clone(),
    };
    Ok(tasks.serve(record, &base, &files))
}

/// Has the engine replace the replicas of a server that runs, or change their number, where that is not what it is asked for now.
pub(super) async fn change(leader: &Leader, record: &EndpointRecord, seen: &Observation) -> Result<(), Halt> {
    let task = task_of(leader, record).await?;
    if (task.hash(), task.replicas) == (seen.hash.clone(), seen.wanted) {
        leader.memory(|m| m.refused.remove(&task.name));
        return Ok(());
    }
    if let Err(cause) = places::ready(leader, &record.endpoint.tenant).await? {
        return go_on_as_before(leader, record, &task.name, cause.said()).await;
    }
    match leader.effects().await?.apply(&task).await {
        Ok(()) => Ok(()),
        Err(err @ EngineError::Away { .. }) => Err::<(), _>(err).doing("changing a model server").map_err(Halt::from),
        Err(err) => go_on_as_before(leader, record, &task.name, err.to_string()).await,
    }
}

/// What runs goes on. Why, its log says once.
async fn go_on_as_before(leader: &Leader, record: &EndpointRecord, task: &str, why: String) -> Result<(), Halt> {
    if leader.memory(|m| m.refused.insert(task.to_owned(), why.clone()).as_ref() == Some(&why)) {
        return Ok(());
    }
    let e = &record.endpoint;
    tracing::error!(endpoint = %e.id, error = %why, "a model server could not be changed");
    let mut tx = leader.begin().await?;
    let line = (tx.at(), LogLevel::Error, format!("The replicas go on with the settings of before: {}.", why.trim_end_matches('.')));
    tx.append_endpoint_log(&e.tenant, e.id, &[line]).await.doing("writing a server’s log")?;
    Ok(tx.commit().await.doing("writing a server’s log")?)
}

pub(super) async fn files_of(leader: &Leader, tenant: &Name, version: ModelVersionId) -> Result<Vec<StoredFile>, Halt> {
    let version = leader.platform.store().model_version(tenant, version).await.doing("reading a model version")?;
    Ok(version.map(|v| v.files).unwrap_or_default())
}
