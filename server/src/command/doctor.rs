//! `atelier doctor`: what the portal needs on this machine, what of it is there, and how to get the rest. Changes nothing.

mod store;

use crate::{
    config::{Config, EngineName, IdentityProvider, Locations, Python, ServeArgs},
    finding::Finding,
    signin::{SignIn, diagnosis},
};
use domain::environment::{MODEL_SERVER, PythonEnvironment, TRAINER};
use engine::{
    kubernetes::{Diagnosis, KubernetesEngine},
    local::LocalEngine,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

/// Free space below which a run of a small model may not fit, bytes.
const DISK: u64 = 10 << 30;
/// Memory for the portal, one training of a small model and one model server, bytes.
const MEMORY: u64 = 8 << 30;

/// What the doctor looks at besides the settings of `serve`.
#[derive(clap::Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub serve: ServeArgs,
    /// File with an ID token of the provider, or with its claims as JSON: says which roles it would give.
    #[arg(long)]
    pub id_token: Option<PathBuf>,
    /// File with the client as Keycloak exports it, or as `kcadm.sh get clients` prints it: says what is missing in its settings.
    #[arg(long)]
    pub client_file: Option<PathBuf>,
}

/// Prints one line a part; fails when something is missing.
pub async fn doctor(args: &DoctorArgs, locations: &Locations) -> ExitCode {
    let parts = look(args, locations).await;
    print!("{}", told(&parts));
    if parts.iter().any(|(_, finding)| matches!(finding, Finding::Missing(..))) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Each part by its name, in the order in which they are told.
pub async fn look(args: &DoctorArgs, locations: &Locations) -> Vec<(&'static str, Finding)> {
    let DoctorArgs { serve: args, id_token, client_file } = args;
    let mut parts = vec![
        ("data folder", data_folder(&locations.data)),
        ("disk", disk(&locations.data)),
        ("memory", memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default())),
        ("address", address(args)),
        ("browser files", browser_files(args)),
        ("database", database(locations)),
    ];
    parts.extend(store::store(locations).await.into_iter().map(|finding| ("artefact store", finding)));
    match locations.engine.engine {
        EngineName::Kubernetes => parts.push(("cluster", cluster(locations).await)),
        EngineName::Local => parts.extend([
            ("memory limits", memory_limits(args.task_memory, locations)),
            (TRAINER.what, python(locations.python(&TRAINER), &TRAINER, "llamafactory", "pins/trainer.txt")),
            (MODEL_SERVER.what, python(locations.python(&MODEL_SERVER), &MODEL_SERVER, "vllm", "pins/vllm-cpu.txt")),
            ("GPU", gpu()),
        ]),
    }
    let of_sign_in = sign_in(args, locations, id_token.as_deref(), client_file.as_deref()).await;
    parts.extend(of_sign_in.into_iter().map(|finding| ("sign-in", finding)));
    parts
}

/// For people: one line a part, and what to do.
pub fn told(parts: &[(&'static str, Finding)]) -> String {
    let mut missing = 0;
    let mut out = String::new();
    for (name, finding) in parts {
        out += &match finding {
            Finding::Good(what) => format!("ok       {name:<14} {what}\n"),
            Finding::Note(what) => format!("note     {name:<14} {what}\n"),
            Finding::Missing(what, how) => {
                missing += 1;
                format!("missing  {name:<14} {what}\n{:24}{how}\n", "")
            }
        };
    }
    out += &match missing {
        0 => "\nEverything is there.\n".to_owned(),
        n => format!(
            "\n{n} of the parts above {} missing or wrong. The portal starts without trainer, model server and identity provider, but runs and endpoints then fail, and nobody can sign in.\n",
            if n == 1 { "is" } else { "are" }
        ),
    };
    out
}

fn data_folder(data: &Path) -> Finding {
    let near = existing(data);
    let writable = std::fs::metadata(&near).is_ok_and(|m| m.is_dir() && !m.permissions().readonly());
    if writable {
        Finding::Good(data.display().to_string())
    } else {
        Finding::Missing(format!("{} cannot be written", data.display()), "Choose another folder with --data, or change its owner.".into())
    }
}

/// The folder itself, or the nearest above it that exists.
fn existing(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn disk(data: &Path) -> Finding {
    match nix::sys::statvfs::statvfs(&existing(data)) {
        Ok(v) => {
            let free = v.blocks_available() * v.fragment_size();
            let said = format!("{} GiB free", free >> 30);
            if free < DISK {
                Finding::Missing(said, format!("Free some space: at least {} GiB are needed for weights and checkpoints.", DISK >> 30))
            } else {
                Finding::Good(said)
            }
        }
        Err(e) => Finding::Note(format!("the free space cannot be told: {e}")),
    }
}

fn memory(meminfo: &str) -> Finding {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:"));
    let bytes = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).map(|kb| kb << 10);
    match bytes {
        Some(b) if b < MEMORY => Finding::Note(format!(
            "{:.1} GiB available; a model server on the CPU beside a training wants {} GiB",
            b as f64 / f64::from(1 << 30),
            MEMORY >> 30
        )),
        Some(b) => Finding::Good(format!("{} GiB available", b >> 30)),
        None => Finding::Note("the memory cannot be told".into()),
    }
}

/// Whether trainings and model servers can be held to the memory that they are given.
fn memory_limits(limit: Option<u64>, locations: &Locations) -> Finding {
    // Not the portal's own engine, which would make the data folder.
    let held = LocalEngine::new(locations.data.clone(), PathBuf::new(), BTreeMap::new()).holds().memory;
    match (held, limit) {
        (Ok(()), Some(bytes)) => {
            Finding::Good(format!("{} for each training and model server, held by the kernel", domain::size::bytes(bytes)))
        }
        (Ok(()), None) => Finding::Good("none is set (ATELIER_TASK_MEMORY); the kernel would hold one".into()),
        (Err(why), Some(bytes)) => Finding::Missing(
            format!("{} is set (ATELIER_TASK_MEMORY), and cannot be held", domain::size::bytes(bytes)),
            format!("{why} Until then a training or a model server may take all memory."),
        ),
        (Err(why), None) => Finding::Note(format!("none can be held here: {why}")),
    }
}

/// The cluster is really asked: whether it is there, and whether we may do what tasks need.
async fn cluster(locations: &Locations) -> Finding {
    let engine = match locations.engine.options() {
        Ok(options) => KubernetesEngine::new(options).await,
        Err(refused) => return Finding::Missing(refused.to_string(), "`atelier serve` does not start with these settings.".into()),
    };
    let diagnosis = match engine {
        Ok(engine) => engine.diagnose().await,
        Err(e) => Err(e),
    };
    match diagnosis {
        Ok(Diagnosis { version, refused }) if refused.is_empty() => Finding::Good(format!("Kubernetes {version}, all rights are there")),
        Ok(Diagnosis { version, refused }) => Finding::Missing(
            format!("Kubernetes {version}; we may not: {}", refused.join(", ")),
            "Give whoever the kubeconfig names (or the pod's service account) these rights in the namespaces of all tenants.".into(),
        ),
        Err(e) => Finding::Missing(
            e.to_string(),
            "Name the file that leads to the cluster with --kubeconfig, and see that its API server can be reached from here.".into(),
        ),
    }
}

fn address(args: &ServeArgs) -> Finding {
    match std::net::TcpListener::bind(args.listen) {
        Ok(_) => Finding::Good(format!("{} is free", args.listen)),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            Finding::Note(format!("{} is in use: by this portal, if it runs; else choose another with --listen", args.listen))
        }
        Err(e) => Finding::Missing(format!("{}: {e}", args.listen), "Choose another address with --listen.".into()),
    }
}

fn browser_files(args: &ServeArgs) -> Finding {
    let site = args.site.clone().unwrap_or_else(crate::config::site_beside_the_program);
    if site.join("pkg/files.json").exists() {
        Finding::Good(site.display().to_string())
    } else {
        Finding::Missing(
            format!("{} does not hold them", site.display()),
            "Build them with `make build`, or name their folder with --site.".into(),
        )
    }
}

fn python(python: Option<Python>, environment: &PythonEnvironment, package: &str, pins: &str) -> Finding {
    let variable = environment.variable;
    let how = format!(
        "`make demo` installs it, and the portal finds it then; by hand: uv venv --python 3.11 ENV, uv pip install --python ENV/bin/python -r {pins} (see pins/README.md), then {variable}=ENV/bin/python."
    );
    let Some(python) = python else {
        return Finding::Missing(
            format!(
                "{variable} names none, and {} is not in the cache folder (ATELIER_CACHE, or ~/.cache/atelier)",
                environment.folder().display()
            ),
            how,
        );
    };
    let ask = format!(
        "import importlib.metadata as m\nfor n in ('{package}', '{package}-cpu'):\n  try: print(m.version(n)); break\n  except m.PackageNotFoundError: pass\nelse: raise SystemExit(3)"
    );
    match Command::new(python.path()).args(["-I", "-c", &ask]).stdin(Stdio::null()).stderr(Stdio::null()).output() {
        Ok(out) if out.status.success() => {
            Finding::Good(format!("{package} {} with {python}", String::from_utf8_lossy(&out.stdout).trim()))
        }
        Ok(_) => Finding::Missing(format!("{} has no {package}", python.path().display()), how),
        Err(e) => Finding::Missing(format!("{} cannot be started: {e}", python.path().display()), how),
    }
}

fn gpu() -> Finding {
    match Command::new("nvidia-smi")
        .args(["--query-gpu=name,memory.total", "--format=csv,noheader"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
    {
        Ok(out) if out.status.success() && !out.stdout.is_empty() => {
            Finding::Good(String::from_utf8_lossy(&out.stdout).trim().replace('\n', "; "))
        }
        _ => Finding::Note("none seen: training and model servers use the CPU, which is enough for the demo".into()),
    }
}

fn database(locations: &Locations) -> Finding {
    match &locations.database_url {
        None => Finding::Good("SQLite in the data folder".into()),
        Some(url) => {
            Finding::Note(format!("{}; `atelier migrate` tells whether it answers", url.split([':', '?']).next().unwrap_or("database")))
        }
    }
}

/// The identity provider is really asked, as the portal would ask it.
async fn sign_in(args: &ServeArgs, locations: &Locations, id_token: Option<&Path>, client: Option<&Path>) -> Vec<Finding> {
    let config = match args.clone().settle(locations.clone(), args.listen) {
        Ok(config) => config,
        Err(refused) => return vec![Finding::Missing(refused.to_string(), "`atelier serve` does not start with these settings.".into())],
    };
    if matches!(config.provider, IdentityProvider::Development) && id_token.is_none() {
        return vec![Finding::Good("development provider, on this machine only".into())];
    }
    let portal = match SignIn::new(&config) {
        Ok(portal) => portal,
        Err(e) => return vec![Finding::Missing(format!("{e:#}"), "`atelier serve` does not start with these settings.".into())],
    };
    let mut found = match config.provider {
        IdentityProvider::Issuer(_) => portal.provider.diagnose_all(&portal.groups, &portal.audience).await,
        IdentityProvider::Development => Vec::new(),
    };
    if config.people_check_seconds.is_some() {
        found.push(people_check(&portal, &config).await);
    }
    let backchannel = format!("{}/auth/backchannel-logout", config.public_url);
    let asked = portal.provider.asked(&portal.groups, &portal.audience);
    found.extend(client.into_iter().flat_map(|file| diagnosis::of_the_client(&asked, &backchannel, file)));
    found.extend(id_token.map(|file| diagnosis::of_a_token(&portal.groups, file)));
    found
}

/// Asks about somebody who is nobody.
async fn people_check(portal: &SignIn, config: &Config) -> Finding {
    let next = "Until then people who leave keep their keys (ATELIER_PEOPLE_CHECK_SECONDS)".to_owned();
    match portal.admin_api(config) {
        Ok(Some(keycloak)) => match keycloak.presence("00000000-0000-0000-0000-000000000000").await {
            Ok(_) => Finding::Good("Keycloak says who has left".into()),
            Err(why) => Finding::Missing(why.to_string(), next),
        },
        Ok(None) => Finding::Missing("the provider is no Keycloak, so it cannot be asked who has left".into(), next),
        Err(e) => Finding::Missing(format!("{e:#}"), next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_memory_is_said_with_what_is_wanted() {
        assert!(matches!(memory("MemTotal: 9 kB\nMemAvailable:   16777216 kB\n"), Finding::Good(s) if s == "16 GiB available"));
        assert!(matches!(memory("MemAvailable: 1048576 kB\n"), Finding::Note(s) if s.starts_with("1.0 GiB")));
    }

    #[test]
    fn a_python_without_the_package_is_missing_and_says_how_to_get_it() {
        let named = Python::Named("/nonexistent/python".into());
        let Finding::Missing(what, how) = python(Some(named), &TRAINER, "llamafactory", "x.txt") else { panic!() };
        assert!(what.contains("/nonexistent/python") && how.contains("ATELIER_TRAINER_PYTHON"), "{what} {how}");
    }

    #[test]
    fn where_nothing_was_named_the_folder_that_was_looked_for_is_said() {
        let Finding::Missing(what, how) = python(None, &MODEL_SERVER, "vllm", "x.txt") else { panic!() };
        assert!(what.contains("ATELIER_VLLM_PYTHON") && what.contains("envs/vllm-") && how.contains("make demo"), "{what} {how}");
    }
}
