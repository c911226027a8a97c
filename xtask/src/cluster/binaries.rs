//! The programs of the cluster, built or fetched once per machine into the cache folder. Each folder's name says what it was made
//! from: a changed pin makes a new one.

use crate::{
    envs::{cache, which},
    folders::root,
    run::{cargo, run},
};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

const GARAGE: &str = "2.5.0";
const KEYCLOAK: &str = "26.7.3";
/// Of the plug-in that fetches by Maven's coordinates.
const MAVEN_DEPENDENCY: &str = "3.8.1";

/// Folders with programs.
pub struct Binaries {
    pub etcd: PathBuf,
    pub coredns: PathBuf,
    pub kube_router: PathBuf,
    pub kubernetes: PathBuf,
    pub garage: PathBuf,
    pub keycloak: PathBuf,
}

impl Binaries {
    /// Builds and fetches what is missing.
    pub fn ensure() -> Result<Self> {
        Ok(Self {
            etcd: ETCD.ensure()?,
            kubernetes: KUBERNETES.ensure()?,
            // After Kubernetes, of which it uses parts that are built by then.
            coredns: COREDNS.ensure()?,
            kube_router: KUBE_ROUTER.ensure()?,
            garage: garage()?,
            keycloak: keycloak()?,
        })
    }
}

/// Where the cluster's programs and the folders of its images lie.
pub fn tools() -> Result<PathBuf> {
    Ok(cache()?.join("cluster-tools"))
}

/// Makes a folder in the cache, whole or not at all: what was broken off is thrown away.
pub fn once(name: &str, what: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = tools()?.join(name);
    if folder.exists() {
        return Ok(folder);
    }
    let partial = tools()?.join(format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("{} cannot be made", partial.display()))?;
    println!("  {what}, once on this machine");
    let began = Instant::now();
    make(&partial).with_context(|| format!("{what} failed"))?;
    fs::rename(&partial, &folder)?;
    println!("  {what}: {:.0} s", began.elapsed().as_secs_f32());
    Ok(folder)
}

/// Programs of one Go module file in `cluster/`. Several files, because each part wants other versions of the same libraries.
struct GoPrograms {
    module: &'static str,
    /// The file that names what is built.
    source: &'static str,
    packages: &'static [&'static str],
    /// The module whose version the programs shall say, and the package in which they look for it.
    says: Option<(&'static str, &'static str)>,
}

const ETCD: GoPrograms = GoPrograms { module: "etcd", source: "tools.go", packages: &["go.etcd.io/etcd/server/v3"], says: None };
const COREDNS: GoPrograms = GoPrograms { module: "coredns", source: "main.go", packages: &["."], says: None };
const KUBE_ROUTER: GoPrograms = GoPrograms { module: "kube-router", source: "main.go", packages: &["."], says: None };
const HELM: GoPrograms = GoPrograms { module: "helm", source: "tools.go", packages: &["helm.sh/helm/v4/cmd/helm"], says: None };
const KUEUE: GoPrograms = GoPrograms { module: "kueue", source: "tools.go", packages: &["sigs.k8s.io/kueue/cmd/kueue"], says: None };
const KUBERNETES: GoPrograms = GoPrograms {
    module: "kubernetes",
    source: "tools.go",
    packages: &[
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        "k8s.io/kubernetes/cmd/kubectl",
        "k8s.io/kubernetes/cmd/kubelet",
    ],
    says: Some(("k8s.io/kubernetes", "k8s.io/component-base/version")),
};

/// Helm, with which the chart is tested; where there is no Go, none.
pub fn helm() -> Result<Option<PathBuf>> {
    if which("go").is_none() {
        return Ok(None);
    }
    Ok(Some(HELM.ensure()?.join("helm")))
}

/// The same where it was built before.
pub fn built_helm() -> Option<PathBuf> {
    let program = tools().ok()?.join(keyed(HELM.module, &HELM.pins().ok()?)).join("helm");
    program.exists().then_some(program)
}

/// The folder with Kueue, for which the engine waits in queues, and with the objects that it is installed by.
pub fn kueue() -> Result<PathBuf> {
    let folder = KUEUE.ensure()?;
    let objects = folder.join("kueue.yaml");
    if !objects.exists() {
        let list = ["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kueue"];
        let module = said(Command::new("go").current_dir(KUEUE.source()).args(list))?;
        let kustomize = ["kustomize", &format!("{}/config/default", module.trim())];
        fs::write(&objects, said(Command::new(KUBERNETES.ensure()?.join("kubectl")).args(kustomize))?)?;
    }
    Ok(folder)
}

/// What a program prints.
fn said(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("{command:?} could not be started"))?;
    anyhow::ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(String::from_utf8(out.stdout)?)
}

impl GoPrograms {
    fn source(&self) -> PathBuf {
        root().join("cluster").join(self.module)
    }

    fn pins(&self) -> Result<Vec<u8>> {
        let mut pins = Vec::new();
        for file in ["go.mod", "go.sum", self.source] {
            pins.extend(fs::read(self.source().join(file)).with_context(|| format!("cluster/{}/{file} is missing", self.module))?);
        }
        Ok(pins)
    }

    fn ensure(&self) -> Result<PathBuf> {
        let (source, pins) = (self.source(), self.pins()?);
        let name = keyed(self.module, &pins);
        once(&name, &format!("building {}", self.module), |folder| {
            let mut flags = "-s -w".to_owned();
            if let Some((module, package)) = self.says {
                flags += &version_flags(package, required(&String::from_utf8_lossy(&pins), module)?);
            }
            run(Command::new("go")
                .current_dir(&source)
                .env("CGO_ENABLED", "0")
                .args(["build", "-trimpath", "-ldflags", &flags, "-o"])
                .arg(folder)
                .args(self.packages))
        })
    }
}

/// A name with a hash of what it was made from.
pub fn keyed(name: &str, pins: &[u8]) -> String {
    format!("{name}-{}", hex::encode(&Sha256::digest(pins)[..6]))
}

/// The version of `module` that a module file requires.
fn required<'a>(file: &'a str, module: &str) -> Result<&'a str> {
    let mut lines = file.lines().map(|line| line.trim().trim_start_matches("require ").trim());
    lines
        .find_map(|line| line.strip_prefix(module)?.strip_prefix(' ')?.split(' ').next().filter(|v| v.starts_with('v')))
        .with_context(|| format!("{module} is not required"))
}

/// Clients look at this version to know what the server can.
fn version_flags(package: &str, version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    format!(" -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}")
}

/// The S3 store: the program's path. Without optimisation, debug information and the parts that nobody here asks: a third of the time.
pub fn garage() -> Result<PathBuf> {
    let build = tools()?.join(format!("garage-{GARAGE}.build"));
    let folder = once(&garage_folder(), &format!("building Garage {GARAGE}"), |folder| {
        // A build folder of its own, kept until it is done: what was broken off goes on.
        run(cargo()
            .args(["install", "garage", "--version", &format!("={GARAGE}"), "--locked", "--debug"])
            .args(["--no-default-features", "--features", "bundled-libs,sqlite"])
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .env("CARGO_INCREMENTAL", "0")
            .arg("--root")
            .arg(folder)
            .arg("--target-dir")
            .arg(&build))?;
        Ok(())
    })?;
    if build.exists() {
        fs::remove_dir_all(&build)?;
    }
    Ok(folder.join("bin/garage"))
}

/// The same where it was built before.
pub fn built_garage() -> Option<PathBuf> {
    let program = tools().ok()?.join(garage_folder()).join("bin/garage");
    program.exists().then_some(program)
}

fn garage_folder() -> String {
    format!("garage-{GARAGE}")
}

/// Keycloak's folder, by Maven.
pub fn keycloak() -> Result<PathBuf> {
    let folder = once(&format!("keycloak-{KEYCLOAK}"), &format!("fetching Keycloak {KEYCLOAK}"), |folder| {
        run(Command::new("mvn")
            .args(["--quiet", "--batch-mode"])
            .arg(format!("org.apache.maven.plugins:maven-dependency-plugin:{MAVEN_DEPENDENCY}:unpack"))
            .arg(format!("-Dartifact=org.keycloak:keycloak-quarkus-dist:{KEYCLOAK}:zip"))
            .arg(format!("-DoutputDirectory={}", folder.display()))
            .current_dir(folder))
    })?;
    Ok(folder.join(format!("keycloak-{KEYCLOAK}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_programs_say_is_the_one_that_is_pinned() {
        let file = "module a\n\nrequire k8s.io/kubernetes v1.36.3\n\nreplace (\n\tk8s.io/api => k8s.io/api v0.36.3\n)\n";
        assert_eq!(required(file, "k8s.io/kubernetes").unwrap(), "v1.36.3");
        assert!(required(file, "k8s.io/kube").is_err());
        let flags = version_flags("v", "v1.36.3");
        assert!(flags.contains("v.gitVersion=v1.36.3") && flags.contains("v.gitMajor=1") && flags.contains("v.gitMinor=36"), "{flags}");
    }
}
