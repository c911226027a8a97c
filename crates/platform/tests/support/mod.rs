//! A platform on a temporary database and a temporary store, and people in it. Every test of the store runs twice: on SQLite
//! and on a real PostgreSQL that this test program starts.

#![allow(dead_code, reason = "each test program uses its own part")]

pub mod postgres;
pub mod strangers;

use domain::{
    artefacts::ArtefactStore,
    dataset::DatasetVersion,
    filter::AuditFilter,
    page::{Cursor, Page},
    people::{PlatformRole, Role},
    problem::{Problem, ProblemKind},
    tenant::Quota,
    time::Timestamp,
};
use platform::{
    Config, Platform,
    access::{Caller, Origin, PlatformScope, Scope},
    datasets::NewUpload,
    sealing::TokenKey,
    sessions::Profile,
    tenants::NewTenant,
};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

pub fn now() -> Timestamp {
    Timestamp(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap())
}

/// All rows of a list, a page after the other.
pub async fn every<T>(page: impl AsyncFn(Cursor) -> Page<T>) -> Vec<T> {
    let (mut all, mut after) = (Vec::new(), Some(Cursor::default()));
    while let Some(from) = after {
        let page = page(from).await;
        all.extend(page.rows);
        after = page.next;
    }
    all
}

pub struct World {
    pub platform: Platform,
    pub config: Config,
    folder: TempDir,
}

pub async fn sqlite() -> World {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("atelier.db").display());
    World::open(folder, url).await
}

/// `None` where PostgreSQL is not installed: the test is then skipped.
pub async fn postgres() -> Option<World> {
    let url = postgres::fresh_database().await?;
    Some(World::open(TempDir::new().unwrap(), url).await)
}

impl World {
    pub async fn open(folder: TempDir, database_url: String) -> Self {
        let store = ArtefactStore::Local { root: folder.path().join("store").display().to_string() };
        let engine =
            engine::Engine::Local(engine::local::LocalEngine::new(folder.path().join("tasks"), "/bin/false".into(), Default::default()));
        let config = Config {
            database_url,
            store,
            store_key: None,
            garage: None,
            engine,
            task_limits: Default::default(),
            outside_allowed: Default::default(),
            session_hours: 12,
            session_idle_minutes: 120,
            confirm_seconds: 180,
            token_key: TokenKey::new([7; 32]),
            upload_bytes: 64 * 1024 * 1024,
            tenant_group: "atelier/{tenant}/{role}".into(),
            outside_host: None,
        };
        let platform = Platform::open(config.clone(), now).await.unwrap();
        Self { platform, config, folder }
    }

    /// Another replica on the same database and store, with a clock of its own.
    pub async fn replica(&self, clock: fn() -> Timestamp) -> Platform {
        Platform::open(self.config.clone(), clock).await.unwrap()
    }

    pub fn store_folder(&self) -> std::path::PathBuf {
        self.folder.path().join("store")
    }

    /// The database itself, for tests that break it on purpose.
    pub async fn execute(&self, sql: impl Into<String>) -> Result<u64, sqlx::Error> {
        let sql = sqlx::AssertSqlSafe(sql.into());
        if self.config.database_url.starts_with("sqlite:") {
            let pool = sqlx::SqlitePool::connect(&self.config.database_url).await?;
            sqlx::query(sql).execute(&pool).await.map(|r| r.rows_affected())
        } else {
            let pool = sqlx::PgPool::connect(&self.config.database_url).await?;
            sqlx::query(sql).execute(&pool).await.map(|r| r.rows_affected())
        }
    }

    pub async fn tenant(&self, name: &str) {
        self.tenant_with(name, Quota::default()).await;
    }

    pub async fn tenant_with(&self, name: &str, quota: Quota) {
        let scope = PlatformScope::command_line();
        self.platform.tenants(&scope).create(NewTenant { name: name.into(), title: String::new(), quota }).await.unwrap();
    }

    /// Signs a person in; the same name is the same person.
    pub async fn caller(&self, name: &str, memberships: &[(&str, Role)], platform_role: Option<PlatformRole>) -> Caller {
        let secret = self.sign_in(name, memberships, platform_role).await;
        self.platform.sessions().caller(&secret, origin()).await.unwrap().unwrap()
    }

    pub async fn sign_in(&self, name: &str, memberships: &[(&str, Role)], platform_role: Option<PlatformRole>) -> String {
        self.platform.sessions().sign_in(profile(name, memberships, platform_role), &origin()).await.unwrap()
    }

    /// The same at a provider that gives refresh tokens.
    pub async fn sign_in_with_refresh_token(&self, name: &str, memberships: &[(&str, Role)], refresh_token: &str) -> String {
        let profile = Profile { refresh_token: Some(refresh_token.into()), ..profile(name, memberships, None) };
        self.platform.sessions().sign_in(profile, &origin()).await.unwrap()
    }

    /// A member's handle on a tenant that exists.
    pub async fn scope(&self, name: &str, tenant: &str, role: Role) -> Scope {
        self.caller(name, &[(tenant, role)], None).await.scope(&self.platform, tenant).await.unwrap()
    }

    /// Uploads and judges a file.
    pub async fn dataset(&self, scope: &Scope, name: &str, file: &str) -> DatasetVersion {
        let version = self.upload(scope, name, file).await.unwrap();
        self.platform.run_due_jobs("tests").await.unwrap();
        self.platform.datasets(scope).by_version_id(version.id).await.unwrap()
    }

    pub async fn upload(&self, scope: &Scope, name: &str, file: &str) -> Result<DatasetVersion, Problem> {
        let new = NewUpload { name: name.into(), file_name: "rows.jsonl".into(), held_out_percent: 20, ..NewUpload::default() };
        self.platform.datasets(scope).upload(new, pieces(file)).await
    }
}

/// What the provider says of a person.
pub fn profile(name: &str, memberships: &[(&str, Role)], platform_role: Option<PlatformRole>) -> Profile {
    Profile {
        issuer: "https://id.example".into(),
        subject: name.into(),
        name: name.into(),
        email: Some(format!("{name}@example.org")),
        groups: memberships.iter().map(|(tenant, _)| format!("/atelier/{tenant}")).collect(),
        platform_role,
        memberships: memberships.iter().map(|(tenant, role)| (tenant.parse().unwrap(), *role)).collect(),
        id_token: Some(format!("token of {name}")),
        session: None,
        refresh_token: None,
    }
}

/// What the audit log says of every action of this kind, oldest first.
pub async fn audit_words(world: &World, action: &str) -> Vec<String> {
    let filter = AuditFilter { action: Some(action.into()), limit: 100, ..AuditFilter::default() };
    let records = world.platform.platform_audit(&PlatformScope::command_line()).page(filter).await.unwrap().rows;
    records.into_iter().rev().map(|r| r.entry.detail.said()).collect()
}

pub fn origin() -> Origin {
    Origin { request_id: "req-1".into(), from_ip: "192.0.2.7".into() }
}

pub type Piece = Result<bytes::Bytes, std::io::Error>;

pub fn pieces(file: &str) -> impl futures::Stream<Item = Piece> + Unpin + use<> {
    let pieces: Vec<Piece> = file.as_bytes().chunks(1000).map(|p| Ok(bytes::Bytes::copy_from_slice(p))).collect();
    futures::stream::iter(pieces)
}

/// `n` good rows.
pub fn rows(n: usize) -> String {
    (0..n)
        .map(|i| format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"q{i}\"}},{{\"role\":\"assistant\",\"content\":\"a\"}}]}}\n"))
        .collect()
}

#[track_caller]
pub fn kind<T: std::fmt::Debug>(result: Result<T, Problem>) -> ProblemKind {
    result.expect_err("this must be refused").kind
}

/// Writes each test twice: `sqlite::name` and `postgres::name`.
#[macro_export]
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                super::$name($crate::support::sqlite().await).await
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                if let Some(world) = $crate::support::postgres().await {
                    super::$name(world).await
                }
            })*
        }
    };
}
