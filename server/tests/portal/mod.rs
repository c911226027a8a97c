//! A real portal in this process, on a free port and a temporary folder, and browsers that talk to it as browsers do.
#![allow(dead_code, reason = "every test file uses a part of it")]

use clap::Parser;
use domain::time::Timestamp;
use server::{
    config::{Locations, ServeArgs},
    portal,
};
use std::{collections::BTreeMap, path::Path};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    locations: Locations,
    #[command(flatten)]
    serve: ServeArgs,
}

pub struct TestPortal {
    pub portal: portal::Portal,
    pub url: String,
    _data: tempfile::TempDir,
}

impl TestPortal {
    /// With the web and gateway roles.
    pub async fn start() -> Self {
        Self::with(&["--role", "web,gateway"]).await
    }

    pub async fn with(flags: &[&str]) -> Self {
        Self::on(tempfile::tempdir().unwrap(), flags).await
    }

    /// On a folder that has something in it.
    pub async fn on(data: tempfile::TempDir, flags: &[&str]) -> Self {
        let portal = start(data.path(), flags).await.unwrap();
        Self { url: format!("http://{}", portal.address), portal, _data: data }
    }

    /// By another clock than the machine's.
    pub async fn by(clock: fn() -> Timestamp, flags: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let portal = start_by(clock, data.path(), flags).await.unwrap();
        Self { url: format!("http://{}", portal.address), portal, _data: data }
    }

    pub fn browser(&self) -> Browser {
        Browser::at(&self.url)
    }

    /// Of the folder that it made for itself.
    pub fn database_url(&self) -> String {
        format!("sqlite:{}", self._data.path().join("atelier.db").display())
    }

    /// As the development provider gives it to a program of this person.
    pub async fn access_token(&self, login: &str) -> String {
        let asked = [("grant_type", "password"), ("client_id", "atelier"), ("username", login), ("password", "atelier")];
        let answer = self.browser().post_form("/dev-idp/token", &asked).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// A browser in which this person is signed in.
    pub async fn signed_in(&self, login: &str) -> Browser {
        let mut browser = self.browser();
        browser.sign_in(login, "/").await;
        browser
    }
}

pub async fn start(data: &Path, flags: &[&str]) -> anyhow::Result<portal::Portal> {
    start_by(server::clock::now, data, flags).await
}

async fn start_by(clock: fn() -> Timestamp, data: &Path, flags: &[&str]) -> anyhow::Result<portal::Portal> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let data = data.display().to_string();
    let line = Line::try_parse_from([&["atelier", "--data", &data, "--listen", "127.0.0.1:0"], flags].concat())?;
    portal::start_by(clock, line.serve, line.locations, env!("CARGO_BIN_EXE_atelier").into()).await
}

/// The head of the answer. What is not answered is named, instead of a test that never ends.
async fn answered(request: reqwest::RequestBuilder) -> reqwest::Response {
    let (http, request) = request.build_split();
    let request = request.unwrap();
    let asked = format!("{} {}", request.method(), request.url());
    let answer = tokio::time::timeout(std::time::Duration::from_secs(120), http.execute(request)).await;
    answer.unwrap_or_else(|_| panic!("no answer within two minutes: {asked}")).unwrap_or_else(|e| panic!("{asked}: {e}"))
}

/// Keeps cookies, follows no redirect by itself, and says where its requests come from, as browsers do.
#[derive(Clone)]
pub struct Browser {
    pub url: String,
    http: reqwest::Client,
    pub cookies: BTreeMap<String, String>,
    /// None = the headers are left out altogether.
    pub origin: Option<String>,
}

pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }
    pub fn location(&self) -> &str {
        self.header("location")
    }
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

impl Browser {
    pub fn at(url: &str) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { url: url.into(), http, cookies: BTreeMap::new(), origin: Some(url.into()) }
    }

    /// The same, and it believes certificates of this house.
    pub fn believing(mut self, pem: &str) -> Self {
        let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        self.http = builder.tls_certs_merge([root]).build().unwrap();
        self
    }

    fn absolute(&self, to: &str) -> String {
        if to.starts_with("http") { to.into() } else { format!("{}{to}", self.url) }
    }

    pub async fn get(&mut self, to: &str) -> Answer {
        let request = self.http.get(self.absolute(to)).header("accept", "text/html,*/*").header("sec-fetch-site", "none");
        self.send(request).await
    }

    pub async fn get_json(&mut self, to: &str) -> Answer {
        let request = self.http.get(self.absolute(to)).header("accept", "application/json");
        self.send(request).await
    }

    /// A form as pages without scripts post it.
    pub async fn post_form(&mut self, to: &str, fields: &[(&str, &str)]) -> Answer {
        let body = encoded(fields);
        let request = self
            .http
            .post(self.absolute(to))
            .header("accept", "text/html,*/*")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        self.send(self.of_own_page(request)).await
    }

    /// The same from a page, as browsers say it.
    pub async fn post_form_of(&mut self, page: &str, to: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self
            .http
            .post(self.absolute(to))
            .header("accept", "text/html,*/*")
            .header("referer", self.absolute(page))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(fields));
        self.send(self.of_own_page(request)).await
    }

    /// A server function as scripts call it.
    pub async fn call(&mut self, to: &str, body: &str) -> Answer {
        let request = self
            .http
            .post(self.absolute(to))
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.to_owned());
        self.send(self.of_own_page(request)).await
    }

    pub async fn post_json(&mut self, to: &str, body: serde_json::Value) -> Answer {
        let request = self.http.post(self.absolute(to)).header("accept", "application/json").json(&body);
        self.send(self.of_own_page(request)).await
    }

    /// The upload form: text fields, then the file.
    pub async fn upload(&mut self, tenant: &str, accept: &str, fields: &[(&str, &str)], file_name: &str, file: &[u8]) -> Answer {
        let mut body = Vec::new();
        for (name, value) in fields {
            body.extend_from_slice(format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").as_bytes());
        }
        body.extend_from_slice(format!("--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file_name}\"\r\nContent-Type: application/octet-stream\r\n\r\n").as_bytes());
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n--B--\r\n");
        let request = self
            .http
            .post(self.absolute(&format!("/t/{tenant}/datasets-upload")))
            .header("accept", accept)
            .header("content-type", "multipart/form-data; boundary=B")
            .body(body);
        self.send(self.of_own_page(request)).await
    }

    fn of_own_page(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        }
    }

    /// Opens a stream and gives its response, unread.
    pub async fn stream(&self, to: &str) -> reqwest::Response {
        answered(self.http.get(self.absolute(to)).header("accept", "text/event-stream").header("cookie", self.cookie_line())).await
    }

    fn cookie_line(&self) -> String {
        self.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("; ")
    }

    pub async fn send(&mut self, request: reqwest::RequestBuilder) -> Answer {
        let response = answered(request.header("cookie", self.cookie_line())).await;
        for set in response.headers().get_all("set-cookie") {
            let text = set.to_str().unwrap();
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            if text.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.into(), value.into());
            }
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.text().await.unwrap() }
    }

    /// Begins to sign in; gives the provider's form, ready to be sent.
    pub async fn begin_sign_in(&mut self, return_to: &str) -> Vec<(String, String)> {
        let off = self.get(&format!("/auth/login?{}", encoded(&[("return_to", return_to)]))).await;
        assert_eq!(off.status, 303, "{}", off.body);
        let page = self.get(off.location()).await;
        assert_eq!(page.status, 200, "{}", page.body);
        hidden_fields(&page.body)
    }

    /// Sends the provider's form; gives the address that leads back to the portal.
    pub async fn answer_provider(&mut self, fields: &[(String, String)], login: &str, password: &str) -> Answer {
        let mut all: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        all.extend([("user", login), ("password", password)]);
        self.post_form("/dev-idp/authorize", &all).await
    }

    /// The whole way; gives where the portal sends the person then.
    pub async fn sign_in(&mut self, login: &str, return_to: &str) -> String {
        let fields = self.begin_sign_in(return_to).await;
        let back = self.answer_provider(&fields, login, "atelier").await;
        assert_eq!(back.status, 303, "{}", back.body);
        let done = self.get(back.location()).await;
        assert_eq!(done.status, 303, "{}", done.body);
        done.location().to_owned()
    }
}

pub fn encoded(fields: &[(&str, &str)]) -> String {
    openidconnect::url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn hidden_fields(html: &str) -> Vec<(String, String)> {
    let between = |tag: &str, attribute: &str| {
        let from = tag.find(&format!("{attribute}=\""))? + attribute.len() + 2;
        let to = from + tag[from..].find('"')?;
        Some(tag[from..to].replace("&amp;", "&").replace("&quot;", "\""))
    };
    html.split("<input type=\"hidden\"").skip(1).filter_map(|tag| Some((between(tag, " name")?, between(tag, " value")?))).collect()
}

/// The first sentence of a problem page, or of a problem as JSON.
pub fn says(answer: &Answer, words: &str) -> bool {
    answer.body.contains(words)
}
