//! Endpoints: what serves models, and what is attached to it.

use super::{AppError, Wire, resources_form::ResourcesForm};
#[cfg(feature = "ssr")]
use domain::page::Cursor;
use domain::{
    base_model::BaseModel,
    endpoint::{Endpoint, EndpointLogLine},
    external::Figures,
    page::Page,
    problem::{FieldProblem, Problem},
    serving::{ParserChoice, ServingSettings},
    supply::Supply,
    time::Timestamp,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

/// A model version that could be deployed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub model: String,
    pub number: u32,
    pub stage: domain::model::Stage,
    pub kind: domain::model::WeightsKind,
    pub base_model: String,
    /// Right answers of the tuned model, and rows.
    pub score: Option<(u64, u64)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointLine {
    pub endpoint: Endpoint,
    /// What clients write as `model`: tuned ones first, then the base.
    pub model_ids: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointList {
    /// Newest first.
    pub endpoints: Page<EndpointLine>,
    /// Endpoints that are wanted now, and the most that may be.
    pub wanted: u32,
    pub quota: u32,
    pub base_url: String,
    /// For an empty list: what could be deployed, best first.
    pub candidates: Vec<Candidate>,
    pub write_refused: Option<String>,
}

/// `after`: see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "endpoints/list", output = Wire)]
pub async fn list_endpoints(tenant: String, #[server(default)] after: String) -> Result<EndpointList, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let endpoints = platform.endpoints(&scope);
    let page = endpoints.list(&Cursor::from_text(after)).await?;
    let served = endpoints.served_by(page.rows).await?;
    let rows = served.endpoints.iter().map(|e| EndpointLine { model_ids: served.model_ids(e), endpoint: e.clone() }).collect();
    let (counts, endpoints) = (endpoints.counts().await?, Page { rows, next: page.next });
    Ok(EndpointList {
        wanted: counts.wanted as u32,
        quota: scope.tenant().quota.endpoints,
        base_url: super::base_url(scope.tenant().name.as_str()),
        // Only an empty list shows them.
        candidates: if counts.all == 0 { candidates(&platform, &scope, None).await?.0 } else { Vec::new() },
        write_refused: scope.why_not(domain::policy::Action::EndpointWrite),
        endpoints,
    })
}

/// Of the newest page of versions, of a base or of all, best first; and whether there are older ones.
#[cfg(feature = "ssr")]
async fn candidates(
    platform: &platform::Platform,
    scope: &platform::access::Scope,
    of: Option<domain::ids::BaseModelId>,
) -> Result<(Vec<Candidate>, bool), AppError> {
    use domain::model::Stage;
    let page = platform.models(scope).newest_versions(of).await?;
    let more = page.next.is_some();
    let mut out: Vec<Candidate> = (page.rows.into_iter().filter(|v| v.stage != Stage::Archived))
        .map(|v| Candidate {
            model: v.model_name.to_string(),
            number: v.number,
            stage: v.stage,
            kind: v.kind,
            base_model: v.base_model_name.to_string(),
            score: v.scores.map(|s| (s.tuned_right, s.rows)),
        })
        .collect();
    out.sort_by_key(|c| (c.stage != Stage::Approved, std::cmp::Reverse(c.score.map(|s| s.0)), std::cmp::Reverse(c.number)));
    Ok((out, more))
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointPage {
    pub endpoint: Endpoint,
    /// What clients write as `model`: tuned ones first, then the base.
    pub model_ids: Vec<String>,
    pub base_url: String,
    /// Of the newest versions of this base those that are not attached.
    pub attachable: Vec<Candidate>,
    /// There are older versions of this base; they are deployed from their own pages.
    pub more_attachable: bool,
    pub log: Vec<EndpointLogLine>,
    /// The most replicas that its server can have; 1 where the engine can do one only.
    pub most_replicas: u32,
    /// What its replicas may ask the machines for; none where its server is a process of one machine, or somebody else's.
    pub supply: Option<Supply>,
    /// Whether its replicas are replaced when settings change that they are started with.
    pub rolls: bool,
    pub write_refused: Option<String>,
    /// Of one at somebody else's server: why its key and models may not be changed.
    pub external_refused: Option<String>,
    /// Of one at somebody else's server.
    pub figures: Option<Figures>,
    /// Of such a server: when its certificate ends, if that is soon or over.
    pub certificate_ends: Option<Timestamp>,
}

/// Lines of the log on the page of an endpoint.
#[cfg(feature = "ssr")]
const LOG_SHOWN: u32 = 200;

#[server(prefix = "/rpc", endpoint = "endpoints/get", output = Wire)]
pub async fn endpoint_get(tenant: String, name: String) -> Result<EndpointPage, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let endpoints = platform.endpoints(&scope);
    let endpoint = endpoints.get(&name).await?;
    let of = endpoint.base.as_ref().map(|base| base.id).filter(|_| endpoint.takes_adapters());
    let (newest, more_attachable) = match of {
        Some(base) => candidates(&platform, &scope, Some(base)).await?,
        None => (Vec::new(), false),
    };
    let attachable = newest
        .into_iter()
        .filter(|c| c.kind == domain::model::WeightsKind::Adapter && endpoint.takes_adapters())
        .filter(|c| c.base_model == endpoint.source())
        .filter(|c| !endpoint.attachments.iter().any(|a| a.model_name.as_str() == c.model && a.number == c.number))
        .collect();
    let figures = match endpoint.external {
        Some(_) => Some(endpoints.figures(&endpoint).await?),
        None => None,
    };
    Ok(EndpointPage {
        figures,
        certificate_ends: endpoint.external.as_ref().and_then(|x| x.certificate_ends_soon(platform.now())),
        model_ids: endpoints.served_by(vec![endpoint.clone()]).await?.model_ids(&endpoint),
        more_attachable,
        base_url: super::base_url(scope.tenant().name.as_str()),
        log: endpoints.log_tail(&endpoint, LOG_SHOWN).await?,
        write_refused: scope.why_not(domain::policy::Action::EndpointWrite),
        external_refused: scope.why_not(domain::policy::Action::ExternalWrite),
        attachable,
        supply: if endpoint.capabilities().runs_here { platform.supply(&scope).await } else { None },
        most_replicas: platform.most_replicas(&endpoint),
        rolls: platform.replaces_replicas(),
        endpoint,
    })
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointChoices {
    /// The first page of them.
    pub base_models: Vec<BaseModel>,
    pub more_base_models: bool,
    pub wanted: u32,
    pub quota: u32,
    /// As of an endpoint's page.
    pub supply: Option<Supply>,
    pub write_refused: Option<String>,
    /// Why no server that somebody else runs may be added.
    pub external_refused: Option<String>,
}

#[server(prefix = "/rpc", endpoint = "endpoints/choices", output = Wire)]
pub async fn get_endpoint_choices(tenant: String) -> Result<EndpointChoices, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let bases = platform.base_models().list(&super::caller()?, &Default::default(), &Cursor::default()).await?;
    Ok(EndpointChoices {
        more_base_models: bases.next.is_some(),
        base_models: bases.rows,
        wanted: platform.endpoints(&scope).counts().await?.wanted as u32,
        quota: scope.tenant().quota.endpoints,
        supply: platform.supply(&scope).await,
        write_refused: scope.why_not(domain::policy::Action::EndpointWrite),
        external_refused: scope.why_not(domain::policy::Action::ExternalWrite),
    })
}

/// Adds a server that somebody else runs and goes to its page. `key` empty: it asks for none.
#[server(prefix = "/rpc", endpoint = "endpoints/external", output = Wire)]
pub async fn endpoint_add_external(tenant: String, name: String, address: String, key: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let new = platform::endpoints::NewExternal { name, address, key };
    go_to(&platform.endpoints(&scope).add_external(new).await?);
    Ok(())
}

/// Replaces the key of such a server; empty takes it away.
#[server(prefix = "/rpc", endpoint = "endpoints/external_key", output = Wire)]
pub async fn endpoint_external_key(tenant: String, endpoint: String, key: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    platform.endpoints(&scope).set_external_key(&endpoint, &key).await?;
    Ok(())
}

/// Offers a model of such a server under the name `here`; empty: no more.
#[server(prefix = "/rpc", endpoint = "endpoints/offer", output = Wire)]
pub async fn endpoint_offer(tenant: String, endpoint: String, there: String, here: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    platform.endpoints(&scope).offer(&endpoint, platform::endpoints::Offer { there, here }).await?;
    Ok(())
}

/// Has such a server asked at once.
#[server(prefix = "/rpc", endpoint = "endpoints/check", output = Wire)]
pub async fn endpoint_check(tenant: String, endpoint: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    platform.endpoints(&scope).check_external(&endpoint).await?;
    Ok(())
}

/// Creates an endpoint of a base model and goes to its page.
#[server(prefix = "/rpc", endpoint = "endpoints/create", output = Wire)]
pub async fn endpoint_create(
    tenant: String,
    name: String,
    base_model: String,
    #[server(default)] form: ResourcesForm,
) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    scope.permit(domain::policy::Action::EndpointWrite)?;
    let resources = form.read().map_err(Problem::invalid)?;
    let endpoint = platform.endpoints(&scope).create(platform::endpoints::NewEndpoint { name, base_model, resources }).await?;
    go_to(&endpoint);
    Ok(())
}

/// Puts a model version onto an endpoint and goes there. `endpoint` empty = the tenant's endpoint of that base, or a new one.
#[server(prefix = "/rpc", endpoint = "endpoints/deploy", output = Wire)]
pub async fn endpoint_deploy(tenant: String, model: String, number: u32, endpoint: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let onto = (!endpoint.is_empty()).then_some(endpoint);
    let endpoint = platform.endpoints(&scope).deploy(platform::endpoints::Deploy { model, number, endpoint: onto }).await?;
    go_to(&endpoint);
    Ok(())
}

/// As [`endpoint_deploy`], with model and number in one value, as a list sends them: `lumenta-assistant@4`.
#[server(prefix = "/rpc", endpoint = "endpoints/attach", output = Wire)]
pub async fn endpoint_attach(tenant: String, endpoint: String, version: String) -> Result<(), AppError> {
    // Who may ask comes before what was asked.
    let (platform, scope) = super::scope(&tenant).await?;
    let (model, number) = version
        .split_once('@')
        .and_then(|(model, number)| Some((model.to_owned(), number.parse().ok()?)))
        .ok_or_else(|| domain::problem::Problem::field("version", "Choose a model version from the list."))?;
    platform.endpoints(&scope).deploy(platform::endpoints::Deploy { model, number, endpoint: Some(endpoint) }).await?;
    Ok(())
}

#[server(prefix = "/rpc", endpoint = "endpoints/detach", output = Wire)]
pub async fn endpoint_detach(tenant: String, endpoint: String, version: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let version = version.parse().map_err(|_| domain::problem::Problem::not_found("The model version"))?;
    platform.endpoints(&scope).detach(&endpoint, version).await?;
    Ok(())
}

#[server(prefix = "/rpc", endpoint = "endpoints/start", output = Wire)]
pub async fn endpoint_start(tenant: String, endpoint: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    platform.endpoints(&scope).start(&endpoint).await?;
    Ok(())
}

#[server(prefix = "/rpc", endpoint = "endpoints/stop", output = Wire)]
pub async fn endpoint_stop(tenant: String, endpoint: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    platform.endpoints(&scope).stop(&endpoint).await?;
    // Without the question in the address, or it would be asked again at the next start.
    super::redirect(&crate::links::endpoint(&scope.tenant().name, &endpoint));
    Ok(())
}

/// Takes an endpoint away for good and goes to the list.
#[server(prefix = "/rpc", endpoint = "endpoints/remove", output = Wire)]
pub async fn endpoint_remove(tenant: String, endpoint: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    platform.endpoints(&scope).remove(&endpoint).await?;
    super::redirect(&crate::links::endpoints(&scope.tenant().name));
    Ok(())
}

/// How an endpoint serves, as the form sends it: text, lists with an entry a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServingForm {
    /// Empty where there is no choice.
    #[serde(default)]
    pub replicas: String,
    /// Empty where there is no choice, too.
    #[serde(flatten)]
    pub resources: ResourcesForm,
    #[serde(default)]
    pub answer_seconds: String,
    /// `auto`, `off`, or a parser's name.
    #[serde(default)]
    pub tool_call_parser: String,
    #[serde(default)]
    pub reasoning_parser: String,
    #[serde(default)]
    pub media_hosts: String,
    #[serde(default)]
    pub allowed_fields: String,
}

impl ServingForm {
    pub fn of(settings: &ServingSettings) -> Self {
        let choice = |choice: &ParserChoice| match choice {
            ParserChoice::Auto => "auto".to_owned(),
            ParserChoice::Off => "off".to_owned(),
            ParserChoice::Named(name) => name.clone(),
        };
        Self {
            replicas: settings.replicas.to_string(),
            resources: ResourcesForm::of(&settings.resources),
            answer_seconds: settings.answer_seconds.to_string(),
            tool_call_parser: choice(&settings.tool_call_parser),
            reasoning_parser: choice(&settings.reasoning_parser),
            media_hosts: settings.media_hosts.join("\n"),
            allowed_fields: settings.allowed_fields.join("\n"),
        }
    }

    /// The settings, or every field that cannot be read.
    pub fn read(&self) -> Result<ServingSettings, Problem> {
        let choice = |text: &str| match text {
            "" | "auto" => ParserChoice::Auto,
            "off" => ParserChoice::Off,
            name => ParserChoice::Named(name.to_owned()),
        };
        let mut wrong = Vec::new();
        let answer_seconds = self.answer_seconds.trim().parse().unwrap_or_else(|_| {
            let sentence = format!("“{}” is not a whole number of seconds.", self.answer_seconds.trim());
            wrong.push(FieldProblem::new("answer_seconds", sentence).suggesting("600"));
            ServingSettings::default().answer_seconds
        });
        let replicas = match self.replicas.trim() {
            "" => 1,
            text => text.parse().unwrap_or_else(|_| {
                wrong.push(FieldProblem::new("replicas", format!("“{text}” is not a whole number.")).suggesting("1"));
                1
            }),
        };
        let resources = self.resources.read().map_err(|unread| wrong.extend(unread)).unwrap_or_default();
        let settings = ServingSettings {
            replicas,
            resources,
            answer_seconds,
            tool_call_parser: choice(self.tool_call_parser.trim()),
            reasoning_parser: choice(self.reasoning_parser.trim()),
            media_hosts: super::entries(&self.media_hosts).map(str::to_lowercase).collect(),
            allowed_fields: super::entries(&self.allowed_fields).map(str::to_owned).collect(),
        };
        wrong.extend(settings.check());
        if wrong.is_empty() { Ok(settings) } else { Err(Problem::invalid(wrong)) }
    }
}

#[server(prefix = "/rpc", endpoint = "endpoints/settings", output = Wire)]
pub async fn endpoint_settings(tenant: String, endpoint: String, form: ServingForm) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    platform.endpoints(&scope).set_settings(&endpoint, form.read()?).await?;
    Ok(())
}

#[cfg(feature = "ssr")]
fn go_to(endpoint: &Endpoint) {
    super::redirect(&crate::links::endpoint(&endpoint.tenant, &endpoint.name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::resource_request::ResourceRequest;

    #[test]
    fn the_form_reads_back_what_it_shows() {
        let settings = ServingSettings {
            replicas: 3,
            resources: ResourceRequest { gpus: Some(2), memory: Some(64 << 30), ..ResourceRequest::default() },
            answer_seconds: 1_200,
            tool_call_parser: ParserChoice::Named("hermes".into()),
            reasoning_parser: ParserChoice::Off,
            media_hosts: vec!["a.org".into(), "b.org:8443".into()],
            allowed_fields: vec!["chat_template_kwargs".into()],
        };
        assert_eq!(ServingForm::of(&settings).read(), Ok(settings));
        let wrong = ServingForm {
            replicas: "two".into(),
            resources: ResourcesForm { gpus: "all".into(), ..ResourcesForm::default() },
            answer_seconds: "soon".into(),
            media_hosts: "https://a.org/".into(),
            ..ServingForm::default()
        };
        let fields: Vec<_> = wrong.read().unwrap_err().fields.into_iter().map(|f| f.field).collect();
        assert_eq!(fields, ["answer_seconds", "replicas", "gpus", "media_hosts"]);
    }
}
