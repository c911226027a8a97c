//! A port on 127.0.0.1: whether it is free, and whose it is.

use anyhow::{Context, Result, bail};
use std::{fs, io::ErrorKind, net::TcpListener};

/// The port itself, or for 0 any free one; refused in words when somebody listens there.
pub fn free(port: u16) -> Result<u16> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(listener) => Ok(listener.local_addr()?.port()),
        Err(e) if e.kind() == ErrorKind::AddrInUse => bail!(
            "port {port} is in use, perhaps by another demo: stop it (Ctrl-C in its terminal), or choose another port with --port, as in: make demo ARGS=\"--port {}\"",
            port.checked_add(1).unwrap_or(3001)
        ),
        Err(e) => Err(e).with_context(|| format!("port {port} cannot be used; choose another one with --port")),
    }
}

/// Whether the process `pid` listens on 127.0.0.1:`port`: only then an answer from there is its own.
pub fn listens(pid: u32, port: u16) -> bool {
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let Some(inode) = listener(&table, port) else { return false };
    let wanted = format!("socket:[{inode}]");
    fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str()))
}

/// The number of the socket that listens there, from the kernel's table.
fn listener(table: &str, port: u16) -> Option<&str> {
    const LISTENS: &str = "0A";
    let address = format!("0100007F:{port:04X}");
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let here = words.nth(1)? == address && words.nth(1)? == LISTENS;
        here.then(|| words.nth(5)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_and_its_owner_is_known() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let refused = free(port).unwrap_err().to_string();
        assert!(refused.contains(&format!("port {port} is in use")) && refused.contains("--port"), "{refused}");
        assert!(listens(std::process::id(), port));
        // This test's parent lives, and listens to nothing.
        assert!(!listens(std::os::unix::process::parent_id(), port));
        drop(taken);
        assert_eq!(free(port).unwrap(), port);
        assert!(!listens(std::process::id(), port));
        assert_ne!(free(0).unwrap(), 0);
    }
}
