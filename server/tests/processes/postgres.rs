//! A real PostgreSQL for one test: own folder, own port, gone at the end.

use super::{free_port, wire::Wire};
use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub struct Postgres {
    /// None while it is stopped.
    server: Option<Child>,
    programs: PathBuf,
    port: u16,
    pub url: String,
    folder: tempfile::TempDir,
}

impl Postgres {
    /// `None` where PostgreSQL is not installed: the test is then skipped.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            testing::skip("PostgreSQL is not installed (Debian: apt-get install postgresql)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        if let Some((uid, gid)) = user() {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let mut init = Command::new(programs.join("initdb"));
        init.arg("-D").arg(folder.path().join("data")).args(["-U", "atelier", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        assert!(as_user(init).status().unwrap().success(), "initdb failed");
        let port = free_port();
        let url = Self::at(port);
        let mut me = Self { server: None, programs, port, url, folder };
        me.come_back();
        Some(me)
    }

    /// Its address, by this port.
    fn at(port: u16) -> String {
        format!("postgres://atelier@127.0.0.1:{port}/postgres")
    }

    /// A wire to it, and its address by that.
    pub async fn wire(&self) -> (Wire, String) {
        let wire = Wire::to(self.port).await;
        let url = Self::at(wire.port);
        (wire, url)
    }

    /// Ends it at once, with its children: as a power cut, but that the disk keeps what it was given.
    pub fn go_away(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = Command::new("sh").args(["-c", &format!("kill -QUIT {}", server.id())]).status();
            let _ = server.wait();
        }
    }

    /// On the same data and the same port.
    pub fn come_back(&mut self) {
        let data = self.folder.path().join("data");
        let mut server = Command::new(self.programs.join("postgres"));
        server.arg("-D").arg(&data).args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-c",
            "fsync=off",
            "-c",
            "unix_socket_directories=",
        ]);
        // Left by one that went away.
        drop(fs::remove_file(data.join("postmaster.pid")));
        self.server = Some(as_user(server).spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(60);
        // The last line of this file is its state; its own client that asks may not be installed.
        let is_ready = || fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| text.trim_end().ends_with("ready"));
        while !is_ready() {
            assert!(Instant::now() < until, "PostgreSQL was not ready within 60 s");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.go_away();
    }
}

/// It refuses to run as root.
fn user() -> Option<(u32, u32)> {
    nobody_else_than_root().then(unprivileged)
}

fn as_user(mut command: Command) -> Command {
    if let Some((uid, gid)) = user() {
        command.uid(uid).gid(gid);
    }
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// On the path, or where Debian keeps its versions.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut versions: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin")).collect();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    folders.into_iter().find(|f| f.join("initdb").exists() && f.join("postgres").exists())
}

fn nobody_else_than_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// User and group `postgres`, or `nobody`.
fn unprivileged() -> (u32, u32) {
    let users = fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    let find = |name: &str| {
        let line = users.lines().find(|l| l.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).unwrap_or((65534, 65534))
}
