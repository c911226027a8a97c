//! A real S3 store for a test: Garage, started from the installed program in a folder of its own, on ports of its own; ended when the test
//! program ends, however it ends. <https://garagehq.deuxfleurs.fr/documentation/reference-manual/configuration/>

use std::{
    ffi::OsString,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Names the program; without it, `garage` is looked for in `PATH`.
pub const PROGRAM: &str = "ATELIER_GARAGE";
/// What it calls itself.
pub const REGION: &str = "garage";

/// A store that runs. Dropped, it is ended.
pub struct Garage {
    program: PathBuf,
    folder: PathBuf,
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
    /// Of the admin API.
    pub admin: String,
    pub admin_token: String,
    /// The shell that started the server reads from our end of its standard input; when we are gone, it reads the end of it and stops the
    /// server.
    shell: Option<Child>,
}

/// Of a key: its id and its secret.
pub type Key = (String, String);

/// A fresh store; `None` where Garage is not installed: the test is then skipped.
pub fn start() -> Option<Garage> {
    let Some(program) = installed() else {
        crate::skip("Garage is not there (cargo install garage --version 2.5.0 --locked --debug; ATELIER_GARAGE names the program)");
        return None;
    };
    let folder = tempfile::Builder::new().prefix("atelier-garage-").tempdir().unwrap().keep();
    let [s3, rpc, admin] = free_ports();
    let admin_token = "a token for tests only".replace(' ', "-");
    let text = format!(
        r#"metadata_dir = "{folder}/meta"
data_dir = "{folder}/data"
db_engine = "sqlite"
metadata_fsync = false
data_fsync = false
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"
[s3_api]
s3_region = "{REGION}"
api_bind_addr = "127.0.0.1:{s3}"
root_domain = ".s3.localhost"
[admin]
api_bind_addr = "127.0.0.1:{admin}"
admin_token = "{admin_token}"
"#,
        folder = folder.display(),
        secret = "5a".repeat(32),
    );
    std::fs::write(folder.join("garage.toml"), text).unwrap();
    let (endpoint, admin) = (format!("http://127.0.0.1:{s3}"), format!("http://127.0.0.1:{admin}"));
    let mut garage = Garage { program, folder, endpoint, admin, admin_token, shell: None };
    garage.run();
    let node = garage.told(&["node", "id", "-q"]);
    let node = node.trim().split('@').next().unwrap_or_default().to_owned();
    garage.told(&["layout", "assign", "-z", "dc1", "-c", "1G", &node]);
    garage.told(&["layout", "apply", "--version", "1"]);
    Some(garage)
}

fn installed() -> Option<PathBuf> {
    let named = std::env::var_os(PROGRAM).filter(|name| !name.is_empty()).map(PathBuf::from);
    named.or_else(|| in_path(std::env::var_os("PATH"))).filter(|program| program.is_file())
}

fn in_path(path: Option<OsString>) -> Option<PathBuf> {
    std::env::split_paths(&path?).map(|folder| folder.join("garage")).find(|program| program.is_file())
}

/// Held together until all are known, so that they differ.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

impl Garage {
    fn file(&self) -> PathBuf {
        self.folder.join("garage.toml")
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }

    /// Starts the server, again after [`Garage::stop`], and waits until it answers.
    pub fn run(&mut self) {
        let script = r#""$1" -c "$2" server >>"$3/log" 2>&1 & server=$!; echo $server >"$3/pid.new"; mv "$3/pid.new" "$3/pid"
            cat >/dev/null; kill -CONT $server; kill -INT $server; wait $server; test -e "$3/stays" || rm -rf "$3""#;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script, "sh"]).arg(&self.program).arg(self.file()).arg(&self.folder);
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.shell = Some(shell);
        let address = self.endpoint.trim_start_matches("http://").to_owned();
        self.wait("answers", || TcpStream::connect(&address).is_ok());
    }

    /// Ends the server; what it holds stays.
    pub fn stop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            let stays = self.folder.join("stays");
            std::fs::write(&stays, "").unwrap();
            drop(shell.stdin.take());
            let _ = shell.wait();
            let _ = std::fs::remove_file(self.pid_file());
            std::fs::remove_file(stays).unwrap();
        }
    }

    /// It keeps its connections, takes new ones, and says nothing any more.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        self.wait("has a number", || self.pid_file().exists());
        let pid = std::fs::read_to_string(self.pid_file()).unwrap();
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "Garage never {what}: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What its own program says. Its commands go to the server, which may still be starting.
    pub fn told(&self, args: &[&str]) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let mut command = Command::new(&self.program);
            let out = command.arg("-c").arg(self.file()).args(args).stdin(Stdio::null()).output().unwrap();
            if out.status.success() {
                return String::from_utf8_lossy(&out.stdout).into_owned();
            }
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(Instant::now() < deadline, "garage {args:?}: {said}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub fn bucket(&self, name: &str) {
        self.told(&["bucket", "create", name]);
    }

    pub fn key(&self, name: &str) -> Key {
        let said = self.told(&["key", "create", name]);
        let field = |name: &str| {
            let line = said.lines().find_map(|line| line.trim().strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {said}")).trim().to_owned()
        };
        (field("Key ID:"), field("Secret key:"))
    }

    /// `rights`: of `--read`, `--write`, `--owner`.
    pub fn allow(&self, bucket: &str, key: &Key, rights: &[&str]) {
        self.told(&[&["bucket", "allow"], rights, &[bucket, "--key", &key.0]].concat());
    }

    /// The folder with its configuration, its log and everything that it holds.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
