//! The program with an artefact store in a real S3 (Garage): what the doctor finds, a tenant's key given by hand, and the move from a folder.

use serde_json::json;
use std::{
    path::Path,
    process::{Command, Output},
};
use testing::garage::{self, Garage, Key};

/// The program on a data folder of its own, with the settings of S3.
struct Portal<'g> {
    data: tempfile::TempDir,
    garage: &'g Garage,
}

impl Portal<'_> {
    fn file(&self, name: &str, text: &str) -> String {
        let file = self.data.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    fn key_file(&self, name: &str, key: &Key) -> String {
        self.file(name, &json!({ "access_key_id": key.0, "secret_access_key": key.1 }).to_string())
    }

    fn atelier(&self, words: &[&str], more: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_atelier"));
        command.args(words).env("ATELIER_DATA", self.data.path()).env("ATELIER_STORE", "s3");
        command
            .env("ATELIER_S3_ENDPOINT", &self.garage.endpoint)
            .env("ATELIER_S3_REGION", garage::REGION)
            .env("ATELIER_LISTEN", "127.0.0.1:0");
        command.envs(more.iter().copied()).output().unwrap()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The lines of the doctor about the store.
fn store_lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.contains("artefact store")).map(str::to_owned).collect()
}

fn put(folder: &Path, path: &str, text: &str) {
    let file = folder.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

#[test]
fn the_doctor_tries_the_store_and_names_the_mistake() {
    let Some(garage) = garage::start() else { return };
    let portal = Portal { data: tempfile::tempdir().unwrap(), garage: &garage };
    let key = garage.key("portal");
    let good = portal.key_file("key.json", &key);
    let wrong = portal.key_file("wrong.json", &(key.0.clone(), "0".repeat(64)));
    let token = portal.file("token", &garage.admin_token);
    let admin = [("ATELIER_GARAGE_ADMIN_URL", garage.admin.as_str()), ("ATELIER_GARAGE_ADMIN_TOKEN", token.as_str())];

    let found = |more: &[(&str, &str)]| store_lines(&portal.atelier(&["doctor"], more)).join("\n");
    let without_bucket = found(&[("ATELIER_S3_KEY", &good)]);
    assert!(without_bucket.starts_with("missing") && without_bucket.contains("has no bucket atelier-platform"), "{without_bucket}");
    let made_later = found(&[&[("ATELIER_S3_KEY", good.as_str())][..], &admin].concat());
    assert!(made_later.contains("ok") && made_later.contains("the portal makes it when it runs"), "{made_later}");
    garage.bucket("atelier-platform");
    garage.allow("atelier-platform", &key, &["--read", "--write"]);
    let good_line = found(&[("ATELIER_S3_KEY", &good)]);
    assert!(good_line.starts_with("ok") && good_line.contains("took, gave and deleted"), "{good_line}");
    let refused = found(&[("ATELIER_S3_KEY", &wrong)]);
    assert!(refused.starts_with("missing") && refused.contains("does not accept the portal’s key"), "{refused}");
    let nowhere = found(&[("ATELIER_S3_KEY", &good), ("ATELIER_S3_ENDPOINT", "http://127.0.0.1:1")]);
    assert!(nowhere.starts_with("missing") && nowhere.contains("does not answer"), "{nowhere}");
    for line in [without_bucket, made_later, good_line, refused, nowhere] {
        assert!(!line.contains(&key.1), "{line}");
    }
}

#[test]
fn a_tenants_key_is_given_by_hand_and_a_folder_moves_into_buckets() {
    let Some(garage) = garage::start() else { return };
    let portal = Portal { data: tempfile::tempdir().unwrap(), garage: &garage };
    let (key, tenants) = (garage.key("portal"), garage.key("acme"));
    let good = portal.key_file("key.json", &key);
    let settings = [("ATELIER_S3_KEY", good.as_str())];
    for bucket in ["atelier-platform", "atelier-acme"] {
        garage.bucket(bucket);
        garage.allow(bucket, &key, &["--read", "--write"]);
    }
    let made = portal.atelier(&["tenant", "create", "acme"], &settings);
    assert!(made.status.success(), "{}", said(&made));
    let file = portal.key_file("acme.json", &tenants);
    let refused = portal.atelier(&["tenant", "store-key", "acme", "--key", &file], &settings);
    assert!(!refused.status.success() && said(&refused).contains("read and write “atelier-acme”"), "{}", said(&refused));
    garage.allow("atelier-acme", &tenants, &["--read", "--write"]);
    garage.allow("atelier-platform", &tenants, &["--read"]);
    let given = portal.atelier(&["tenant", "store-key", "acme", "--key", &file], &settings);
    assert!(given.status.success(), "{}", said(&given));
    let database = std::fs::read(portal.data.path().join("atelier.db")).unwrap();
    assert!(!database.windows(64).any(|bytes| bytes == tenants.1.as_bytes()), "the database holds the key unsealed");

    let folder = portal.data.path().join("store");
    put(&folder, "base-models/b/config.json", "{}");
    put(&folder, "t/acme/datasets/1/original", "rows");
    let from = folder.display().to_string();
    let copied = portal.atelier(&["store", "copy", "--from", &from], &settings);
    assert!(copied.status.success() && said(&copied).contains("2 objects are in the new store"), "{}", said(&copied));
    let again = portal.atelier(&["store", "copy", "--from", &from], &settings);
    assert!(said(&again).contains("2 of them were there already"), "{}", said(&again));
    let backwards = portal.atelier(&["store", "copy", "--from", &from, "--store", &from], &settings);
    assert!(!backwards.status.success() && said(&backwards).contains("ATELIER_STORE=s3"), "{}", said(&backwards));
}
