//! `atelier support-bundle`: what is in it, what is never in it, and what it says when something cannot be looked at.

#[path = "support_bundle/bundle.rs"]
mod bundle;
#[path = "support_bundle/cluster.rs"]
mod cluster;
mod processes;

use bundle::{Portal, RUN, Secrets, execute};
use processes::postgres::Postgres;
use std::{fs, io::Write, os::unix::fs::PermissionsExt, process::Command};

const CUT_OFF: &str = "run_01a1ffcd33cd797e9bddcc50bd723476";

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_about_a_run_has_its_plan_states_log_and_records_and_none_of_the_secrets_that_are_everywhere() {
    let portal = Portal::on_older_data();
    let secrets = Secrets::planted(&portal).await;
    // What a task printed and nobody has read yet: not all of it is text.
    let output = portal.data.path().join(format!("engine/run-{}-train/output", CUT_OFF.trim_start_matches("run_")));
    let mut printed = fs::OpenOptions::new().append(true).open(output).unwrap();
    printed.write_all(&[b"\xff\xfe half a character, and ".as_slice(), secrets.hf.as_bytes(), b"\n"].concat()).unwrap();

    let out = portal.data.path().join("one.tar.gz");
    let made = portal.bundle(&["--run", CUT_OFF, "--out", out.to_str().unwrap()], &secrets.environment());
    assert_eq!(made.status.code(), Some(0), "{}", bundle::said(&made));
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let files = bundle::files(&fs::read(&out).unwrap());
    secrets.are_not_in(&files);
    for (file, has) in [
        ("run.json", "\"lora_rank\""),
        ("steps.txt", "train (train, try 1)"),
        ("log.txt", "a line with *** in it"),
        ("audit.json", "run.launch"),
        ("migrations.json", "\"applied\""),
        ("database.json", "\"run_log\""),
        ("leader.json", "\"term\""),
        ("configuration.json", "ATELIER_CLIENT_SECRET"),
        ("version.json", env!("CARGO_PKG_VERSION")),
        ("doctor.txt", "artefact store"),
        ("readyz.json", "\"failed\""),
        ("engine/tasks.json", "-train"),
    ] {
        let text = files.get(file).unwrap_or_else(|| panic!("{file} is not in {:?}", files.keys()));
        assert!(text.contains(has), "“{has}” is not in {file}:\n{text}");
    }
    let printed = files.iter().find(|(name, _)| name.starts_with("engine/output-")).map(|(_, text)| text).expect("what it printed");
    assert!(printed.contains("half a character, and ***"), "{printed}");
    let manifest: serde_json::Value = serde_json::from_str(&files["manifest.json"]).unwrap();
    assert_eq!(manifest["about"], format!("run {CUT_OFF}"));
    assert_eq!(manifest["files"].as_array().unwrap().len(), files.len() - 1, "each but itself");
    let log = manifest["files"].as_array().unwrap().iter().find(|f| f["file"] == "log.txt").unwrap();
    assert!(log["taken_out"]["header"].as_u64() > Some(0) && log["taken_out"]["known_secret"].as_u64() > Some(0), "{log}");
    assert_eq!(manifest["could_not_be_looked_at"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_about_an_endpoint_and_about_the_platform_has_what_belongs_to_it() {
    let portal = Portal::on_older_data();
    let secrets = Secrets::planted(&portal).await;
    let files = portal.made(&["--endpoint", "lumenta/assistant"], &secrets.environment());
    secrets.are_not_in(&files);
    assert!(files["endpoint.json"].contains("\"assistant\"") && files["log.txt"].contains("*** at the door"), "{files:?}");
    assert!(files["audit.json"].contains("endpoint."));
    let files = portal.made(&[], &secrets.environment());
    secrets.are_not_in(&files);
    assert!(files["audit.json"].contains("run.launch") && !files.contains_key("log.txt"));
    let settings: serde_json::Value = serde_json::from_str(&files["configuration.json"]).unwrap();
    let of = |name: &str| settings.as_array().unwrap().iter().find(|s| s["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone();
    assert_eq!(
        (of("ATELIER_CLIENT_SECRET")["value"].as_str(), of("ATELIER_CLIENT_SECRET")["from"].as_str()),
        (Some("***"), Some("environment"))
    );
    assert_eq!(of("ATELIER_DATA")["value"], portal.data.path().display().to_string());
    assert_eq!(
        (of("ATELIER_SESSION_HOURS")["value"].as_str(), of("ATELIER_SESSION_HOURS")["from"].as_str()),
        (Some("12"), Some("default"))
    );
    assert_eq!(of("HTTPS_PROXY")["value"], "http://***@proxy.example:3128");
    assert_eq!(of("OTEL_EXPORTER_OTLP_HEADERS")["value"], "***");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_told_with_the_next_step_and_nothing_is_written() {
    let portal = Portal::on_older_data();
    for (words, says) in [
        (&["--run", "run_01a1ffc89cca7551aef439b3667abd00"][..], "There is no run"),
        (&["--endpoint", "lumenta/nobody"], "`atelier tenant list`"),
        (&["--run", "facts"], "not an id of kind run"),
        (&["--endpoint", "assistant"], "TENANT/NAME is wanted"),
    ] {
        let made = portal.bundle(&[words, &["--out", portal.file("none.tar.gz").to_str().unwrap()]].concat(), &[]);
        assert!(matches!(made.status.code(), Some(1 | 2)) && bundle::said(&made).contains(says), "{words:?}: {}", bundle::said(&made));
    }
    assert!(!portal.file("none.tar.gz").exists());
    fs::write(portal.file("there.tar.gz"), "somebody else's").unwrap();
    let made = portal.bundle(&["--out", portal.file("there.tar.gz").to_str().unwrap()], &[]);
    assert!(made.status.code() == Some(1) && bundle::said(&made).contains("is there already"), "{}", bundle::said(&made));
    assert_eq!(fs::read_to_string(portal.file("there.tar.gz")).unwrap(), "somebody else's");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_the_bundle_is_written_says_what_is_missing_and_ends_with_its_own_code() {
    let portal = Portal::on_older_data();
    let nobody = ("ATELIER_DATABASE_URL", "postgres://atelier:planted-password-of-postgres@127.0.0.1:1/atelier?sslmode=disable");
    let out = portal.file("away.tar.gz");
    let made = portal.bundle(&["--run", CUT_OFF, "--out", out.to_str().unwrap()], &[nobody]);
    assert_eq!(made.status.code(), Some(3), "{}", bundle::said(&made));
    assert!(bundle::said(&made).contains("run.json: The database cannot be read"), "{}", bundle::said(&made));
    let files = bundle::files(&fs::read(&out).unwrap());
    assert!(!format!("{files:?}").contains("planted-password") && !bundle::said(&made).contains("planted-password"));
    let manifest: serde_json::Value = serde_json::from_str(&files["manifest.json"]).unwrap();
    let missing: Vec<_> = manifest["could_not_be_looked_at"].as_array().unwrap().iter().map(|m| m["file"].as_str().unwrap()).collect();
    assert!(["run.json", "log.txt", "migrations.json", "leader.json"].iter().all(|file| missing.contains(file)), "{missing:?}");
    // What the engine knows is there all the same: tasks are named by the run.
    assert!(files["engine/tasks.json"].contains("-train"), "{}", files["engine/tasks.json"]);
    assert!(files["configuration.json"].contains("postgres://***@127.0.0.1:1/atelier?***"), "{}", files["configuration.json"]);
    assert!(files["doctor.txt"].contains("artefact store"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_the_line_of_writers_and_freezes_does_not_stop_the_bundle() {
    let portal = Portal::on_older_data();
    let mut frozen = portal.open().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut frozen).await.unwrap();
    sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'events'").execute(&mut frozen).await.unwrap();
    let files = portal.made(&["--run", RUN], &[]);
    assert!(files["run.json"].contains("facts-lora-1"));
    sqlx::query("ROLLBACK").execute(&mut frozen).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_log_of_a_hundred_megabytes_the_newest_lines_are_taken_along() {
    let portal = Portal::on_older_data();
    let text = "x".repeat(2000);
    let fill = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) \
         INSERT INTO run_log (tenant, run, number, at, step, level, text) SELECT 'lumenta', '{CUT_OFF}', 1000000 + i, 1, 'train', 'info', i || ' {text}' FROM n"
    );
    execute(&portal, &[&fill]).await;
    let files = portal.made(&["--run", CUT_OFF, "--log-lines", "50000"], &[]);
    let log = &files["log.txt"];
    assert!(log.len() <= 8 << 20 && log.contains(" 50000 xxx"), "{} bytes", log.len());
    let manifest: serde_json::Value = serde_json::from_str(&files["manifest.json"]).unwrap();
    let told = manifest["files"].as_array().unwrap().iter().find(|f| f["file"] == "log.txt").unwrap();
    assert_eq!((told["older_lines_left_out"].as_bool(), told["bytes"].as_u64()), (Some(true), Some(log.len() as u64)));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_no_half_bundle_is_left_and_the_sentence_says_where_else_to_write_it() {
    let portal = Portal::on_older_data();
    let small = portal.file("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4k", "tmpfs"]).arg(&small).output().unwrap();
    if !mounted.status.success() {
        return testing::skip(&format!("a full disk needs the right to mount: {}", String::from_utf8_lossy(&mounted.stderr).trim()));
    }
    let made = portal.bundle(&["--out", small.join("b.tar.gz").to_str().unwrap()], &[]);
    let left = fs::read_dir(&small).unwrap().count();
    assert!(Command::new("umount").arg("-l").arg(&small).status().unwrap().success());
    let said = bundle::said(&made);
    assert!(made.status.code() == Some(1) && said.contains("the disk is full") && said.contains("--out -"), "{said}");
    assert_eq!(left, 0, "nothing of it is left");
    let made = portal.bundle(&["--out", "-"], &[]);
    assert_eq!(made.status.code(), Some(0), "{}", bundle::said(&made));
    assert!(bundle::files(&made.stdout).contains_key("manifest.json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_bundle_is_written_beside_a_writer_that_is_frozen_and_changes_nothing() {
    let Some(postgres) = Postgres::start() else { return };
    let portal = Portal::empty(&[("ATELIER_DATABASE_URL", &postgres.url)]);
    for words in [&["migrate"][..], &["tenant", "create", "acme"]] {
        let done = portal.atelier(words, &[]);
        assert!(done.status.success(), "{}", bundle::said(&done));
    }
    let mut database = <sqlx::PgConnection as sqlx::Connection>::connect(&postgres.url).await.unwrap();
    for sql in [
        "INSERT INTO people (id, issuer, subject, name, groups_json, last_seen_at) VALUES ('per_0000000000000000000000000000000a', 'i', 's', 'Ann', '[]', 0)",
        "INSERT INTO endpoints (tenant, id, name, state, reason, model_server, external_json, external_key, revision, launch, max_lora_rank, restarts, output_cursor, log_before, created_by, created_at) \
         VALUES ('acme', 'ep_0000000000000000000000000000000e', 'chat', 'stopped', '{\"code\":\"stopped\"}', 'external', NULL, 'sealed-and-planted', 1, 0, 0, 0, '', 0, 'per_0000000000000000000000000000000a', 0)",
        "INSERT INTO endpoint_log (tenant, endpoint, number, at, level, text) VALUES ('acme', 'ep_0000000000000000000000000000000e', 1, 0, 'info', 'password=planted-in-a-line')",
    ] {
        sqlx::query(sql).execute(&mut database).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    // The lock of the line of writers, as a leader that is frozen holds it.
    sqlx::query("BEGIN").execute(&mut database).await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(27431051700299122)").execute(&mut database).await.unwrap();
    let files = portal.made(&["--endpoint", "acme/chat"], &[]);
    assert!(files["endpoint.json"].contains("\"chat\"") && files["log.txt"].contains("password=***"), "{files:?}");
    assert!(!format!("{files:?}").contains("planted"));
    assert!(files["database.json"].contains("PostgreSQL") && files["migrations.json"].contains("\"applied\""));
    assert!(!files["migrations.json"].contains("\"missing\""));
}
