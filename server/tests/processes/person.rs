//! A person at the portal as a browser with scripts off would be: signs in by the form, keeps cookies, posts forms.

use futures::StreamExt;
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

pub struct Person {
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

/// Why something was not done.
#[derive(Debug)]
pub enum No {
    /// The portal did not answer, or broke off.
    Gone(String),
    Refused {
        status: u16,
        body: Value,
    },
}

/// The answer to a form: what it says, and where it leads.
#[derive(Debug)]
pub struct Done {
    pub body: Value,
    pub leads_to: Option<String>,
}

impl Person {
    /// Through the development provider.
    pub async fn sign_in(address: &str, login: &str) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(Duration::from_secs(60)).build().unwrap();
        let mut me = Self { http, cookies: BTreeMap::new() };
        let (at, page) = me.follow(address, format!("{address}/auth/login?return_to=/"), None).await;
        let fields: Vec<(String, String)> = page
            .split("<input type=\"hidden\"")
            .skip(1)
            .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)))
            .chain([("user".into(), login.into()), ("password".into(), "atelier".into())])
            .collect();
        let action =
            page.split("<form").nth(1).and_then(|f| attribute(f, "action")).unwrap_or_else(|| panic!("there is no form at {at}:\n{page}"));
        me.follow(address, format!("{address}{action}"), Some(fields)).await;
        assert!(me.cookies.contains_key("sid"), "{login} has no session: {:?}", me.cookies);
        me
    }

    async fn follow(&mut self, address: &str, mut url: String, mut form: Option<Vec<(String, String)>>) -> (String, String) {
        for _ in 0..10 {
            let request = match form.take() {
                Some(fields) => self.http.post(&url).header("content-type", "application/x-www-form-urlencoded").body(encoded(&fields)),
                None => self.http.get(&url),
            };
            let answer = request.header("cookie", self.cookie()).header("origin", address).send().await.unwrap();
            for line in answer.headers().get_all("set-cookie") {
                let line = line.to_str().unwrap();
                let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
                match value {
                    "" => self.cookies.remove(name),
                    value => self.cookies.insert(name.to_owned(), value.to_owned()),
                };
            }
            match answer.headers().get("location").map(|l| l.to_str().unwrap().to_owned()) {
                Some(to) if answer.status().is_redirection() => url = if to.starts_with('/') { format!("{address}{to}") } else { to },
                _ => return (url, answer.text().await.unwrap()),
            }
        }
        panic!("{url} leads round in circles")
    }

    fn cookie(&self) -> String {
        self.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("; ")
    }

    /// A server function of the portal at this address.
    pub async fn send(&self, address: &str, function: &str, fields: &[(&str, &str)]) -> Result<Done, No> {
        let fields: Vec<(String, String)> = fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let request = self
            .http
            .post(format!("{address}/rpc/{function}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(&fields));
        self.ask(address, request).await
    }

    /// The same, with the status, the header `Retry-After` and the text of the answer.
    pub async fn send_raw(&self, address: &str, function: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
        let fields: Vec<(String, String)> = fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let request = self.http.post(format!("{address}/rpc/{function}")).header("content-type", "application/x-www-form-urlencoded");
        let answer = request
            .header("accept", "application/json")
            .header("cookie", self.cookie())
            .header("origin", address)
            .body(encoded(&fields))
            .send()
            .await
            .unwrap();
        let retry = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        (answer.status().as_u16(), retry, answer.text().await.unwrap())
    }

    /// The same, for what must not fail.
    pub async fn did(&self, address: &str, function: &str, fields: &[(&str, &str)]) -> Done {
        self.send(address, function, fields).await.unwrap_or_else(|no| panic!("{function}: {no:?}"))
    }

    pub async fn post_json(&self, address: &str, path: &str, body: &Value) -> Result<String, No> {
        let request = self.http.post(format!("{address}{path}")).header("content-type", "application/json").body(body.to_string());
        let answer = request.header("cookie", self.cookie()).header("origin", address).send().await.map_err(gone)?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(gone)?;
        if status < 400 { Ok(text) } else { Err(No::Refused { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }) }
    }

    /// Uploads a dataset; with `stops_after` the sender says no more after so many bytes, and waits.
    pub async fn upload(
        &self,
        address: &str,
        tenant: &str,
        name: &str,
        tokenizer: &str,
        file: &[u8],
        stops_after: Option<usize>,
    ) -> Result<Done, No> {
        let mut head = String::new();
        for (field, value) in [
            ("name", name),
            ("held_out_percent", "10"),
            ("tokenizer", tokenizer),
            ("source", "made for a test"),
            ("licence", "CC0-1.0"),
            ("personal_data", "none"),
            ("languages", "en"),
        ] {
            head.push_str(&format!("--B0undary\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"));
        }
        head.push_str("--B0undary\r\nContent-Disposition: form-data; name=\"file\"; filename=\"rows.jsonl\"\r\nContent-Type: application/jsonl\r\n\r\n");
        let mut body = head.into_bytes();
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n--B0undary--\r\n");
        let sent = body.get(..stops_after.unwrap_or(body.len())).unwrap_or(&body).to_vec();
        let rest = futures::stream::once(async move {
            if stops_after.is_some() {
                std::future::pending::<()>().await;
            }
            Ok::<_, std::io::Error>(Vec::new())
        });
        let stream = futures::stream::once(async move { Ok(sent) }).chain(rest);
        let request = self
            .http
            .post(format!("{address}/t/{tenant}/datasets-upload"))
            .header("content-type", "multipart/form-data; boundary=B0undary")
            .body(reqwest::Body::wrap_stream(stream));
        self.ask(address, request).await
    }

    /// A page as a browser asks for it: status and HTML.
    pub async fn page(&self, address: &str, path: &str) -> (u16, String) {
        let request = self.http.get(format!("{address}{path}")).header("accept", "text/html,*/*").header("sec-fetch-site", "none");
        let answer = request.header("cookie", self.cookie()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// What open pages of the tenant are told, as it comes.
    pub async fn events(&self, address: &str, tenant: &str) -> impl futures::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin + use<> {
        let answer = self.http.get(format!("{address}/t/{tenant}/events")).header("cookie", self.cookie()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Box::pin(answer.bytes_stream())
    }

    async fn ask(&self, address: &str, request: reqwest::RequestBuilder) -> Result<Done, No> {
        let answer = request
            .header("cookie", self.cookie())
            .header("origin", address)
            .header("accept", "application/json")
            .send()
            .await
            .map_err(gone)?;
        let status = answer.status().as_u16();
        let leads_to = answer.headers().get("location").and_then(|l| l.to_str().ok()).map(str::to_owned);
        let text = answer.text().await.map_err(gone)?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status < 400 { Ok(Done { body, leads_to }) } else { Err(No::Refused { status, body }) }
    }
}

/// An access token as the development provider of the portal at this address gives it to a program of this person.
pub async fn access_token(address: &str, login: &str) -> String {
    let asked = [("grant_type", "password"), ("client_id", "atelier"), ("username", login), ("password", "atelier")];
    let asked = asked.map(|(field, value)| (field.to_owned(), value.to_owned()));
    let request = reqwest::Client::new().post(format!("{address}/dev-idp/token")).body(encoded(&asked));
    let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    let given: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    given["access_token"].as_str().unwrap_or_else(|| panic!("no token for {login}: {given}")).to_owned()
}

fn gone(e: reqwest::Error) -> No {
    No::Gone(format!("{e:?}"))
}

fn encoded(fields: &[(String, String)]) -> String {
    let escape = |text: &str| {
        text.bytes()
            .map(|b| if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect::<String>()
    };
    fields.iter().map(|(k, v)| format!("{}={}", escape(k), escape(v))).collect::<Vec<_>>().join("&")
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split_once(&format!("{name}=\""))?.1.split_once('"')?.0;
    Some(
        value
            .replace("&quot;", "\"")
            .replace("&#x27;", "'")
            .replace("&#39;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}
