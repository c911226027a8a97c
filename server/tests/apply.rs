//! `atelier apply` and `atelier export` against a real portal.

mod portal;

use domain::{base_model::BaseModelState, dataset::VersionState};
use platform::base_models::NewBaseModel;
use portal::TestPortal;
use std::{
    path::Path,
    process::{Command, Output},
};

/// The program as a CI job starts it: nothing but flags and files.
fn atelier(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atelier"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ATELIER_")) {
        command.env_remove(name);
    }
    command.args(words).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A portal, files that hold tokens of people, and a folder of documents.
struct Job {
    portal: TestPortal,
    folder: tempfile::TempDir,
}

impl Job {
    async fn new() -> Self {
        Self { portal: TestPortal::start().await, folder: tempfile::tempdir().unwrap() }
    }

    fn documents(&self) -> String {
        let documents = self.folder.path().join("documents");
        std::fs::create_dir_all(&documents).unwrap();
        documents.display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(Path::new(&self.documents()).join(name), text).unwrap();
    }

    async fn run(&self, who: &str, words: &[&str]) -> Output {
        let file = self.folder.path().join(format!("{who}.token"));
        std::fs::write(&file, format!("{}\n", self.portal.access_token(who).await)).unwrap();
        let (url, file) = (self.portal.url.clone(), file.display().to_string());
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let run = move || {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            atelier(&[&words[..], &["--server", &url, "--token-file", &file]].concat())
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    async fn apply(&self, who: &str, more: &[&str]) -> Output {
        let documents = self.documents();
        self.run(who, &[&["apply", "-f", &documents], more].concat()).await
    }

    /// A base model and a dataset to train on.
    async fn world(&self) {
        let model = self.folder.path().join("model");
        std::fs::create_dir_all(&model).unwrap();
        let header = br#"{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
        let mut weights = (header.len() as u64).to_le_bytes().to_vec();
        weights.extend(header);
        weights.extend([0; 24]);
        std::fs::write(model.join("model.safetensors"), weights).unwrap();
        std::fs::write(model.join("config.json"), r#"{"architectures":["LlamaForCausalLM"],"max_position_embeddings":512}"#).unwrap();
        std::fs::write(model.join("tokenizer.json"), "{}").unwrap();
        std::fs::write(model.join("chat_template.jinja"), "<|im_start|>").unwrap();
        let platform = &self.portal.portal.platform;
        let new = NewBaseModel { folder: model, name: "world".into(), licence: "Apache-2.0".into(), template: None };
        platform.base_models().register_as_system(new).await.unwrap();
        let mut jonas = self.portal.signed_in("jonas").await;
        let row = r#"{"messages":[{"role":"user","content":"Where?"},{"role":"assistant","content":"Here."}]}"#;
        let rows = format!("{row}\n").repeat(20);
        let sent = jonas.upload("lumenta", "application/json", &[("name", "facts")], "facts.jsonl", rows.as_bytes()).await;
        assert_eq!(sent.status, 200, "{}", sent.body);
        platform.run_due_jobs("test").await.unwrap();
        assert_eq!(platform.base_models().get("world").await.unwrap().state, BaseModelState::Ready);
        let facts = jonas.call("/rpc/datasets/get", "tenant=lumenta&name=facts&number=0").await.body;
        assert!(facts.contains(&format!("\"state\":\"{}\"", VersionState::Ready.word())), "{facts}");
    }
}

const RUN: &str = "apiVersion: atelier.dev/v1\nkind: Run\nmetadata:\n  name: facts-1\n  tenant: lumenta\nspec:\n  baseModel: world\n  \
    dataset: facts\n  model: facts\n  settings:\n    learning_rate: 2e-4\n    lora_rank: 16\n    cutoff_len: 128\n";
const ENDPOINT: &str = "apiVersion: atelier.dev/v1\nkind: Endpoint\nmetadata:\n  name: desk\n  tenant: lumenta\nspec:\n  baseModel: world\n  \
    serving:\n    answerSeconds: 60\n";
const TENANT: &str = "apiVersion: atelier.dev/v1\nkind: Tenant\nmetadata:\n  name: acme\nspec:\n  quota:\n    endpoints: 5\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_twice_changes_nothing_and_what_is_exported_can_be_applied() {
    let job = Job::new().await;
    job.world().await;
    job.write("all.yaml", &format!("{ENDPOINT}---\n{RUN}"));
    let diff = job.apply("jonas", &["--diff"]).await;
    assert_eq!(
        (diff.status.code(), stdout(&diff).as_str()),
        (Some(3), "run/lumenta/facts-1: new\nendpoint/lumenta/desk: new\n"),
        "{}",
        stderr(&diff)
    );
    let first = job.apply("jonas", &[]).await;
    assert_eq!(
        (first.status.code(), stdout(&first).as_str()),
        (Some(0), "run/lumenta/facts-1: created\nendpoint/lumenta/desk: created\n"),
        "{}",
        stderr(&first)
    );
    let unchanged = "run/lumenta/facts-1: unchanged\nendpoint/lumenta/desk: unchanged\n";
    for more in [&[][..], &["--diff"]] {
        let again = job.apply("jonas", more).await;
        assert_eq!((again.status.code(), stdout(&again).as_str()), (Some(0), unchanged), "{}", stderr(&again));
    }

    // What is exported holds, all of it, and says what the portal filled in.
    let exported = job.run("jonas", &["export", "--tenant", "lumenta"]).await;
    let text = stdout(&exported);
    assert_eq!(exported.status.code(), Some(0), "{}", stderr(&exported));
    assert!(stderr(&exported).contains("Left out: the tenant lumenta"), "{}", stderr(&exported));
    assert!(text.contains("datasetVersion: 1\n") && text.contains("answerSeconds: 60\n") && !text.contains("status:"), "{text}");
    job.write("all.yaml", &text);
    let back = job.apply("jonas", &[]).await;
    assert_eq!((back.status.code(), stdout(&back).as_str()), (Some(0), unchanged), "{}", stderr(&back));
    let of_admin = job.run("admin", &["export", "--tenant", "lumenta"]).await;
    assert!(of_admin.status.success() && stderr(&of_admin).contains("Left out: the runs of lumenta"), "{}", stderr(&of_admin));
    job.write("all.yaml", &stdout(&of_admin));
    let back = job.apply("admin", &[]).await;
    assert_eq!((back.status.code(), stdout(&back).as_str()), (Some(0), "tenant/lumenta: unchanged\n"), "{}", stderr(&back));
    let nothing = job.run("otto", &["export", "--tenant", "lumenta"]).await;
    assert_eq!((nothing.status.code(), stdout(&nothing).as_str()), (Some(1), ""));

    // A change is told field by field, before and after.
    job.write("all.yaml", &ENDPOINT.replace("60", "90"));
    let told = "  - spec.serving.answerSeconds: 60\n  + spec.serving.answerSeconds: 90\n";
    let diff = job.apply("jonas", &["--diff"]).await;
    assert_eq!((diff.status.code(), stdout(&diff)), (Some(3), format!("endpoint/lumenta/desk: differs\n{told}")));
    let changed = job.apply("jonas", &[]).await;
    assert_eq!((changed.status.code(), stdout(&changed)), (Some(0), format!("endpoint/lumenta/desk: changed\n{told}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_machines_are_applied_exported_and_refused_field_by_field() {
    let job = Job::new().await;
    let machines = "    gpus: 4\n    mig:\n      1g.10gb: 2\n    memoryBytes: 512000000000\n";
    job.write("a.yaml", &format!("{TENANT}{machines}"));
    let made = job.apply("admin", &[]).await;
    assert_eq!((made.status.code(), stdout(&made).as_str()), (Some(0), "tenant/acme: created\n"), "{}", stderr(&made));
    let again = job.apply("admin", &["--diff"]).await;
    assert_eq!((again.status.code(), stdout(&again).as_str()), (Some(0), "tenant/acme: unchanged\n"), "{}", stderr(&again));

    let exported = stdout(&job.run("admin", &["export", "--tenant", "acme"]).await);
    for line in
        ["    gpus: 4\n", "    mig:\n      1g.10gb: 2\n", "    cpu: null\n", "    memoryBytes: 512000000000\n", "    diskBytes: null\n"]
    {
        assert!(exported.contains(line), "{line}: {exported}");
    }
    job.write("a.yaml", &exported);
    let back = job.apply("admin", &[]).await;
    assert_eq!((back.status.code(), stdout(&back).as_str()), (Some(0), "tenant/acme: unchanged\n"), "{}", stderr(&back));

    job.write("a.yaml", &TENANT.replace("endpoints: 5", "gpus: null\n    mig: {1g.10gb: null, 3g.40gb: 1}"));
    let told = "  - spec.quota.gpus: 4\n  + spec.quota.gpus: not set\n  - spec.quota.mig.1g.10gb: 2\n  + spec.quota.mig.1g.10gb: not set\n  \
        - spec.quota.mig.3g.40gb: not set\n  + spec.quota.mig.3g.40gb: 1\n";
    let diff = job.apply("admin", &["--diff"]).await;
    assert_eq!((diff.status.code(), stdout(&diff)), (Some(3), format!("tenant/acme: differs\n{told}")));
    let changed = job.apply("admin", &[]).await;
    assert_eq!((changed.status.code(), stdout(&changed)), (Some(0), format!("tenant/acme: changed\n{told}")), "{}", stderr(&changed));

    job.write("a.yaml", &TENANT.replace("endpoints: 5", "cpu: 100001\n    mig: {gpu: 1}"));
    let refused = job.apply("admin", &[]).await;
    let said = stderr(&refused);
    assert!(refused.status.code() == Some(1) && said.contains("spec.quota.cpu") && said.contains("spec.quota.mig"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_with_its_file_and_the_rest_is_applied() {
    let job = Job::new().await;
    job.world().await;
    job.write("a.yaml", RUN);
    job.write("b.yaml", &format!("{RUN}---\n{ENDPOINT}").replace("facts-1", "facts-2").replace("dataset: facts", "dataset: none"));
    let some = job.apply("jonas", &[]).await;
    assert_eq!(some.status.code(), Some(1));
    assert_eq!(stdout(&some), "run/lumenta/facts-1: created\nendpoint/lumenta/desk: created\n");
    let said = stderr(&some);
    assert!(said.contains("b.yaml:1: run/lumenta/facts-2: There is no dataset “none”. (spec.dataset)"), "{said}");
    // A run cannot become another.
    job.write("b.yaml", &RUN.replace("lora_rank: 16", "lora_rank: 8"));
    std::fs::remove_file(Path::new(&job.documents()).join("a.yaml")).unwrap();
    let other = job.apply("jonas", &[]).await;
    let said = stderr(&other);
    assert!(other.status.code() == Some(1) && said.contains("spec.settings.lora_rank: 16 -> 8") && said.contains("another name"), "{said}");
    // Somebody who may only look.
    let viewer = job.apply("vera", &[]).await;
    assert!(viewer.status.code() == Some(1) && stderr(&viewer).contains("This needs the engineer or owner role."), "{}", stderr(&viewer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_named_with_its_line_and_nothing_is_sent() {
    let job = Job::new().await;
    job.write("a.yaml", TENANT);
    job.write("b.yaml", &format!("# two\n---\n{}", TENANT.replace("acme", "other").replace("endpoints", "endpoint")));
    let broken = job.apply("admin", &[]).await;
    let said = stderr(&broken);
    assert_eq!((broken.status.code(), stdout(&broken).as_str()), (Some(2), ""));
    assert!(
        said.contains("b.yaml:9: It cannot be read: spec.quota: unknown field `endpoint`") && said.ends_with("Nothing was sent.\n"),
        "{said}"
    );
    let scope = platform::access::PlatformScope::command_line();
    assert!(job.portal.portal.platform.tenants(&scope).get("acme").await.is_err(), "the good file was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_is_not_there_and_a_token_that_is_none_are_told_in_words() {
    let job = Job::new().await;
    job.write("a.yaml", TENANT);
    let (documents, token) = (job.documents(), job.folder.path().join("token").display().to_string());
    let url = job.portal.url.clone();
    std::fs::write(&token, "not-a-token").unwrap();
    let told = tokio::task::spawn_blocking(move || {
        let run = |server: &str, token: &str| {
            let output = atelier(&["apply", "-f", &documents, "--server", server, "--token-file", token]);
            assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
            stderr(&output)
        };
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        [
            run(&format!("http://{free}"), &token),
            run(&url, &token),
            run("http://portal.example", &token),
            run(&url, "/nonexistent"),
            run(&format!("{url}/elsewhere"), &token),
        ]
    });
    let told = told.await.unwrap();
    for (said, words) in told.iter().zip(["does not answer", "is no access token", "in the clear", "--token-file", "not as a portal does"])
    {
        assert!(said.contains(words) && !said.contains("not-a-token"), "{words}: {said}");
    }
}
