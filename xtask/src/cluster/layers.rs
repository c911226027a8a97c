//! Layers of images that are folders of this machine, given to containerd without packing and unpacking them.
//!
//! The environments of trainer and model server hold 11 GB. As archives they would lie on the disk three times (archive, containerd's
//! copy of it, what it unpacks) and take minutes. So the archive of a layer holds one small file that names its content, and the
//! snapshot that containerd would unpack it into is made by us before, by its own client, with hard links to what lies in the cache.
//! Containers see a layer as any other: read-only, below their own files.

use super::{ctr::ctr, place::Place};
use crate::{interrupt, run::run};
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const SNAPSHOT_IN_THE_MAKING: &str = "atelier-filling";
/// What keeps a snapshot from containerd's collection of garbage until an image refers to it.
const KEEP: &str = "containerd.io/gc.root";

#[derive(Clone)]
pub struct Layer {
    /// With a hash of what it was made from.
    pub name: String,
    pub content: Content,
}

#[derive(Clone)]
pub enum Content {
    /// A whole root file system.
    Root(PathBuf),
    /// A Python environment, to be used at another path than where it was installed.
    Environment { from: PathBuf, to: &'static str },
    /// One program.
    Program { from: PathBuf, to: &'static str },
}

/// A layer as containerd knows it.
pub struct Packed {
    pub archive: PathBuf,
    /// Digest of the archive.
    pub digest: String,
    /// Name of the snapshot that holds this layer on the ones below.
    pub chain: String,
}

impl Layer {
    /// Makes the archive and the snapshot. `below`: the layer under it.
    pub fn pack(&self, place: &Place, below: Option<&Packed>) -> Result<Packed> {
        let folder = place.folder("images")?;
        let archive = folder.join(format!("{}.tar", self.name));
        let inside = folder.join(&self.name);
        fs::create_dir_all(&inside)?;
        fs::write(inside.join(".atelier-layer"), &self.name)?;
        pack_folder(&inside, &archive)?;
        fs::remove_dir_all(&inside)?;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(fs::read(&archive)?)));
        let chain = below.map_or_else(|| digest.clone(), |b| chain(&b.chain, &digest));
        self.snapshot(place, &chain, below)?;
        Ok(Packed { archive, digest, chain })
    }

    fn snapshot(&self, place: &Place, chain: &str, below: Option<&Packed>) -> Result<()> {
        let asked = |words: &[&str]| ctr(place).arg("snapshots").args(words).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if asked(&["info", chain])?.success() {
            return Ok(());
        }
        interrupt::check()?;
        // Of a time that was broken off.
        asked(&["remove", SNAPSHOT_IN_THE_MAKING])?;
        let mut prepare = ctr(place);
        prepare.args(["snapshots", "prepare", SNAPSHOT_IN_THE_MAKING]).args(below.map(|b| &b.chain));
        run(prepare.stdout(Stdio::null()))?;
        let mounts = ctr(place).args(["snapshots", "mounts", "/mnt", SNAPSHOT_IN_THE_MAKING]).output()?;
        let mounts = String::from_utf8_lossy(&mounts.stdout).into_owned();
        let folder = folder_of(&mounts).with_context(|| format!("containerd does not say where a snapshot lies: {mounts}"))?;
        self.content.fill(&folder)?;
        run(ctr(place).args(["snapshots", "commit", chain, SNAPSHOT_IN_THE_MAKING]))
    }
}

/// To be called when an image refers to the snapshot: it then goes with the image.
pub fn release(place: &Place, packed: &Packed) -> Result<()> {
    run(ctr(place).args(["snapshots", "label", &packed.chain, &format!("{KEEP}=")]).stdout(Stdio::null()))
}

/// The name of a snapshot with a layer on it, as the specification of OCI images says.
fn chain(below: &str, digest: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(format!("{below} {digest}"))))
}

/// Where one writes into a snapshot, from the mount that containerd's client would have us make.
fn folder_of(mounts: &str) -> Option<PathBuf> {
    let upper = mounts.split([' ', ',']).find_map(|word| word.strip_prefix("upperdir="));
    // The lowest layer has nothing under it.
    let alone = || mounts.strip_prefix("mount -t bind ")?.split(' ').next();
    upper.or_else(alone).map(PathBuf::from)
}

/// An archive that is the same whenever the folder is.
pub fn pack_folder(folder: &Path, archive: &Path) -> Result<()> {
    run(Command::new("tar")
        .args(["--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(folder)
        .arg("."))
}

impl Content {
    fn fill(&self, root: &Path) -> Result<()> {
        match self {
            Self::Root(from) => link(&from.join("."), root),
            Self::Program { from, to } => {
                let to = inside(root, to)?;
                fs::create_dir_all(to.parent().context("a program lies in a folder")?)?;
                link(from, &to)
            }
            Self::Environment { from, to } => environment(from, &inside(root, to)?, to),
        }
    }
}

fn inside(root: &Path, path: &str) -> Result<PathBuf> {
    Ok(root.join(path.strip_prefix('/').context("paths in an image are absolute")?))
}

/// Everything is linked but what names the place where it was installed: scripts begin with the path of their Python.
fn environment(from: &Path, into: &Path, path: &str) -> Result<()> {
    fs::create_dir_all(into.join("bin"))?;
    for entry in fs::read_dir(from)?.flatten() {
        let name = entry.file_name();
        if name != "bin" && name != "pyvenv.cfg" {
            link(&entry.path(), &into.join(&name))?;
        }
    }
    let mut folders = fs::read_dir(from.join("lib"))?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let python = folders.find(|name| name.starts_with("python3")).context("an environment has a folder of its libraries")?;
    let python = format!("/usr/bin/{python}");
    fs::write(into.join("pyvenv.cfg"), "home = /usr/bin\ninclude-system-site-packages = false\n")?;
    let old = format!("#!{}/bin/", from.display());
    for entry in fs::read_dir(from.join("bin"))?.flatten() {
        let to = into.join("bin").join(entry.file_name());
        if entry.file_type()?.is_symlink() {
            symlink(&python, &to)?;
            continue;
        }
        let bytes = fs::read(entry.path())?;
        match bytes.strip_prefix(old.as_bytes()) {
            Some(rest) => fs::write(&to, [format!("#!{path}/bin/").as_bytes(), rest].concat())?,
            None => fs::write(&to, bytes)?,
        }
        fs::set_permissions(&to, entry.metadata()?.permissions())?;
    }
    Ok(())
}

/// By hard links, which cost no room; copied where the cluster's folder is on another disk.
fn link(from: &Path, to: &Path) -> Result<()> {
    let copy = |how: &str| Command::new("cp").args(["--archive", how]).arg(from).arg(to).stderr(Stdio::null()).status();
    if copy("--link")?.success() {
        return Ok(());
    }
    ensure!(copy("--reflink=auto")?.success(), "{} could not be copied to {}", from.display(), to.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn the_folder_of_a_snapshot_is_where_one_writes() {
        let lowest = "mount -t bind /c/snapshots/1/fs /mnt -o rw,rbind\n";
        assert_eq!(folder_of(lowest), Some("/c/snapshots/1/fs".into()));
        let above = "mount -t overlay overlay /mnt -o index=off,workdir=/c/2/work,upperdir=/c/2/fs,lowerdir=/c/1/fs\n";
        assert_eq!(folder_of(above), Some("/c/2/fs".into()));
        assert_eq!(folder_of("ctr: not found"), None);
    }

    #[test]
    fn a_moved_environment_starts_its_own_python_and_costs_no_room() {
        let dir = std::env::temp_dir().join(format!("atelier-moved-{}", std::process::id()));
        let from = dir.join("envs/trainer");
        fs::create_dir_all(from.join("bin")).unwrap();
        fs::create_dir_all(from.join("lib/python3.11")).unwrap();
        fs::write(from.join("lib/python3.11/large.so"), "large").unwrap();
        // Some packages put their own there too.
        fs::write(from.join("lib/libother.so"), "").unwrap();
        fs::write(from.join("pyvenv.cfg"), "home = /somebody/else\n").unwrap();
        let script = from.join("bin/torchrun");
        fs::write(&script, format!("#!{}/bin/python\nprint(1)\n", from.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        symlink("/somebody/else/python3.11", from.join("bin/python")).unwrap();
        let root = dir.join("root");
        fs::create_dir_all(&root).unwrap();
        Content::Environment { from: from.clone(), to: "/opt/trainer" }.fill(&root).unwrap();
        let moved = root.join("opt/trainer");
        assert_eq!(fs::read_to_string(moved.join("bin/torchrun")).unwrap(), "#!/opt/trainer/bin/python\nprint(1)\n");
        assert_eq!(fs::metadata(moved.join("bin/torchrun")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_link(moved.join("bin/python")).unwrap(), Path::new("/usr/bin/python3.11"));
        let number = |at: &Path| fs::metadata(at.join("lib/python3.11/large.so")).unwrap().ino();
        assert_eq!(number(&moved), number(&from));
        assert!(fs::read_to_string(from.join("pyvenv.cfg")).unwrap().contains("somebody"), "the original stays as it was");
        fs::remove_dir_all(&dir).unwrap();
    }
}
