//! The portal's API (`/api/v1`) from the other side: `atelier apply` and `atelier export`.

pub mod files;
mod token;

use crate::{
    api::{OUTCOME, failure::Failure},
    config::is_loopback,
    documents::{self, Format},
};
use anyhow::{Context, bail, ensure};
use clap::Args;
use domain::{
    causes,
    name::Name,
    resource::{Document, Kind, List, Metadata, Spec},
};
use openidconnect::url::{Url, form_urlencoded};
use reqwest::{Method, StatusCode, header};
use serde::de::DeserializeOwned;
use std::{fmt, path::PathBuf, time::Duration};

const CONNECTED_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// Which portal, and as whom. No secret stands in an argument or in the environment: both can be read by others on the machine.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// Address of the portal.
    #[arg(long, env = "ATELIER_SERVER", default_value = "http://127.0.0.1:3000")]
    pub server: String,
    /// PEM file with the certificate authorities of your house; the system's are believed anyway.
    #[arg(long, env = "ATELIER_SERVER_CA")]
    pub server_ca: Option<PathBuf>,
    /// File with an access token of the identity provider.
    #[arg(long, env = "ATELIER_TOKEN_FILE", required_unless_present = "client_secret_file", conflicts_with = "client_secret_file")]
    pub token_file: Option<PathBuf>,
    /// Gets the token itself: file with the secret of a program's own client at the identity provider (client credentials).
    #[arg(long, env = "ATELIER_CLIENT_SECRET_FILE", requires = "issuer")]
    pub client_secret_file: Option<PathBuf>,
    /// The program's name at the identity provider, beside --client-secret-file.
    #[arg(long, env = "ATELIER_CLIENT_ID", default_value = "atelier")]
    pub client_id: String,
    /// The identity provider, beside --client-secret-file.
    #[arg(long, env = "ATELIER_ISSUER")]
    pub issuer: Option<String>,
}

pub struct Client {
    http: reqwest::Client,
    /// Without a slash at the end.
    server: String,
    token: String,
}

/// What the portal did with a document, as it says it: `created`, `changed` or `unchanged`.
pub struct Done<S> {
    pub outcome: String,
    pub document: Document<S>,
}

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug)]
pub enum NoAnswer {
    /// By the portal, with its reason.
    Refused(Failure),
    /// Something else than a portal answered, or nothing.
    Other(String),
}

impl NoAnswer {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(failure) if failure.status == StatusCode::NOT_FOUND.as_u16())
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = match self {
            Self::Other(why) => return f.write_str(why),
            Self::Refused(failure) => failure,
        };
        f.write_str(&failure.message)?;
        // Of one field the message is its own.
        for field in failure.fields.iter().filter(|field| field.message != failure.message) {
            write!(f, "\n    {}: {}", field.field, field.message)?;
        }
        if let [one] = failure.fields.as_slice()
            && one.message == failure.message
        {
            write!(f, " ({})", one.field)?;
        }
        if !failure.next_step.is_empty() {
            write!(f, " {}", failure.next_step)?;
        }
        failure.request_id.as_ref().map_or(Ok(()), |id| write!(f, " [{id}]"))
    }
}

/// The address of a document.
fn path(kind: Kind, metadata: &Metadata) -> String {
    match &metadata.tenant {
        Some(tenant) => format!("{}/{}", list_path(kind, Some(tenant)), metadata.name),
        None => format!("{}/{}", list_path(kind, None), metadata.name),
    }
}

fn list_path(kind: Kind, tenant: Option<&Name>) -> String {
    match (kind, tenant) {
        (Kind::Run, Some(tenant)) => format!("/api/v1/tenants/{tenant}/runs"),
        (Kind::Endpoint, Some(tenant)) => format!("/api/v1/tenants/{tenant}/endpoints"),
        _ => "/api/v1/tenants".to_owned(),
    }
}

/// `run/lumenta/facts-1`
pub fn named(kind: Kind, metadata: &Metadata) -> String {
    let kind = kind.word().to_lowercase();
    match &metadata.tenant {
        Some(tenant) => format!("{kind}/{tenant}/{}", metadata.name),
        None => format!("{kind}/{}", metadata.name),
    }
}

impl Client {
    pub async fn open(args: &ServerArgs) -> anyhow::Result<Self> {
        let server = args.server.trim_end_matches('/').to_owned();
        let url = Url::parse(&server).with_context(|| format!("--server {server} is no address: write https://atelier.example.org"))?;
        ensure!(url.scheme() == "https" || is_loopback(&url), "--server {server}: the access token would be sent in the clear; use https.");
        let http = http(args, &url)?;
        let token = token::token(args, &http).await?;
        Ok(Self { http, server, token })
    }

    /// None: there is none, or one may not see it.
    pub async fn get<S: Spec>(&self, metadata: &Metadata) -> Result<Option<Document<S>>, NoAnswer> {
        match self.ask(Method::GET, &path(S::KIND, metadata), None).await {
            Ok((_, text)) => read(&text).map(Some),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub async fn put<S: Spec>(&self, document: &Document<S>) -> Result<Done<S>, NoAnswer> {
        let body = documents::Format::Json.write(document).map_err(NoAnswer::Other)?;
        let (outcome, text) = self.ask(Method::PUT, &path(S::KIND, &document.metadata), Some(body)).await?;
        Ok(Done { outcome: outcome.unwrap_or_else(|| "applied".into()), document: read(&text)? })
    }

    /// All of them, a page after the other.
    pub async fn list<S: Spec>(&self, tenant: Option<&Name>) -> Result<Vec<Document<S>>, NoAnswer> {
        let (mut all, mut next) = (Vec::new(), Some(String::new()));
        while let Some(from) = next {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("continue", &from).finish();
            let (_, text) = self.ask(Method::GET, &format!("{}?{query}", list_path(S::KIND, tenant)), None).await?;
            let page: List<S> = read(&text)?;
            all.extend(page.items);
            next = page.metadata.next;
        }
        Ok(all)
    }

    /// What was done, where it says so, and the body.
    async fn ask(&self, method: Method, path: &str, body: Option<String>) -> Result<(Option<String>, String), NoAnswer> {
        let mut request = self.http.request(method, format!("{}{path}", self.server)).bearer_auth(&self.token);
        request = request.header(header::ACCEPT, Format::Json.media_type());
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, Format::Json.media_type()).body(body);
        }
        let away = |e: reqwest::Error| NoAnswer::Other(format!("{} does not answer: {}.", self.server, causes::in_words(&e.without_url())));
        let answer = request.send().await.map_err(away)?;
        let status = answer.status();
        let outcome = answer.headers().get(OUTCOME).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = answer.text().await.map_err(away)?;
        match (status.is_success(), serde_json::from_str(&text)) {
            (true, _) => Ok((outcome, text)),
            (false, Ok(failure)) => Err(NoAnswer::Refused(failure)),
            (false, Err(_)) => {
                Err(NoAnswer::Other(format!("{} answers {status}, and not as a portal does. Look at --server.", self.server)))
            }
        }
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, NoAnswer> {
    let unread = |e| NoAnswer::Other(format!("The portal's answer cannot be read; is it of another version? ({e})"));
    serde_json::from_str(text).map_err(unread)
}

fn http(args: &ServerArgs, url: &Url) -> anyhow::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        // A token follows nobody elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECTED_WITHIN)
        .timeout(ANSWER_WITHIN);
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    if let Some(file) = &args.server_ca {
        let pem = std::fs::read(file).with_context(|| format!("--server-ca: {} cannot be read", file.display()))?;
        let roots = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if roots.is_empty() {
            bail!("--server-ca: {} holds no certificate; it must be a PEM file.", file.display());
        }
        builder = builder.tls_certs_merge(roots);
    }
    builder.build().context("the client cannot be made")
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::problem::{FieldProblem, Problem};

    #[test]
    fn a_document_has_an_address_and_a_name() {
        let metadata = |tenant: Option<&str>| Metadata { name: "a".parse().unwrap(), tenant: tenant.map(|t| t.parse().unwrap()) };
        assert_eq!(path(Kind::Tenant, &metadata(None)), "/api/v1/tenants/a");
        assert_eq!(path(Kind::Run, &metadata(Some("t"))), "/api/v1/tenants/t/runs/a");
        assert_eq!(named(Kind::Endpoint, &metadata(Some("t"))), "endpoint/t/a");
    }

    #[test]
    fn a_refusal_is_told_with_its_fields_and_the_next_step() {
        let said = |problem: Problem| NoAnswer::Refused(Failure::of(StatusCode::CONFLICT, &problem)).to_string();
        assert_eq!(said(Problem::conflict("It is so.").next("Do this.")), "It is so. Do this.");
        assert_eq!(said(Problem::field("spec.title", "Too long.")), "Too long. (spec.title)");
        let two = Problem::invalid(vec![FieldProblem::new("spec.a", "No a."), FieldProblem::new("spec.b", "No b.")]);
        assert_eq!(said(two), "2 fields need a change.\n    spec.a: No a.\n    spec.b: No b.");
    }
}
