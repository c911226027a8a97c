//! Makes a model version of what a run left: copies and checks the files, then registers everything in one transaction.
//! May run any number of times: the version's id comes from the run's, and a run makes one version.

use super::{Halt, Leader, hearing, runs::finish_failed};
use crate::{
    audit,
    blobs::BlobError,
    cards::{self, Evidence},
    counted::counted,
    events, models,
    problem::Doing,
    store::models::{InsertVersion, weights_kind},
};
use domain::{
    base_model::StoredFile,
    event::Topic,
    ids::{ModelId, ModelVersionId},
    problem::Problem,
    run::{EvaluatedRow, Failure, Run, RunEvent, StepKind},
    store_location,
};
use futures::TryStreamExt;

pub(super) async fn publish(leader: &Leader, run: &Run) -> Result<(), Halt> {
    let (platform, store) = (&leader.platform, leader.platform.store());
    let results = store.run_results(&run.tenant, run.id).await.doing("reading a run’s results")?;
    let files = results.train.as_ref().map(|o| o.files.clone()).unwrap_or_default();
    if files.is_empty() {
        return lost(leader, run, "The training left no files.".into()).await;
    }
    let version = ModelVersionId::from_uuid(run.id.uuid());
    for file in &files {
        if let Err(sentence) = copy(leader, run, version, file).await? {
            return lost(leader, run, sentence).await;
        }
    }
    let rows = match results.evaluate {
        Some(_) => match evaluated_rows(leader, run).await? {
            Ok(rows) => rows,
            Err(sentence) => return lost(leader, run, sentence).await,
        },
        None => Vec::new(),
    };
    let missing = |what| Halt::Trouble(Problem::not_found(what));
    let base = store.base_model(run.base_model).await.doing("reading the base model")?.ok_or_else(|| missing("The base model"))?;
    let data = store
        .dataset_version(&run.tenant, run.dataset_version)
        .await
        .doing("reading the dataset")?
        .ok_or_else(|| missing("The dataset"))?;
    let digest = models::files_digest(&files);

    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.run(&run.tenant, run.id).await.doing("reading a run")? else { return Ok(()) };
    let Ok(state) = now.state.next(RunEvent::Published) else { return Ok(()) };
    let at = tx.at();
    let fresh = ModelId::from_uuid(platform.fresh_uuid());
    let (model, number) = tx.model_for_new_version(&now.tenant, &now.model_name, fresh, at).await.doing("registering the model")?;
    let evidence = Evidence { run: &now, base: &base, data: &data, results: &results, digest: &digest, files: &files, at };
    let card = cards::from_evidence(&evidence);
    let row = InsertVersion {
        tenant: &now.tenant,
        id: version,
        model,
        number,
        kind: weights_kind(&now.settings),
        digest: &digest,
        files: &files,
        run: now.id,
        card: &card,
        author: now.owner,
        created_at: at,
    };
    tx.insert_version(row).await.doing("registering the model version")?;
    for row in &rows {
        tx.put_evaluated(&now.tenant, now.id, row).await.doing("writing the evaluated rows")?;
    }
    now.state = state;
    now.reason = format!("Registered as {} v{number}.", now.model_name);
    now.ended_at = Some(at);
    now.model_version = Some(version);
    let said = format!("{} v{number}, candidate; {}, digests checked", now.model_name, counted(files.len() as u64, "file", "files"));
    hearing::finish(&mut now, StepKind::Publish, Some(said), at);
    tx.save_run(&now).await.doing("writing the run")?;
    let mut entry =
        audit::by_system(at, Some(&now.tenant), "model.publish", "model_version", version, format!("{} v{number}", now.model_name));
    entry.detail = format!("from run {}, digest {digest}", now.name);
    audit::append(&mut tx, entry).await.doing("writing the audit record")?;
    events::tell(&mut tx, &now.tenant, Topic::Run, now.id).await.doing("telling of the run")?;
    events::tell(&mut tx, &now.tenant, Topic::ModelVersion, version).await.doing("telling of the version")?;
    tx.commit().await.doing("registering the model version")?;
    // A slot is free.
    platform.wake();
    Ok(())
}

/// Copies one file and checks what arrived against the digest that the task computed. The inner error is a sentence for people.
async fn copy(leader: &Leader, run: &Run, version: ModelVersionId, file: &StoredFile) -> Result<Result<(), String>, Halt> {
    let blobs = leader.platform.blobs();
    let from = format!("{}/{}", store_location::run_output(&run.tenant, run.id), file.path);
    let to = format!("{}/{}", store_location::model_version(&run.tenant, version), file.path);
    match blobs.copy(&from, &to).await {
        Ok(()) => {}
        Err(BlobError::Missing { .. } | BlobError::BadPath { .. }) => {
            return Ok(Err(format!("The training said it stored “{}”, and it is not in the artefact store.", file.path)));
        }
        Err(e) => return Err(Err::<(), _>(e).doing("copying a model file").map_or_else(Halt::from, |()| Halt::Deposed)),
    }
    let mut stream = blobs.stream(&to).await.doing("reading a model file")?;
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
    while let Some(part) = stream.try_next().await.doing("reading a model file")? {
        hasher.update(&part);
        bytes += part.len() as u64;
    }
    if bytes != file.bytes || hasher.finalize().to_hex().as_str() != file.digest {
        return Ok(Err(format!("The file “{}” was changed after the training stored it: its digest differs.", file.path)));
    }
    Ok(Ok(()))
}

async fn evaluated_rows(leader: &Leader, run: &Run) -> Result<Result<Vec<EvaluatedRow>, String>, Halt> {
    let path = store_location::run_evaluated_rows(&run.tenant, run.id);
    let Some(bytes) = leader.platform.blobs().bytes_if_any(&path).await.doing("reading the evaluated rows")? else {
        return Ok(Err("The evaluation left no rows.".into()));
    };
    let clean = |row: EvaluatedRow| EvaluatedRow {
        row: row.row,
        line: row.line,
        prompt: hearing::clean(&row.prompt),
        expected: hearing::clean(&row.expected),
        base: hearing::clean(&row.base),
        tuned: hearing::clean(&row.tuned),
        base_right: row.base_right,
        tuned_right: row.tuned_right,
    };
    let lines = bytes.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty());
    let rows: Result<Vec<EvaluatedRow>, _> = lines.map(|line| serde_json::from_slice(line).map(clean)).collect();
    Ok(rows.map_err(|e| format!("The rows that the evaluation left cannot be read: {e}.")))
}

async fn lost(leader: &Leader, run: &Run, sentence: String) -> Result<(), Halt> {
    let failure = Failure {
        cause: "output_broken".into(),
        sentence,
        next_step: "Launch a clone; if it stays, whoever runs this portal must look at the artefact store.".into(),
        evidence: Vec::new(),
        exit: None,
    };
    finish_failed(leader.begin().await?, run, failure).await
}
