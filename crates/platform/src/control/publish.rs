//! Makes a model version of what a run left: copies and checks the files, then registers everything in one transaction.
//! May run any number of times: the version's id comes from the run's, and a run makes one version.

use super::{Halt, Leader, failing::fail, output};
use crate::{
    audit,
    blobs::BlobError,
    cards::{self, Evidence},
    models,
    problem::Doing,
    store::models::InsertVersion,
};
use domain::{
    artefacts,
    audit::Detail,
    base_model::StoredFile,
    ids::{ModelId, ModelVersionId},
    problem::Problem,
    reason::failure::{Cause, Failure},
    run::{EvaluatedRow, Reason, Run, StepId},
};
use futures::TryStreamExt;

/// `weights`: the step whose files it becomes. `evaluation`: the step with the answers to the held-out rows, if it had any to ask.
pub(super) async fn publish(leader: &Leader, run: &Run, unit: &StepId, weights: &StepId, evaluation: Option<&StepId>) -> Result<(), Halt> {
    let (platform, store) = (&leader.platform, leader.platform.store());
    let results = store.run_results(&run.tenant, run.id).await.doing("reading a run’s results")?;
    let outcome = |step: &StepId| run.step(step).and_then(|s| results.get(s.unit().as_str()));
    let files = outcome(weights).map(|o| o.files.clone()).unwrap_or_default();
    if files.is_empty() {
        return lost(leader, run, unit, Cause::OutputMissing { file: None }).await;
    }
    let from = artefacts::run_output(&run.tenant, run.id, &run.folder_of(weights));
    let version = ModelVersionId::from_uuid(run.id.uuid());
    for file in &files {
        let to = artefacts::model_version(&run.tenant, version);
        if let Err(cause) = copy(leader, &from, &to, file).await? {
            return lost(leader, run, unit, cause).await;
        }
    }
    let rows = match evaluation.filter(|step| outcome(step).is_some()) {
        Some(step) => match evaluated_rows(leader, run, step).await? {
            Ok(rows) => rows,
            Err(cause) => return lost(leader, run, unit, cause).await,
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
    if !rows.is_empty() {
        // Before the version, beside the line: whoever is killed between the two writes the same rows again.
        let mut tx = leader.beside().await?;
        tx.put_evaluated(&run.tenant, run.id, &rows).await.doing("writing the evaluated rows")?;
        tx.commit().await.doing("writing the evaluated rows")?;
    }

    let mut tx = leader.begin().await?;
    let Some(mut now) = tx.run(&run.tenant, run.id).await.doing("reading a run")? else { return Ok(()) };
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
        kind: now.weights_of(weights),
        digest: &digest,
        files: &files,
        run: now.id,
        card: &card,
        author: now.owner,
        created_at: at,
    };
    tx.insert_version(row).await.doing("registering the model version")?;
    let reason = Reason::Published { model: now.model_name.clone(), number, files: files.len() as u64 };
    if now.published(unit, version, reason, at).is_err() {
        return Ok(());
    }
    tx.save_run(&now).await.doing("writing the run")?;
    let mut entry =
        audit::by_system(at, Some(&now.tenant), "model.publish", "model_version", version, format!("{} v{number}", now.model_name));
    entry.detail = Detail::ModelPublished { run: now.name.clone(), digest: digest.clone() };
    audit::append(&mut tx, entry).await.doing("writing the audit record")?;
    tx.commit().await.doing("registering the model version")?;
    // A slot is free.
    Ok(())
}

/// Copies one file and checks what arrived against the digest that the task computed. The inner error is why the step fails.
async fn copy(leader: &Leader, from: &str, to: &str, file: &StoredFile) -> Result<Result<(), Cause>, Halt> {
    let blobs = leader.platform.blobs();
    let (from, to) = (format!("{from}/{}", file.path), format!("{to}/{}", file.path));
    match blobs.copy(&from, &to).await {
        Ok(()) => {}
        Err(BlobError::Missing { .. } | BlobError::BadPath { .. }) => {
            return Ok(Err(Cause::OutputMissing { file: Some(file.path.clone()) }));
        }
        Err(e) => return Err(Err::<(), _>(e).doing("copying a model file").map_or_else(Halt::from, |()| Halt::LeaseLost)),
    }
    let mut stream = blobs.stream(&to).await.doing("reading a model file")?;
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
    while let Some(part) = stream.try_next().await.doing("reading a model file")? {
        hasher.update(&part);
        bytes += part.len() as u64;
    }
    if bytes != file.bytes || hasher.finalize().to_hex().as_str() != file.digest {
        return Ok(Err(Cause::OutputAltered { file: file.path.clone() }));
    }
    Ok(Ok(()))
}

async fn evaluated_rows(leader: &Leader, run: &Run, step: &StepId) -> Result<Result<Vec<EvaluatedRow>, Cause>, Halt> {
    let path = artefacts::run_evaluated_rows(&run.tenant, run.id, &run.folder_of(step));
    let Some(bytes) = leader.platform.blobs().bytes_if_any(&path).await.doing("reading the evaluated rows")? else {
        return Ok(Err(Cause::EvaluatedRowsMissing));
    };
    let clean = |row: EvaluatedRow| EvaluatedRow {
        row: row.row,
        line: row.line,
        prompt: output::clean(&row.prompt),
        expected: output::clean(&row.expected),
        base: output::clean(&row.base),
        tuned: output::clean(&row.tuned),
        base_right: row.base_right,
        tuned_right: row.tuned_right,
    };
    let lines = bytes.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty());
    let rows: Result<Vec<EvaluatedRow>, _> = lines.map(|line| serde_json::from_slice(line).map(clean)).collect();
    Ok(rows.map_err(|e| Cause::EvaluatedRowsUnreadable { error: e.to_string() }))
}

async fn lost(leader: &Leader, run: &Run, unit: &StepId, cause: Cause) -> Result<(), Halt> {
    fail(leader.begin().await?, run, unit, Failure::of(cause)).await
}
