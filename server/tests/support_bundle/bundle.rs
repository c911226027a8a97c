//! A portal's data with secrets planted in it, and bundles that are made of it.

use flate2::read::GzDecoder;
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Of the data that an older version left: one that has ended.
pub const RUN: &str = "run_01a1ffc89cca7551aef439b3667abd31";
const ENDPOINT: &str = "ep_01a1ffc89b30749d9ee5cb907e5de2d9";

pub type Files = BTreeMap<String, String>;

pub struct Portal {
    pub data: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Portal {
    pub fn empty(environment: &[(&str, &str)]) -> Self {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { data: tempfile::tempdir().unwrap(), environment }
    }

    /// With runs and an endpoint, brought up to date.
    pub fn on_older_data() -> Self {
        let portal = Self::empty(&[]);
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/older/before_steps"), portal.data.path());
        let done = portal.atelier(&["migrate"], &[]);
        assert!(done.status.success(), "{}", said(&done));
        portal
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    pub fn atelier(&self, words: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_atelier"));
        command.args(words).env("ATELIER_DATA", self.data.path()).env("ATELIER_LISTEN", "127.0.0.1:1");
        command.envs(self.environment.iter().map(|(n, v)| (n, v))).envs(environment.iter().copied()).output().unwrap()
    }

    pub fn bundle(&self, words: &[&str], environment: &[(&str, &str)]) -> Output {
        self.atelier(&[&["support-bundle"], words].concat(), environment)
    }

    /// What is in a bundle that is whole.
    pub fn made(&self, words: &[&str], environment: &[(&str, &str)]) -> Files {
        let made = self.bundle(&[words, &["--out", "-"]].concat(), environment);
        assert_eq!(made.status.code(), Some(0), "{words:?}: {}", String::from_utf8_lossy(&made.stderr));
        files(&made.stdout)
    }

    pub async fn open(&self) -> sqlx::SqliteConnection {
        let url = format!("sqlite://{}", self.file("atelier.db").display());
        <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap()
    }
}

pub async fn execute(portal: &Portal, statements: &[&str]) {
    let mut database = portal.open().await;
    for sql in statements {
        let done = sqlx::query(sqlx::AssertSqlSafe((*sql).to_owned())).execute(&mut database).await;
        done.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// By their names below the one folder of the archive.
pub fn files(archive: &[u8]) -> Files {
    let mut files = Files::new();
    let mut tar = tar::Archive::new(GzDecoder::new(archive));
    for entry in tar.entries().expect("an archive") {
        let mut entry = entry.expect("an archive");
        let path = entry.path().unwrap().display().to_string();
        assert_eq!(entry.header().mode().unwrap(), 0o600, "{path}");
        let (folder, name) = path.split_once('/').unwrap_or_else(|| panic!("{path} lies in no folder"));
        assert!(folder.starts_with("atelier-support-20"), "{folder}");
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        files.insert(name.to_owned(), text);
    }
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// One of each kind that a portal or its people have.
pub struct Secrets {
    pub hf: String,
    client: String,
    cookie: String,
    api_key: String,
    s3: String,
    proxy: String,
    token_key: String,
}

impl Secrets {
    /// In logs and settings of a run, in the log of an endpoint, in an audit record's text; the environment has some as well.
    pub async fn planted(portal: &Portal) -> Self {
        let me = Self {
            hf: "hf_PlantedPlantedPlanted".into(),
            client: "planted client secret of the provider".into(),
            cookie: "planted-cookie-0123456789abcdefghijklmnop".into(),
            api_key: format!("atl_{}_abcdef", "P".repeat(43)),
            s3: "planteds3planteds3planteds3planteds3".into(),
            proxy: "planted-proxy-password".into(),
            token_key: fs::read_to_string(portal.file("token.key")).unwrap().trim().to_owned(),
        };
        let lines = [
            format!("a line with {} in it", me.hf),
            format!("> GET / HTTP/1.1 authorization: Bearer {}", me.api_key),
            format!("{{\"request\": {{\"headers\": {{\"cookie\": \"atelier_session={}\"}}}}}}", me.cookie),
            format!("the key {} was refused; the provider was told {}", me.s3, me.client),
            format!("GET https://s3.example.org/b/k?X-Amz-Signature={}", me.cookie),
            format!("opened with {} and http://user:{}@proxy.example", me.token_key, me.proxy),
        ];
        let mut statements = Vec::new();
        for run in [RUN, super::CUT_OFF] {
            statements.extend(lines.iter().enumerate().map(|(i, line)| {
                let (line, number) = (line.replace('\'', "''"), 100_000 + i);
                format!("INSERT INTO run_log (tenant, run, number, at, step, level, text) VALUES ('lumenta', '{run}', {number}, 1, 'train', 'info', '{line}')")
            }));
        }
        let server = format!("{} at the door, cookie: a={}; b={}", me.api_key, me.cookie, me.hf);
        statements.push(format!(
            "INSERT INTO endpoint_log (tenant, endpoint, number, at, level, text) VALUES ('lumenta', '{ENDPOINT}', 100000, 1, 'error', '{server}')"
        ));
        let statements: Vec<_> = statements.iter().map(String::as_str).collect();
        execute(portal, &statements).await;
        me
    }

    pub fn environment(&self) -> Vec<(&str, &str)> {
        vec![
            ("ATELIER_CLIENT_SECRET", &self.client),
            ("ATELIER_S3_ACCESS_KEY_ID", "GK0123"),
            ("ATELIER_S3_SECRET_ACCESS_KEY", &self.s3),
            ("HTTPS_PROXY", "http://user:planted-proxy-password@proxy.example:3128"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-token=planted-token-of-the-collector"),
        ]
    }

    /// # Panics
    /// When one of them is in a file, or in its name.
    pub fn are_not_in(&self, files: &Files) {
        let Self { hf, client, cookie, api_key, s3, proxy, token_key } = self;
        for (name, text) in files {
            for secret in [hf, client, cookie, api_key, s3, proxy, token_key] {
                assert!(!text.contains(secret.as_str()) && !name.contains(secret.as_str()), "{secret} is in {name}:\n{text}");
            }
            assert!(!text.contains("planted"), "{name}:\n{text}");
        }
    }
}
