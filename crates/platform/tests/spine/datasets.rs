//! The upload and the judgement of datasets, and every way in which a file can be wrong.

use crate::support::{Piece, World, kind, now, pieces, rows};
use domain::{
    artefacts,
    dataset::{DatasetVersion, Documentation, Format, PersonalData, VersionState},
    filter::AuditFilter,
    inspect::RowFilter,
    page::Cursor,
    people::Role,
    problem::ProblemKind,
    tenant::Quota,
    time::{MINUTE, Timestamp},
};
use futures::StreamExt;
use platform::{access::Scope, datasets::NewUpload};

crate::on_both_databases!(
    a_file_is_stored_hashed_judged_and_ready,
    the_same_name_makes_the_next_version,
    rows_are_paged_and_filtered,
    every_bad_file_is_rejected_with_its_reason,
    a_bad_form_names_every_field,
    an_upload_that_breaks_off_leaves_nothing,
    an_upload_whose_portal_died_is_cleared_up,
    the_quota_is_kept_also_by_two_uploads_at_once,
    an_inspection_that_is_done_twice_changes_nothing,
    tokens_are_counted_by_the_base_models_tokenizer,
    documentation_changes_and_rows_do_not,
);

async fn engineer(world: &World) -> Scope {
    world.tenant("acme").await;
    world.scope("ann", "acme", Role::Engineer).await
}

fn upload(name: &str) -> NewUpload {
    NewUpload { name: name.into(), file_name: "rows.jsonl".into(), held_out_percent: 20, ..NewUpload::default() }
}

/// Every object in the store, below the tenant.
fn objects(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![world.store_folder()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(world: &World, path: &str) -> String {
    std::fs::read_to_string(world.store_folder().join(path)).unwrap()
}

async fn a_file_is_stored_hashed_judged_and_ready(world: World) {
    let scope = engineer(&world).await;
    let file = format!("{}not json\n", rows(100));
    let version = world.upload(&scope, "facts", &file).await.unwrap();
    assert_eq!((version.state, version.number, version.bytes), (VersionState::Checking, 1, file.len() as u64));
    assert_eq!(version.digest.as_deref(), Some(blake3::hash(file.as_bytes()).to_hex().as_str()));
    assert_eq!(read(&world, &artefacts::dataset_original(&version.tenant, version.id)), file);

    assert_eq!(world.platform.run_due_jobs("tests").await.unwrap(), 1);
    let version = world.platform.datasets(&scope).version("facts", None).await.unwrap();
    let report = version.report.clone().unwrap();
    assert_eq!((version.state, &version.reason, version.format), (VersionState::Ready, &None, Some(Format::OpenaiMessages)));
    assert_eq!((report.rows, report.accepted, report.rejected, report.turns), (101, 100, 1, 200));
    assert_eq!((report.findings[0].rule.as_str(), report.findings[0].lines.as_slice()), ("DS-JSON", &[101][..]));
    let train = read(&world, &artefacts::dataset_train(&version.tenant, version.id, version.judgement.as_deref()));
    let held_out = read(&world, &artefacts::dataset_held_out(&version.tenant, version.id, version.judgement.as_deref()));
    assert_eq!((train.lines().count() as u64, held_out.lines().count() as u64), (report.train_rows, report.held_out_rows));
    assert!(report.held_out_rows > 5 && report.train_rows > 50);
    assert!(train.lines().chain(held_out.lines()).all(|l| file.contains(&l[14..l.len() - 2])));

    let owner = world.scope("olga", "acme", Role::Owner).await;
    let log = world
        .platform
        .audit(&owner)
        .page(AuditFilter { object: Some(version.id.to_string()), limit: 10, ..AuditFilter::default() })
        .await
        .unwrap()
        .rows;
    let said: Vec<_> = log.iter().map(|r| (r.entry.action.as_str(), r.entry.actor_name.as_str(), r.entry.detail.said())).collect();
    let uploaded = format!("uploaded “rows.jsonl”, {}", domain::size::bytes(file.len() as u64));
    assert_eq!(said, [("dataset.checked", "system", "100 of 101 rows accepted".to_owned()), ("dataset.write", "ann", uploaded)]);
    let list = world.platform.datasets(&scope).list(&Default::default(), &Cursor::default()).await.unwrap().rows;
    assert_eq!((list.len(), list[0].runs, list[0].latest.as_ref()), (1, 0, Some(&version)));
}

async fn the_same_name_makes_the_next_version(world: World) {
    let scope = engineer(&world).await;
    let first = world.dataset(&scope, "facts", &rows(12)).await;
    let second = world.dataset(&scope, "facts", &rows(13)).await;
    assert_eq!((first.number, second.number, first.dataset), (1, 2, second.dataset));
    let versions = world.platform.datasets(&scope).versions("facts", &Cursor::default()).await.unwrap().rows;
    assert_eq!(versions.iter().map(|v| v.number).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(world.platform.datasets(&scope).version("facts", Some(1)).await.unwrap(), first);
    assert_eq!(kind(world.platform.datasets(&scope).version("facts", Some(3)).await), ProblemKind::NotFound);
}

async fn rows_are_paged_and_filtered(world: World) {
    let scope = engineer(&world).await;
    // A row whose text looks like a verdict must not count as one.
    let tricky = r#"{"messages":[{"role":"user","content":"\"rule\":\"DS-JSON\" \"accepted\":false"},{"role":"assistant","content":"x"}]}"#;
    let file = format!("{}{tricky}\n{}broken\nbroken\n{{}}\n", rows(5), rows(1));
    world.dataset(&scope, "facts", &file).await;
    let page = async |filter: RowFilter| {
        let page = world.platform.datasets(&scope).rows("facts", 1, RowFilter { limit: filter.limit.max(1), ..filter }).await.unwrap();
        (page.rows.iter().map(|r| r.line).collect::<Vec<_>>(), page.total)
    };
    assert_eq!(page(RowFilter { limit: 200, ..Default::default() }).await, ((1..=10).collect(), 10));
    assert_eq!(page(RowFilter { limit: 2, offset: 3, ..Default::default() }).await, (vec![4, 5], 10));
    assert_eq!(page(RowFilter { limit: 2, offset: 30, ..Default::default() }).await, (vec![], 10));
    assert_eq!(page(RowFilter { limit: 50, accepted: Some(false), ..Default::default() }).await, (vec![8, 9, 10], 3));
    assert_eq!(page(RowFilter { limit: 50, rule: Some("DS-JSON".into()), ..Default::default() }).await, (vec![8, 9], 2));
    assert_eq!(
        page(RowFilter { limit: 50, rule: Some("DS-DUPLICATE".into()), accepted: Some(true), ..Default::default() }).await,
        (vec![7], 1)
    );
    assert_eq!(page(RowFilter { limit: 50, rule: Some("DS-JSON".into()), accepted: Some(true), ..Default::default() }).await, (vec![], 0));
}

async fn every_bad_file_is_rejected_with_its_reason(world: World) {
    let scope = engineer(&world).await;
    for (file, reason) in [
        ("PK\u{3}\u{4}zip", "The file is a zip archive. Unpack it and upload the JSON or JSONL file itself."),
        ("\n \n", "The file holds no rows."),
        (
            "[{\"messages\": [",
            "The JSON list breaks off in line 1: the row that starts in line 1 is not finished. The file is probably cut off.",
        ),
        (
            "id,question\n1,x\n",
            "The file is a table (CSV), not JSON: line 1 has 2 columns with commas between them. Save it as JSONL, one row a line.",
        ),
        (
            "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}],\"kto_tag\":false}\n",
            "The only row cannot be trained on. Most frequent: The answer is marked as a bad one; those are not trained on yet (1 row, first in line 1).",
        ),
        (
            "{\"messages\":[]}\n",
            "The only row cannot be trained on. Most frequent: A question or an answer is empty (1 row, first in line 1).",
        ),
    ] {
        let version = world.dataset(&scope, "bad", file).await;
        assert_eq!((version.state, version.reason.map(|r| r.said())), (VersionState::Rejected, Some(reason.to_owned())));
    }
    let in_words = "UPDATE dataset_versions SET number = number WHERE reason NOT LIKE '{\"code\":%' OR report_json LIKE '%\"sentence\"%'";
    assert_eq!(world.execute(in_words).await.unwrap(), 0, "what is stored is a code, not its sentence");
    // As a version before wrote it.
    let older = r#"UPDATE dataset_versions SET reason = 'In words.', report_json = REPLACE(report_json, '"lines":[', '"sentence":"As told.","lines":[')"#;
    world.execute(older).await.unwrap();
    let versions = world.platform.datasets(&scope).versions("bad", &Cursor::default()).await.unwrap().rows;
    assert!(versions.iter().all(|v| v.reason.as_ref().is_some_and(|r| r.said() == "In words.")), "{versions:?}");
    let told = versions.iter().flat_map(|v| &v.report.as_ref().unwrap().findings).filter(|f| f.file.is_none()).map(|f| f.said());
    assert!(told.eq(["As told."; 3]), "{versions:?}");

    let latin = b"{\"instruction\":\"gr\xfc\xdf\",\"output\":\"x\"}\n{\"instruction\":\"a\",\"output\":\"b\"}\n";
    let body = futures::stream::iter([Piece::Ok(bytes::Bytes::from_static(latin))]);
    let version = world.platform.datasets(&scope).upload(upload("latin"), body).await.unwrap();
    world.platform.run_due_jobs("tests").await.unwrap();
    let page = world.platform.datasets(&scope).rows("latin", version.number, RowFilter { limit: 9, ..Default::default() }).await.unwrap();
    assert_eq!((page.rows[0].line, page.rows[0].findings[0].rule.as_str(), page.rows[1].accepted), (1, "DS-ENCODING", true));
    assert!(page.rows[0].findings[0].sentence.contains("Byte 19"), "{:?}", page.rows[0].findings);
}

async fn a_bad_form_names_every_field(world: World) {
    let scope = engineer(&world).await;
    let new = NewUpload { name: "My Facts".into(), held_out_percent: 51, tokenizer: Some("no-such".into()), ..upload("") };
    let problem = world.platform.datasets(&scope).upload(new, pieces(&rows(1))).await.unwrap_err();
    let fields: Vec<_> = problem.fields.iter().map(|f| (f.field.as_str(), f.suggestion.as_deref())).collect();
    assert_eq!(fields, [("name", Some("my-facts")), ("held_out_percent", Some("10")), ("tokenizer", None)]);
    let empty = world.upload(&scope, "facts", "").await.unwrap_err();
    assert_eq!((empty.fields[0].field.as_str(), empty.fields[0].sentence.as_str()), ("file", "The file is empty."));
    let too_large = NewUpload { expected_bytes: Some(world.config.upload_bytes + 1), ..upload("facts") };
    assert_eq!(kind(world.platform.datasets(&scope).upload(too_large, pieces("")).await), ProblemKind::Invalid);
    assert!(world.platform.datasets(&scope).list(&Default::default(), &Cursor::default()).await.unwrap().rows.is_empty());
    let viewer = world.scope("vera", "acme", Role::Viewer).await;
    assert_eq!(kind(world.upload(&viewer, "facts", &rows(1)).await), ProblemKind::Forbidden);
}

async fn an_upload_that_breaks_off_leaves_nothing(world: World) {
    let scope = engineer(&world).await;
    world.dataset(&scope, "facts", &rows(3)).await;
    let before = objects(&world);
    let broken = || pieces(&rows(100)).chain(futures::stream::iter([Err(std::io::Error::other("connection reset"))]));
    for name in ["facts", "other"] {
        let problem = world.platform.datasets(&scope).upload(upload(name), broken()).await.unwrap_err();
        assert!(problem.sentence.contains(&format!("interrupted after {}", domain::size::bytes(rows(100).len() as u64))), "{problem}");
    }
    let list = world.platform.datasets(&scope).list(&Default::default(), &Cursor::default()).await.unwrap().rows;
    assert_eq!((list.len(), list[0].latest.as_ref().unwrap().number), (1, 1));
    assert_eq!(objects(&world), before);
    assert_eq!(world.platform.run_due_jobs("tests").await.unwrap(), 0);
}

fn in_two_minutes() -> Timestamp {
    now().plus(2 * MINUTE)
}

async fn an_upload_whose_portal_died_is_cleared_up(world: World) {
    let scope = engineer(&world).await;
    {
        // Dropped in the middle, as when the process is gone.
        let body = pieces(&rows(10)).chain(futures::stream::pending::<Piece>());
        let uploading = world.platform.datasets(&scope);
        let upload = std::pin::pin!(uploading.upload(upload("facts"), body));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(500), upload).await.is_err());
    }
    let version = world.platform.datasets(&scope).version("facts", None).await.unwrap();
    assert_eq!(version.state, VersionState::Uploading);
    // Not before its claim has ended: it might only be slow.
    assert_eq!(world.platform.run_due_jobs("tests").await.unwrap(), 0);
    assert_eq!(world.replica(in_two_minutes).await.run_due_jobs("tests").await.unwrap(), 1);
    assert!(world.platform.datasets(&scope).list(&Default::default(), &Cursor::default()).await.unwrap().rows.is_empty());
    assert!(objects(&world).is_empty());
}

async fn the_quota_is_kept_also_by_two_uploads_at_once(world: World) {
    let file = rows(20);
    let room = file.len() as u64 * 3 / 2;
    world.tenant_with("acme", Quota { storage_bytes: room, ..Quota::default() }).await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    // At once: never both. Which one, or none, depends on how far each had come when the room ran out.
    let (one, two) = tokio::join!(world.upload(&scope, "one", &file), world.upload(&scope, "two", &file));
    assert!(one.is_err() || two.is_err(), "both do not fit");
    if one.is_err() && two.is_err() {
        world.upload(&scope, "one", &file).await.unwrap();
    }
    let refused = world.upload(&scope, "three", &file).await.unwrap_err();
    assert_eq!(refused.kind, ProblemKind::QuotaExceeded);
    assert!(refused.sentence.contains(" or more") && refused.sentence.contains(&domain::size::bytes(room)), "{refused}");
    assert_eq!(world.platform.overview(&scope).await.unwrap().holding.storage_bytes, file.len() as u64);
    // Announced sizes are refused before the first byte.
    let announced = NewUpload { expected_bytes: Some(room), ..upload("three") };
    let never_read = futures::stream::poll_fn(|_| -> std::task::Poll<Option<Piece>> { panic!("no byte may be read") });
    assert_eq!(kind(world.platform.datasets(&scope).upload(announced, never_read).await), ProblemKind::QuotaExceeded);
}

async fn an_inspection_that_is_done_twice_changes_nothing(world: World) {
    let scope = engineer(&world).await;
    let version = world.upload(&scope, "facts", &rows(50)).await.unwrap();
    // Two controllers at the same time: one does it.
    let other = world.replica(now).await;
    let (a, b) = tokio::join!(world.platform.run_due_jobs("a"), other.run_due_jobs("b"));
    assert_eq!(a.unwrap() + b.unwrap(), 1);
    let first = world.platform.datasets(&scope).by_version_id(version.id).await.unwrap();
    let verdicts = read(&world, &artefacts::dataset_verdicts(&version.tenant, version.id, first.judgement.as_deref()));
    // The answer to the commit was lost: the job is there again.
    let again = format!(
        "INSERT INTO jobs (id, kind, tenant, object, payload_json, attempts, run_after) VALUES ('again', 'inspect', 'acme', '{}', 'null', 0, 0)",
        version.id
    );
    world.execute(again).await.unwrap();
    assert_eq!(world.platform.run_due_jobs("a").await.unwrap(), 1);
    assert_eq!(world.platform.datasets(&scope).by_version_id(version.id).await.unwrap(), first);
    // Killed before the commit: judged again, with the same result.
    world.execute(format!("UPDATE dataset_versions SET state = 'checking', report_json = NULL WHERE id = '{}'", version.id)).await.unwrap();
    let again = format!(
        "INSERT INTO jobs (id, kind, tenant, object, payload_json, attempts, run_after) VALUES ('again', 'inspect', 'acme', '{}', 'null', 0, 0)",
        version.id
    );
    world.execute(again).await.unwrap();
    world.platform.run_due_jobs("a").await.unwrap();
    let second = world.platform.datasets(&scope).by_version_id(version.id).await.unwrap();
    assert_ne!(second.judgement, first.judgement, "each judging has files of its own");
    assert_eq!(read(&world, &artefacts::dataset_verdicts(&version.tenant, version.id, second.judgement.as_deref())), verdicts);
    assert_eq!(DatasetVersion { judgement: first.judgement.clone(), ..second }, first);
}

async fn tokens_are_counted_by_the_base_models_tokenizer(world: World) {
    let scope = engineer(&world).await;
    let id = "base_00000000000000000000000000000001";
    world
        .execute(format!(
            "INSERT INTO base_models (id, name, state, architecture, parameters, context, template, licence, digest, files_json, created_at) \
             VALUES ('{id}', 'tiny', 'ready', 'Llama', 1, 512, 'chatml', 'MIT', '', '[]', 0)"
        ))
        .await
        .unwrap();
    let folder = world.store_folder().join("base-models").join(id);
    std::fs::create_dir_all(&folder).unwrap();
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/world/base-model");
    for file in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        std::fs::copy(from.join(file), folder.join(file)).unwrap();
    }
    let with = NewUpload { tokenizer: Some("tiny".into()), ..upload("facts") };
    let version = world.platform.datasets(&scope).upload(with, pieces(&rows(10))).await.unwrap();
    world.platform.run_due_jobs("tests").await.unwrap();
    let report = world.platform.datasets(&scope).by_version_id(version.id).await.unwrap().report.unwrap();
    assert_eq!((report.accepted, report.findings.len(), report.histogram.iter().map(|b| b.rows).sum::<u64>()), (10, 0, 10));
    assert!(report.longest_tokens >= 10 && report.tokens >= 100 && report.tokens <= 10 * u64::from(report.longest_tokens), "{report:?}");
    // The same without: nothing is guessed.
    let without = world.dataset(&scope, "plain", &rows(10)).await.report.unwrap();
    assert_eq!((without.tokens, without.histogram.len()), (0, 0));
    // The tokenizer's own end token may not stand in a text.
    let with = NewUpload { tokenizer: Some("tiny".into()), ..upload("ends") };
    let row = r#"{"instruction":"a","output":"b<|endoftext|>"}"#;
    world.platform.datasets(&scope).upload(with, pieces(row)).await.unwrap();
    world.platform.run_due_jobs("tests").await.unwrap();
    assert_eq!(world.platform.datasets(&scope).version("ends", None).await.unwrap().state, VersionState::Rejected);
}

async fn documentation_changes_and_rows_do_not(world: World) {
    let scope = engineer(&world).await;
    let before = world.dataset(&scope, "facts", &rows(3)).await;
    let documentation = Documentation {
        source: "made up".into(),
        licence: "CC0-1.0".into(),
        personal_data: PersonalData::None,
        languages: vec!["en".into()],
        ..Default::default()
    };
    let after = world.platform.datasets(&scope).document("facts", 1, documentation.clone()).await.unwrap();
    assert_eq!((after.documentation.clone(), after.report.clone()), (documentation.clone(), before.report.clone()));
    assert_eq!(world.platform.datasets(&scope).by_version_id(before.id).await.unwrap(), after);
    let bad = Documentation { languages: vec!["en us".into()], ..documentation };
    assert_eq!(kind(world.platform.datasets(&scope).document("facts", 1, bad).await), ProblemKind::Invalid);
    let viewer = world.scope("vera", "acme", Role::Viewer).await;
    assert_eq!(kind(world.platform.datasets(&viewer).document("facts", 1, Documentation::default()).await), ProblemKind::Forbidden);
}
