//! `atelier tenant create|list|store-key|rotate-store-key|check-isolation|bundle`.

mod isolation;

use super::said;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use domain::{artefacts::StoreKey, compute::Compute, page::Cursor, problem::Problem, tenant::Quota};
use platform::{Platform, access::PlatformScope, tenants::NewTenant};
use std::{path::PathBuf, process::ExitCode};

#[derive(Subcommand)]
pub enum TenantCommand {
    /// Makes a tenant. Its people come from groups of the identity provider (`atelier/NAME/owner`).
    Create {
        /// Small letters, digits and `-`; stays for ever.
        name: String,
        /// What people read; default: the name.
        #[arg(long, default_value = "")]
        title: String,
        /// Runs that train at the same time.
        #[arg(long, default_value_t = Quota::default().concurrent_runs)]
        runs: u32,
        /// Gigabytes (2^30 bytes) in the store.
        #[arg(long, default_value_t = Quota::default().storage_bytes >> 30)]
        storage_gb: u64,
        /// Endpoints that are wanted at the same time.
        #[arg(long, default_value_t = Quota::default().endpoints)]
        endpoints: u32,
        #[command(flatten)]
        compute: ComputeArgs,
    },
    /// Checks from inside a pod of the tenant whether it is kept apart: other tenants, the API server, the database and the outside world must
    /// be out of reach. Ends with status 1 if one of them is not, and with 3 if nothing could be proven. A controller of the portal must run.
    CheckIsolation { name: String },
    /// Prints the objects around a tenant's runs and endpoints on a cluster as YAML, without secrets: for whoever applies them where the portal
    /// may make no namespaces (`kubectl apply --server-side --force-conflicts -f -`).
    Bundle { name: String },
    /// Lists the tenants with what they hold.
    List,
    /// Gives a tenant its key of an artefact store in S3, over an earlier one, after trying it: it must read and write the tenant's bucket,
    /// and read the platform's. What runs keeps the key that it started with. Not needed where the portal makes keys itself.
    StoreKey {
        name: String,
        /// File with the key: `{"access_key_id": "...", "secret_access_key": "..."}`.
        #[arg(long)]
        key: PathBuf,
    },
    /// Gives a tenant a new key of the artefact store that Garage makes. What runs goes on with the one before, which ends when nothing of the
    /// tenant works with it any more; model servers get the new one when they are started the next time.
    RotateStoreKey { name: String },
}

/// What its tasks may use of the machines at once; nothing said = no limit.
#[derive(Args, Debug)]
pub struct ComputeArgs {
    /// Whole GPUs.
    #[arg(long)]
    gpus: Option<u32>,
    /// Slices of GPUs of one profile: `1g.10gb=4`. May be given several times.
    #[arg(long)]
    mig: Vec<String>,
    /// CPU cores that are asked for.
    #[arg(long)]
    cpu: Option<u32>,
    /// Gigabytes (10^9 bytes) of memory.
    #[arg(long)]
    memory_gb: Option<u64>,
    /// Gigabytes (10^9 bytes) of the machines' own disks.
    #[arg(long)]
    disk_gb: Option<u64>,
}

impl ComputeArgs {
    fn read(self) -> anyhow::Result<Compute> {
        let mig = Compute::read_mig(&self.mig.join("\n")).map_err(|wrong| said(Problem::invalid(wrong)))?;
        let bytes = |gb: Option<u64>| gb.map(|gb| gb.saturating_mul(domain::size::GB));
        Ok(Compute { gpus: self.gpus, mig, cpu: self.cpu, memory: bytes(self.memory_gb), disk: bytes(self.disk_gb) })
    }
}

pub async fn run(command: TenantCommand, platform: &Platform) -> anyhow::Result<ExitCode> {
    let scope = PlatformScope::command_line();
    let tenants = platform.tenants(&scope);
    match command {
        TenantCommand::Create { name, title, runs, storage_gb, endpoints, compute } => {
            let storage_bytes = storage_gb.saturating_mul(domain::size::GB);
            let quota = Quota { concurrent_runs: runs, storage_bytes, endpoints, compute: compute.read()? };
            let tenant = tenants.create(NewTenant { name, title, quota }).await.map_err(said)?;
            println!("Tenant {} is there: /t/{}", tenant.name, tenant.name);
        }
        TenantCommand::StoreKey { name, key } => {
            let text = std::fs::read_to_string(&key).with_context(|| format!("{} cannot be read", key.display()))?;
            // Not the parser's words: they quote what they read.
            let Ok(key) = serde_json::from_str::<StoreKey>(&text) else {
                bail!(r#"{} holds no key: {{"access_key_id": "...", "secret_access_key": "..."}} is wanted"#, key.display());
            };
            tenants.set_store_key(&name, key).await.map_err(said)?;
            println!("The tenant {name} has a key of the artefact store, and it works.");
        }
        TenantCommand::CheckIsolation { name } => return isolation::check(&tenants, &name).await,
        TenantCommand::Bundle { name } => print!("{}", tenants.bundle(&name).await.map_err(said)?),
        TenantCommand::RotateStoreKey { name } => {
            let rotated = tenants.rotate_store_key(&name).await.map_err(said)?;
            println!(
                "The tenant {name} has the key {} of the artefact store, and it works. {} ends when nothing works with it any more.",
                rotated.access_key_id, rotated.replaced
            );
        }
        TenantCommand::List => {
            println!("{:<24} {:<10} {:>7} {:>6} {:>10} {:>9}", "name", "state", "members", "runs", "endpoints", "stored MB");
            let mut after = Some(Cursor::default());
            while let Some(from) = after {
                let page = tenants.list("", &from).await.map_err(said)?;
                for t in page.rows {
                    let h = t.holding;
                    println!(
                        "{:<24} {:<10} {:>7} {:>6} {:>10} {:>9}",
                        t.tenant.name.as_str(),
                        t.tenant.state.word(),
                        h.members,
                        h.runs_active + h.runs_queued,
                        h.endpoints,
                        h.storage_bytes >> 20
                    );
                }
                after = page.next;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
