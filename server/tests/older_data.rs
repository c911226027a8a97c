//! The program starts on a data folder that an older version wrote, shows what is in it, and goes on with it.

mod portal;

use portal::{Browser, TestPortal};
use std::{fs, path::Path, time::Duration};

const RUN: &str = "run_01a1ffc89cca7551aef439b3667abd31";
const CUT_OFF: &str = "run_01a1ffcd33cd797e9bddcc50bd723476";

/// Copies the folder, with its own new path where the old one stood.
fn copy(from: &Path, to: &Path, data: &str) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target, data);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            fs::write(target, text.replace("@DATA@", data)).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn copy_older(to: &Path) {
    let older = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/older/before_steps");
    copy(&older, to, &to.display().to_string());
}

async fn on_older_data(flags: &[&str]) -> TestPortal {
    let data = tempfile::tempdir().unwrap();
    copy_older(data.path());
    TestPortal::on(data, flags).await
}

async fn page(browser: &mut Browser, path: &str) -> String {
    let answer = browser.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_version_wrote_is_shown() {
    let portal = on_older_data(&["--role", "web,gateway"]).await;
    let mut jonas = portal.signed_in("jonas").await;
    let run = page(&mut jonas, &format!("/t/lumenta/runs/{RUN}")).await;
    for said in ["Succeeded", "facts-lora-1", "lumenta-assistant", "62"] {
        assert!(run.contains(said), "“{said}” is not on the page of the run");
    }
    assert!(page(&mut jonas, &format!("/t/lumenta/runs/{RUN}?tab=log")).await.contains("epoch"), "the log");
    assert!(page(&mut jonas, &format!("/t/lumenta/runs/{RUN}?tab=config")).await.contains("lora_rank"), "the settings");
    let runs = page(&mut jonas, "/t/lumenta/runs").await;
    for name in ["facts-lora-1", "stopped-run", "training-run", "second-run", "queued-run", "queued-run-2", "queued-run-3"] {
        assert!(runs.contains(name), "{name} is not in the list");
    }
    for (path, said) in [
        ("/t/lumenta/datasets/lumenta-facts", "380"),
        ("/t/lumenta/models/lumenta-assistant", "lumenta-assistant"),
        ("/t/lumenta/models/lumenta-assistant/card/edit?v=1", "form"),
        ("/t/lumenta/endpoints/assistant", "Stopped"),
        ("/t/lumenta/keys", "lumenta"),
        ("/t/lumenta/usage", "lumenta-assistant"),
        ("/t/lumenta/playground", "assistant"),
    ] {
        assert!(page(&mut jonas, path).await.contains(said), "“{said}” is not on {path}");
    }
    let mut mira = portal.signed_in("mira").await;
    assert!(page(&mut mira, "/t/lumenta/audit").await.contains("facts-lora-1"), "the audit record");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_an_older_version_was_killed_in_comes_to_an_end_and_the_waiting_ones_are_tried() {
    let portal = on_older_data(&[]).await;
    let mut jonas = portal.signed_in("jonas").await;
    let listed =
        async |jonas: &mut Browser| jonas.call("/rpc/runs/list", "tenant=lumenta&state=&text=").await.json()["runs"]["rows"].clone();
    let ended = async {
        loop {
            let runs = listed(&mut jonas).await;
            let runs = runs.as_array().unwrap_or_else(|| panic!("{runs}"));
            assert_eq!(runs.len(), 7, "{runs:?}");
            if runs.iter().all(|run| ["succeeded", "failed", "cancelled"].contains(&run["state"].as_str().unwrap_or_default())) {
                return runs.clone();
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let Ok(runs) = tokio::time::timeout(Duration::from_secs(300), ended).await else {
        panic!("not every run comes to an end: {}", listed(&mut portal.signed_in("jonas").await).await)
    };
    let cut_off = runs.iter().find(|run| run["id"] == CUT_OFF).unwrap();
    assert_eq!(cut_off["state"], "failed", "{cut_off}");
}

/// `atelier audit verify` on a copy of the older data, after `tampering` with its database.
async fn verified_after(tampering: &[&str]) -> (bool, String) {
    let data = tempfile::tempdir().unwrap();
    copy_older(data.path());
    let database = format!("sqlite://{}", data.path().join("atelier.db").display());
    let mut db = <sqlx::SqliteConnection as sqlx::Connection>::connect(&database).await.unwrap();
    for statement in tampering {
        sqlx::query(sqlx::AssertSqlSafe((*statement).to_owned())).execute(&mut db).await.unwrap();
    }
    drop(db);
    let program = env!("CARGO_BIN_EXE_atelier");
    let said = std::process::Command::new(program).args(["audit", "verify", "--data"]).arg(data.path()).output().unwrap();
    (said.status.success(), String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_record_of_an_older_version_verifies_and_a_change_in_it_is_found() {
    let (sound, said) = verified_after(&[]).await;
    assert!(sound, "{said}");
    let trigger = "DROP TRIGGER audit_is_append_only_update";
    let change =
        "UPDATE audit SET entry_json = replace(entry_json, 'Jonas Lind', 'Jonas Lund') WHERE seq = (SELECT MAX(seq) - 2 FROM audit)";
    let (sound, said) = verified_after(&[trigger, change]).await;
    assert!(!sound, "a changed record goes unnoticed: {said}");
    let cut_off = ["DROP TRIGGER audit_is_append_only_delete", "DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)"];
    let (sound, said) = verified_after(&cut_off).await;
    assert!(!sound, "a record that was cut off goes unnoticed: {said}");
}
