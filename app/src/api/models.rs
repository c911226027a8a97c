//! Models, their versions and their cards.

use super::{AppError, Wire};
#[cfg(feature = "ssr")]
use domain::page::Cursor;
use domain::{
    base_model::BaseModel,
    endpoint::EndpointState,
    model::{Model, ModelOverview, ModelVersion, Stage},
    page::Page,
    run::EvaluatedRow,
    settings::Shown,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelList {
    /// By name.
    pub models: Page<ModelOverview>,
    /// Without the filter.
    pub total: u64,
    pub versions: u64,
    /// The first page of them; the rest is on the page of base models.
    pub base_models: Vec<BaseModel>,
    pub more_base_models: bool,
    /// Why the button “Fine-tune” is off.
    pub launch_refused: Option<String>,
}

/// `text` looks in names of model, base and dataset; `stage` is empty or a stage's word; `after`: see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "models/list", output = Wire)]
pub async fn list_models(
    tenant: String,
    #[server(default)] text: String,
    #[server(default)] stage: String,
    #[server(default)] after: String,
) -> Result<ModelList, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let models = platform.models(&scope);
    let filter = domain::filter::ModelFilter { text, stage: Stage::from_word(&stage) };
    let (total, versions) = models.counts().await?;
    let bases = platform.base_models().list(&super::caller()?, &Default::default(), &Cursor::default()).await?;
    Ok(ModelList {
        models: models.list(&filter, &Cursor::from_text(after)).await?,
        total,
        versions,
        more_base_models: bases.next.is_some(),
        base_models: bases.rows,
        launch_refused: scope.why_not(domain::policy::Action::RunLaunch),
    })
}

/// A row of the list of versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionLine {
    pub number: u32,
    pub stage: Stage,
    /// Right answers of tuned, of base, and rows.
    pub score: Option<(u64, u64, u64)>,
    pub run: String,
    pub run_name: String,
    pub dataset: String,
    pub author: String,
    pub gaps: usize,
    pub at: domain::time::Timestamp,
}

/// An endpoint that could take the version, or has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointChoice {
    pub name: String,
    pub state: EndpointState,
    /// It serves this very version.
    pub serves: bool,
    /// An adapter of this base can be attached to it.
    pub fits: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelPage {
    pub model: Model,
    pub version: ModelVersion,
    /// What was set for its run, in the order of the form.
    pub settings: Vec<Shown>,
    /// Newest first; on the tab `versions`, else empty.
    pub versions: Page<VersionLine>,
    pub versions_total: u64,
    pub base: Option<BaseModel>,
    /// Held-out rows of which base and tuned differ in being right; worse first. A page on the tab `evaluation`, the first
    /// [`FLIPPED_SHOWN`] on the first tab, else empty.
    pub flipped: Page<EvaluatedRow>,
    /// Those that serve it, the running ones first: at most a page of them. On the tab `endpoints` those that could serve it, too.
    pub endpoints: Vec<EndpointChoice>,
    pub edit_refused: Option<String>,
    pub stage_refused: Option<String>,
    pub deploy_refused: Option<String>,
}

/// Changed answers on the first tab of a model.
pub const FLIPPED_SHOWN: usize = 6;

/// `number` 0 = the newest version; `tab` as in the page's address; `after`: of its versions or its flipped rows, whichever gave it out,
/// see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "models/get", output = Wire)]
pub async fn model_get(
    tenant: String,
    name: String,
    number: u32,
    #[server(default)] tab: String,
    #[server(default)] after: String,
) -> Result<ModelPage, AppError> {
    use domain::{page::PAGE, policy::Action};
    let (platform, scope) = super::scope(&tenant).await?;
    let (models, runs, serving, after) =
        (platform.models(&scope), platform.runs(&scope), platform.endpoints(&scope), Cursor::from_text(after));
    let model = models.get(&name).await?;
    let version = models.version_of(&model, (number > 0).then_some(number)).await?;
    let flipped = match tab.as_str() {
        "" => runs.flipped(version.run, &Cursor::default(), FLIPPED_SHOWN).await?,
        "evaluation" => runs.flipped(version.run, &after, PAGE).await?,
        _ => Page { rows: Vec::new(), next: None },
    };
    let versions = match tab.as_str() {
        "versions" => models.versions_of(&model, &after).await?.map(|v| line(&v)),
        _ => Page { rows: Vec::new(), next: None },
    };
    let around = if tab == "endpoints" { serving.around(&version).await? } else { serving.serving(&version).await? };
    let endpoints = around
        .into_iter()
        .map(|e| EndpointChoice {
            serves: e.merged_version == Some(version.id) || e.attachments.iter().any(|a| a.version == version.id),
            fits: e.takes_adapters_of(version.base_model),
            name: e.name.to_string(),
            state: e.state,
        })
        .filter(|p| p.fits || p.serves)
        .collect();
    let base = platform.base_models().get(version.base_model_name.as_str()).await.ok();
    Ok(ModelPage {
        versions,
        versions_total: models.count_versions(&model).await?,
        settings: domain::settings::catalogue().shown(&version.settings),
        edit_refused: scope.why_not(Action::CardEdit),
        stage_refused: scope.why_not(Action::ModelStage),
        deploy_refused: scope.why_not(Action::EndpointWrite),
        model,
        version,
        base,
        flipped,
        endpoints,
    })
}

#[cfg(feature = "ssr")]
fn line(v: &ModelVersion) -> VersionLine {
    VersionLine {
        number: v.number,
        stage: v.stage,
        score: v.scores.map(|s| (s.tuned_right, s.base_right, s.rows)),
        run: v.run.to_string(),
        run_name: v.run_name.to_string(),
        dataset: format!("{} v{}", v.dataset_name, v.dataset_number),
        author: v.author_name.clone(),
        gaps: v.card.gaps(),
        at: v.created_at,
    }
}

#[server(prefix = "/rpc", endpoint = "models/stage", output = Wire)]
pub async fn model_set_stage(tenant: String, name: String, number: u32, stage: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let stage =
        Stage::from_word(&stage).ok_or_else(|| domain::problem::Problem::field("stage", "Choose candidate, approved or archived."))?;
    platform.models(&scope).set_stage(&name, number, stage).await?;
    Ok(())
}

/// What the card editor shows: the version with its card, its Markdown, and why saving is off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardPage {
    pub version: ModelVersion,
    pub markdown: String,
    pub edit_refused: Option<String>,
}

#[server(prefix = "/rpc", endpoint = "models/card", output = Wire)]
pub async fn card_get(tenant: String, name: String, number: u32) -> Result<CardPage, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let models = platform.models(&scope);
    let version = models.version(&name, (number > 0).then_some(number)).await?;
    let markdown = models.markdown(&name, Some(version.number)).await?;
    Ok(CardPage { version, markdown, edit_refused: scope.why_not(domain::policy::Action::CardEdit) })
}

/// One field of the card as the form sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardField {
    pub key: String,
    pub value: String,
    /// What the form showed when it was opened; unchanged fields are not written.
    pub was: String,
}

/// Saves what was changed and goes back to the model. Refused with a conflict when somebody saved in between.
#[server(prefix = "/rpc", endpoint = "models/card-edit", output = Wire)]
pub async fn card_edit(tenant: String, name: String, number: u32, revision: u32, fields: Vec<CardField>) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    // A browser sends line ends as CR LF.
    let text = |s: &str| s.replace("\r\n", "\n").trim().to_owned();
    let changes: Vec<(String, String)> =
        fields.into_iter().filter(|f| text(&f.value) != text(&f.was)).map(|f| (f.key, text(&f.value))).collect();
    let version = if changes.is_empty() {
        platform.models(&scope).version(&name, Some(number)).await?
    } else {
        platform.models(&scope).edit_card(&name, number, revision, changes).await?
    };
    super::redirect(&crate::links::model_version(&version.tenant, &version.model_name, version.number));
    Ok(())
}
