//! `atelier export`: what a portal holds, as documents that `atelier apply` takes.

use crate::{
    client::{Client, NoAnswer, ServerArgs},
    documents::Format,
};
use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use domain::{
    name::Name,
    resource::{Document, EndpointSpec, Kind, Metadata, RunSpec, Spec, TenantSpec},
};
use std::process::ExitCode;

/// Writes YAML to the standard output: the tenant, its runs, its endpoints. What the token may not see is left out, and named on the standard
/// error. Ends with 1 when nothing at all could be seen.
#[derive(Args)]
pub struct ExportArgs {
    #[arg(long)]
    tenant: String,
    /// Only these; may be given several times.
    #[arg(long, value_enum, value_delimiter = ',')]
    kind: Vec<KindName>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KindName {
    Tenant,
    Run,
    Endpoint,
}

impl KindName {
    pub fn kind(self) -> Kind {
        match self {
            Self::Tenant => Kind::Tenant,
            Self::Run => Kind::Run,
            Self::Endpoint => Kind::Endpoint,
        }
    }
}

pub async fn run(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let tenant: Name = args.tenant.parse().context("--tenant")?;
    let client = Client::open(&args.server).await?;
    let wants = |kind| args.kind.is_empty() || args.kind.contains(&kind);
    let mut seen = false;
    if wants(KindName::Tenant) {
        let metadata = Metadata { name: tenant.clone(), tenant: None };
        let found = client.get::<TenantSpec>(&metadata).await.map(|found| found.map(|document| vec![document]));
        seen |= told(&format!("the tenant {tenant} (a platform admin or auditor sees it)"), found)?;
    }
    if wants(KindName::Run) {
        seen |= told(&format!("the runs of {tenant} (its members see them)"), visible(client.list::<RunSpec>(Some(&tenant)).await))?;
    }
    if wants(KindName::Endpoint) {
        let found = visible(client.list::<EndpointSpec>(Some(&tenant)).await);
        seen |= told(&format!("the endpoints of {tenant} (its members see them)"), found)?;
    }
    Ok(if seen { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn visible<T>(found: Result<T, NoAnswer>) -> Result<Option<T>, NoAnswer> {
    match found {
        Err(e) if e.is_not_found() => Ok(None),
        found => found.map(Some),
    }
}

/// Writes them; false when they may not be seen.
fn told<S: Spec>(what: &str, found: Result<Option<Vec<Document<S>>>, NoAnswer>) -> anyhow::Result<bool> {
    let Some(mut documents) = found.map_err(|e| anyhow!("{e}"))? else {
        eprintln!("Left out: {what}.");
        return Ok(false);
    };
    documents.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    for document in documents {
        print!("---\n{}", Format::Yaml.write(&document.without_status()).map_err(|e| anyhow!(e))?);
    }
    Ok(true)
}
