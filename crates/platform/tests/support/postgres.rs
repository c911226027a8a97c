//! A real PostgreSQL for this test program: started once from the installed binaries, in a folder of its own, on a socket
//! only; ended when this program ends, however it ends.

use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

struct Server {
    socket: PathBuf,
    /// The shell that started the server reads from our end of its standard input; when we are gone, it reads the end of it
    /// and stops the server.
    _shell: Child,
}

static SERVER: OnceLock<Option<Server>> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The URL of a new, empty database; `None` where PostgreSQL is not installed.
pub async fn fresh_database() -> Option<String> {
    let Some(server) = tokio::task::spawn_blocking(|| SERVER.get_or_init(start).as_ref()).await.unwrap() else {
        testing::skip("PostgreSQL is not installed (Debian: apt-get install postgresql)");
        return None;
    };
    let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let url = |database: &str| format!("postgres:///{database}?host={}&user=atelier", server.socket.display());
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&url("postgres")).await.unwrap();
    // The name is ours and counts up.
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&pool).await.unwrap();
    pool.close().await;
    Some(url(&name))
}

fn start() -> Option<Server> {
    let bin = installed()?;
    let folder = tempfile::Builder::new().prefix("atelier-pg-").tempdir_in("/tmp").unwrap().keep();
    let user = Unprivileged::choose();
    if let Some(user) = &user {
        chown(&folder, Some(user.uid), Some(user.gid)).unwrap();
    }
    let data = folder.join("data");
    let initdb =
        run(&user, &bin.join("initdb"), &["-D", path(&data), "-U", "atelier", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
            .output()
            .unwrap();
    assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));

    // The shell stops the server as soon as its own standard input ends, which is when this program is gone.
    let script = r#""$1" -D "$2" -k "$3" -c listen_addresses= -c fsync=off -c max_connections=400 >"$3/log" 2>&1 & server=$!
        cat >/dev/null; kill -INT $server; wait $server; rm -rf "$3""#;
    let shell = run(&user, Path::new("/bin/sh"), &["-c", script, "sh", path(&bin.join("postgres")), path(&data), path(&folder)])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::os::unix::net::UnixStream::connect(folder.join(".s.PGSQL.5432")).is_err() || !accepts(&bin, &folder) {
        let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "PostgreSQL does not start: {}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(Server { socket: folder, _shell: shell })
}

fn accepts(bin: &Path, socket: &Path) -> bool {
    Command::new(bin.join("pg_isready")).args(["-q", "-h", path(socket)]).status().is_ok_and(|s| s.success())
}

fn installed() -> Option<PathBuf> {
    let debian = (13..=18).rev().map(|v| PathBuf::from(format!("/usr/lib/postgresql/{v}/bin")));
    let in_path = std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect::<Vec<_>>()).unwrap_or_default();
    debian.chain(in_path).find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// PostgreSQL refuses to run as root; then it runs as one of the users that every Debian has.
struct Unprivileged {
    uid: u32,
    gid: u32,
}

impl Unprivileged {
    fn choose() -> Option<Self> {
        let id = |args: &[&str]| -> Option<u32> {
            let out = Command::new("id").args(args).output().ok().filter(|o| o.status.success())?;
            String::from_utf8(out.stdout).ok()?.trim().parse().ok()
        };
        if id(&["-u"]) != Some(0) {
            return None;
        }
        ["postgres", "nobody"].into_iter().find_map(|name| Some(Self { uid: id(&["-u", name])?, gid: id(&["-g", name])? }))
    }
}

fn run(user: &Option<Unprivileged>, program: &Path, args: &[&str]) -> Command {
    let mut command = match user {
        None => Command::new(program),
        Some(user) => {
            let mut c = Command::new("setpriv");
            c.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid)).arg("--clear-groups").arg(program);
            c
        }
    };
    command.args(args).current_dir("/tmp").env_remove("PGDATA").env_remove("PGHOST").env_remove("PGPORT");
    command
}

fn path(p: &Path) -> &str {
    p.to_str().unwrap()
}
