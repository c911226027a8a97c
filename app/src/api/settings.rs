//! The catalogue of settings for pages that show more of it than the form, and what two runs do not have alike.

use super::{AppError, Wire};
use domain::settings::{Catalogue, Difference};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

/// Every setting of the trainer.
#[server(prefix = "/rpc", endpoint = "settings/catalogue", output = Wire)]
pub async fn get_catalogue(tenant: String) -> Result<Catalogue, AppError> {
    let (_, scope) = super::scope(&tenant).await?;
    scope.permit(domain::policy::Action::RunRead)?;
    Ok(domain::settings::catalogue().clone())
}

/// The same, asked for once: it changes only with the program.
#[cfg(feature = "hydrate")]
pub async fn known_catalogue(tenant: String) -> Result<Catalogue, AppError> {
    use std::cell::RefCell;
    thread_local!(static KNOWN: RefCell<Option<Catalogue>> = const { RefCell::new(None) });
    if let Some(known) = KNOWN.with_borrow(Clone::clone) {
        return Ok(known);
    }
    let catalogue = get_catalogue(tenant).await?;
    KNOWN.set(Some(catalogue.clone()));
    Ok(catalogue)
}

#[cfg(not(feature = "hydrate"))]
pub async fn known_catalogue(tenant: String) -> Result<Catalogue, AppError> {
    get_catalogue(tenant).await
}

/// Where the settings of a run differ from those of another one, or from the trainer's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// The other run's id and name; none = the defaults.
    pub with: Option<(String, String)>,
    /// Left is the other run, right this one.
    pub differences: Vec<Difference>,
    /// The newest runs of this tenant, to compare it with: id and name.
    pub others: Vec<(String, String)>,
    /// There are older ones, which are named.
    pub more: bool,
}

/// `with` is the id or the name of a run, `defaults`, or empty: the run that this one was cloned from, else the defaults.
#[server(prefix = "/rpc", endpoint = "settings/differences", output = Wire)]
pub async fn get_differences(tenant: String, id: String, with: String) -> Result<Differences, AppError> {
    use domain::settings::{RunSettings, catalogue};
    let (platform, scope) = super::scope(&tenant).await?;
    let runs = platform.runs(&scope);
    let run = runs.get(super::runs::known(&id)?).await?;
    let other = match with.as_str() {
        "defaults" => None,
        "" => match run.cloned_from {
            // A parent that is gone is no reason to refuse the page.
            Some(parent) => runs.get(parent).await.ok(),
            None => None,
        },
        text => Some(match text.parse() {
            Ok(id) => runs.get(id).await?,
            Err(_) => runs.named(text).await?,
        }),
    };
    let left = other.as_ref().map_or_else(RunSettings::default, |o| o.settings.clone());
    let others = runs.names().await?;
    Ok(Differences {
        differences: catalogue().differences(&left, &run.settings),
        with: other.map(|o| (o.id.to_string(), o.name.to_string())),
        more: others.next.is_some(),
        others: others.rows.into_iter().filter(|(id, _)| *id != run.id).map(|(id, name)| (id.to_string(), name.to_string())).collect(),
    })
}
