//! A real PostgreSQL for this test executable: started once, on a Unix socket in a temporary folder, gone with the executable.

use sqlx::{ConnectOptions, Connection, Executor, postgres::PgConnectOptions};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    str::FromStr,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// The shell outlives nothing: it ends the server when its standard input closes, which happens when this executable is gone.
const KEEPER: &str = r#"
set -e
PATH="$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)"
dir=$(mktemp -d /tmp/atelier-postgres.XXXXXX)
initdb -D "$dir/data" -A trust -U atelier -E UTF8 --locale=C --no-sync >"$dir/initdb.log" 2>&1
postgres -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off -c max_connections=400 >"$dir/log" 2>&1 </dev/null &
echo "$dir"
cat >/dev/null || true
kill -INT $! && wait $! || true
rm -rf "$dir"
"#;

struct Server {
    _keeper: Child,
    folder: String,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        // initdb refuses to run as root.
        let root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
        let mut command = if root { Command::new("setpriv") } else { Command::new("sh") };
        if root {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "sh"]);
        }
        let keeper = command.args(["-c", KEEPER]).current_dir("/tmp").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut keeper = keeper.expect("PostgreSQL can be started: install the package postgresql");
        let mut folder = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut folder).unwrap();
        assert!(!folder.trim().is_empty(), "initdb failed; is the package postgresql installed?");
        Server { _keeper: keeper, folder: folder.trim().to_owned() }
    })
}

/// The URL of a new, empty database.
pub async fn database() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let folder = tokio::task::spawn_blocking(|| server().folder.clone()).await.unwrap();
    let url = |name: &str| format!("postgres://atelier@localhost/{name}?host={folder}");
    let options = PgConnectOptions::from_str(&url("postgres")).unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    let mut admin = loop {
        match options.connect().await {
            Ok(connection) => break connection,
            Err(e) => assert!(Instant::now() < end, "PostgreSQL does not answer: {e}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    // The name is a number of ours.
    admin.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    admin.close().await.unwrap();
    url(&name)
}
