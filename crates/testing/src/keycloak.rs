//! A real Keycloak on this machine, for the tests of one program. It starts within half a minute or so, so a program starts it once; each
//! test makes a realm of its own in it. It ends with the program that started it, however that ends.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Names the folder of Keycloak's distribution (`bin/kc.sh` is in it).
pub const FOLDER: &str = "ATELIER_KEYCLOAK";
/// The realm of the demo, as Keycloak imports it.
pub const REALM: &str = include_str!("../../../end2end/keycloak/realm.json");
/// Name and password of the admin of the realm `master`.
pub const ADMIN: &str = "admin";

/// On a busy machine with two cores.
const READY_WITHIN: Duration = Duration::from_secs(400);

/// Ends the whole group when nothing more can come in on its standard input, because the program that started it has ended; and when
/// Keycloak itself has.
const UNTIL_THE_PROGRAM_ENDS: &str = r#"("$@" < /dev/null; kill -KILL 0) & cat > /dev/null; kill -KILL 0"#;

pub struct Keycloak {
    /// `http://127.0.0.1:port`
    pub address: String,
    /// `https://127.0.0.1:port`, where it was given a certificate.
    pub tls: Option<String>,
    /// As it is started, again too.
    command: Command,
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

/// `certificate`: certificate and key as PEM, for 127.0.0.1. None: [`FOLDER`] does not name one.
///
/// # Panics
/// When it does not start: the test says what Keycloak said.
pub fn start(certificate: Option<(&str, &str)>) -> Option<Keycloak> {
    let named = PathBuf::from(std::env::var_os(FOLDER).filter(|folder| !folder.is_empty())?);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = copy(&named, folder.path()).unwrap_or_else(|e| panic!("{} cannot be copied: {e}", named.display()));
    let (port, management) = (free_port(), free_port());
    let mut command = Command::new("sh");
    command.args(["-c", UNTIL_THE_PROGRAM_ENDS, "keycloak"]).arg(home.join("bin/kc.sh")).arg("start-dev");
    let settings =
        [("http-host", "127.0.0.1".to_owned()), ("http-port", port.to_string()), ("http-management-port", management.to_string())];
    command.args(settings.iter().map(|(name, value)| format!("--{name}={value}")));
    let mut tls = None;
    if let Some((certificate, key)) = certificate {
        let port = free_port();
        let (certificate_file, key_file) = (folder.path().join("tls.pem"), folder.path().join("tls.key"));
        fs::write(&certificate_file, certificate).expect("a file");
        fs::write(&key_file, key).expect("a file");
        command.arg(format!("--https-port={port}"));
        command.arg(format!("--https-certificate-file={}", certificate_file.display()));
        command.arg(format!("--https-certificate-key-file={}", key_file.display()));
        tls = Some(format!("https://127.0.0.1:{port}"));
    }
    command
        .env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN)
        .env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN)
        // Quick to start before quick to run, and no more memory than it needs.
        .env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1")
        .env("JAVA_OPTS_KC_HEAP", "-Xms64m -Xmx768m")
        .process_group(0);
    let process = spawned(&mut command, folder.path());
    let mut me = Keycloak { address: format!("http://127.0.0.1:{port}"), tls, command, process, port, folder };
    me.until_it_answers();
    Some(me)
}

fn spawned(command: &mut Command, folder: &Path) -> Child {
    let log = File::options().create(true).append(true).open(log(folder)).expect("a log file");
    command.stdin(Stdio::piped()).stdout(log.try_clone().expect("a log file")).stderr(log).spawn().expect("sh")
}

fn log(folder: &Path) -> PathBuf {
    folder.join("keycloak.log")
}

impl Keycloak {
    fn answers(&self) -> bool {
        let ask = || -> io::Result<bool> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            stream.write_all(b"GET /realms/master HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
            let mut head = [0; 12];
            stream.read_exact(&mut head)?;
            Ok(&head == b"HTTP/1.1 200")
        };
        ask().unwrap_or(false)
    }

    fn until_it_answers(&mut self) {
        let until = Instant::now() + READY_WITHIN;
        while !self.answers() {
            let ended = self.process.try_wait().is_ok_and(|ended| ended.is_some());
            let said = || fs::read_to_string(log(self.folder.path())).unwrap_or_default();
            assert!(!ended && Instant::now() < until, "Keycloak did not start:\n{}", said());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// After [`Keycloak::end`]: on the same data and the same ports, so that whoever was signed in there still is.
    ///
    /// # Panics
    /// When it does not start.
    pub fn come_back(&mut self) {
        self.process = spawned(&mut self.command, self.folder.path());
        self.until_it_answers();
    }

    /// The process of its group; to be ended by whoever wants it away before its time.
    pub fn end(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl Drop for Keycloak {
    fn drop(&mut self) {
        self.end();
    }
}

/// A copy that it may write into. What it reads only are the same files, where the folders lie on one disk.
fn copy(from: &Path, to: &Path) -> io::Result<PathBuf> {
    let home = to.join("keycloak");
    fs::create_dir(&home)?;
    for part in ["bin", "conf", "providers", "themes", "lib"] {
        let linked = part == "lib" && run(Command::new("cp").arg("-al").arg(from.join(part)).arg(&home)).is_ok();
        if linked {
            // It writes here what it has made of its settings.
            fs::remove_dir_all(home.join("lib/quarkus"))?;
            run(Command::new("cp").arg("-a").arg(from.join("lib/quarkus")).arg(home.join("lib")))?;
        } else {
            drop(fs::remove_dir_all(home.join(part)));
            run(Command::new("cp").arg("-a").arg(from.join(part)).arg(&home))?;
        }
    }
    Ok(home)
}

fn run(command: &mut Command) -> io::Result<()> {
    let out = command.output()?;
    if out.status.success() { Ok(()) } else { Err(io::Error::other(String::from_utf8_lossy(&out.stderr).into_owned())) }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a free port").port()
}
