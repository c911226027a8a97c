//! `atelier audit checkpoint` and `atelier audit verify --checkpoint FILE`, as an auditor runs them beside the portal's data.

use std::{path::Path, process::Command};

/// What a command said, and whether it ended well.
fn atelier(data: &Path, words: &[&str]) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_atelier")).args(words).arg("--data").arg(data).output().unwrap();
    (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr))
}

async fn execute(data: &Path, statements: &[&str]) {
    let database = format!("sqlite://{}", data.join("atelier.db").display());
    let mut db = <sqlx::SqliteConnection as sqlx::Connection>::connect(&database).await.unwrap();
    for statement in statements {
        sqlx::query(sqlx::AssertSqlSafe((*statement).to_owned())).execute(&mut db).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_off_is_found_with_the_checkpoint_that_was_taken_away_and_not_without() {
    let folder = tempfile::tempdir().unwrap();
    let (data, taken) = (folder.path().join("data"), folder.path().join("taken-away.txt"));
    for name in ["acme", "other"] {
        let (done, said) = atelier(&data, &["tenant", "create", name, "--title", name]);
        assert!(done, "{said}");
    }
    let file = taken.display().to_string();
    let (signed, said) = atelier(&data, &["audit", "checkpoint", "--out", &file]);
    let note = std::fs::read_to_string(&taken).unwrap();
    assert!(signed && said.contains("Written: ") && said.contains(&note) && note.contains("/tenants/acme\n1\n"), "{said}");
    let verify = ["audit", "verify", "--checkpoint", &file];
    let (whole, said) = atelier(&data, &verify);
    assert!(whole && said.contains("The audit log is whole"), "{said}");

    // Whoever owns the database takes the last record away, sets the counter back, and the portal's own checkpoints with it.
    let cut = [
        "DROP TRIGGER audit_is_append_only_delete",
        "DELETE FROM audit_records WHERE chain = 'tenants/acme'",
        "DELETE FROM audit_chains WHERE chain = 'tenants/acme'",
    ];
    execute(&data, &cut).await;
    std::fs::remove_dir_all(data.join("store/audit")).unwrap();
    let (whole, said) = atelier(&data, &["audit", "verify"]);
    assert!(whole && said.contains("Compared with no signed checkpoint"), "{said}");
    let (whole, said) = atelier(&data, &verify);
    assert!(!whole && said.contains("broken in tenants/acme"), "{said}");

    // A note that says what it would have to say is not believed: nobody signed it.
    std::fs::write(&taken, note.replace("/tenants/acme\n1\n", "/tenants/acme\n0\n")).unwrap();
    let (believed, said) = atelier(&data, &verify);
    assert!(!believed && said.contains("not as it was signed"), "{said}");
    let (readable, said) = atelier(&data, &["audit", "verify", "--checkpoint", "/no/such/file"]);
    assert!(!readable && said.contains("cannot be read"), "{said}");
}
