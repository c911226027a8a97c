//! The images of the tests, without a registry: one base, and on it the program, the trainer, the model server. `images/` says the
//! same for people who have a registry.

use super::{
    binaries::{self, Binaries},
    ctr::ctr,
    layers::{self, Content, Layer},
    place::Place,
};
use crate::{
    envs::{self, Environment},
    folders::target,
    run::{cargo, run},
};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub const PAUSE: &str = "atelier.local/pause:test";
/// CoreDNS, in a pod as everywhere.
pub const NAMES: &str = "atelier.local/names:test";
const TASK: &str = "atelier.local/task:test";
const TRAINER: &str = "atelier.local/trainer:test";
const VLLM: &str = "atelier.local/vllm:test";

/// The Debian that the environments' Python is of.
const SUITE: &str = "bookworm";
const PACKAGES: &str = "python3,ca-certificates,libgomp1,libnuma1";

/// For the description of the cluster.
pub fn names() -> Value {
    json!({"pause": PAUSE, "task": TASK, "trainer": TRAINER, "vllm": VLLM})
}

struct Image {
    name: &'static str,
    layer: Option<Layer>,
    /// What the image says about itself.
    config: Value,
}

pub struct Pieces {
    base: Layer,
    images: Vec<Image>,
}

/// Everything that images are made of, built and installed where it is missing.
pub fn pieces(binaries: &Binaries) -> Result<Pieces> {
    let python = |at: &str, variable: &str| {
        json!({"Env": [
            format!("PATH={at}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            format!("{variable}={at}/bin/python"),
        ]})
    };
    let images = vec![
        Image { name: PAUSE, layer: None, config: json!({"Entrypoint": ["/usr/bin/sleep", "infinity"]}) },
        Image { name: NAMES, layer: Some(name_server(binaries)?), config: json!({}) },
        Image { name: TASK, layer: Some(program()?), config: json!({"Entrypoint": ["/usr/local/bin/atelier"]}) },
        Image {
            name: TRAINER,
            layer: Some(environment(&envs::TRAINER, "/opt/trainer")?),
            config: python("/opt/trainer", domain::environment::TRAINER.variable),
        },
        Image {
            name: VLLM,
            layer: Some(environment(&envs::MODEL_SERVER, "/opt/vllm")?),
            config: python("/opt/vllm", domain::environment::MODEL_SERVER.variable),
        },
    ];
    Ok(Pieces { base: base()?, images })
}

fn base() -> Result<Layer> {
    let name = binaries::keyed("base", format!("{SUITE} {PACKAGES}").as_bytes());
    let folder = binaries::once(&name, "the base of the images", |folder| {
        run(Command::new("debootstrap")
            .args(["--variant=minbase", &format!("--include={PACKAGES}"), SUITE])
            .arg(folder)
            .stdout(Stdio::null()))
    })?;
    Ok(Layer { name, content: Content::Root(folder) })
}

fn name_server(binaries: &Binaries) -> Result<Layer> {
    let name = binaries.coredns.file_name().and_then(|name| name.to_str()).context("CoreDNS lies in a folder with a name")?.to_owned();
    Ok(Layer { name, content: Content::Program { from: binaries.coredns.join("coredns"), to: "/usr/local/bin/coredns" } })
}

fn environment(environment: &Environment, to: &'static str) -> Result<Layer> {
    let python = environment.ensure()?;
    let from = python.parent().and_then(Path::parent).context("a Python lies in an environment")?.to_owned();
    let name = from.file_name().and_then(|name| name.to_str()).context("an environment has a name")?.to_owned();
    Ok(Layer { name, content: Content::Environment { from, to } })
}

/// The program as it was built last, without its symbols.
fn program() -> Result<Layer> {
    let built = target().join("debug/atelier");
    if !built.exists() {
        run(cargo().args(["build", "-p", "server"]))?;
    }
    let folder = binaries::tools()?.join("task");
    fs::create_dir_all(&folder)?;
    let small = folder.join(format!("atelier-{}", std::process::id()));
    run(Command::new("strip").arg("-o").arg(&small).arg(&built))?;
    let name = binaries::keyed("task", &fs::read(&small)?);
    // One is enough: containerd has its own link to what an image of before holds.
    for before in fs::read_dir(&folder)?.flatten().filter(|entry| entry.path() != small) {
        fs::remove_file(before.path())?;
    }
    let from = folder.join("atelier");
    fs::rename(&small, &from)?;
    Ok(Layer { name, content: Content::Program { from, to: "/usr/local/bin/atelier" } })
}

/// Gives containerd the images that it does not have.
pub fn import(place: &Place, pieces: &Pieces) -> Result<()> {
    let there = ctr(place).args(["images", "list", "--quiet"]).output()?;
    let there = String::from_utf8_lossy(&there.stdout).into_owned();
    let base = pieces.base.pack(place, None)?;
    for image in &pieces.images {
        let top = image.layer.as_ref().map(|layer| layer.pack(place, Some(&base))).transpose()?;
        let all: Vec<&layers::Packed> = [Some(&base), top.as_ref()].into_iter().flatten().collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": all.iter().map(|l| &l.digest).collect::<Vec<_>>()},
        });
        let folder = place.folder("images")?;
        let mark = folder.join(format!("{}.imported", file_name(image.name)));
        let key = hex::encode(Sha256::digest(config.to_string()));
        if fs::read_to_string(&mark).is_ok_and(|before| before == key) && there.lines().any(|name| name == image.name) {
            continue;
        }
        let archive = archive(&folder, image.name, &config, &all)?;
        run(ctr(place).args(["images", "import"]).arg(&archive).stdout(Stdio::null()))?;
        fs::remove_file(&archive)?;
        all.iter().try_for_each(|packed| layers::release(place, packed))?;
        fs::write(mark, key)?;
    }
    Ok(())
}

fn file_name(image: &str) -> String {
    image.replace(['/', ':'], "-")
}

/// An image as `docker save` writes it.
fn archive(folder: &Path, name: &str, config: &Value, layers: &[&layers::Packed]) -> Result<PathBuf> {
    let inside = folder.join(file_name(name));
    fs::create_dir_all(&inside)?;
    let mut names = Vec::new();
    for layer in layers {
        let name = layer.archive.file_name().and_then(|n| n.to_str()).context("an archive has a name")?;
        fs::copy(&layer.archive, inside.join(name))?;
        names.push(name);
    }
    fs::write(inside.join("config.json"), config.to_string())?;
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": names}]);
    fs::write(inside.join("manifest.json"), manifest.to_string())?;
    let archive = folder.join(format!("{}.tar", file_name(name)));
    layers::pack_folder(&inside, &archive)?;
    fs::remove_dir_all(&inside)?;
    Ok(archive)
}
