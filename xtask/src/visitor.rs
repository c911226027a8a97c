//! A person at the portal, as a browser with scripts off would be: follows links, fills forms, keeps cookies.
//! The demo uses nothing else, so what it does anybody can do.

use anyhow::{Context, Result, anyhow, bail};
use reqwest::{
    blocking::{Client, Response, multipart},
    header,
};
use serde_json::Value;
use std::{path::Path, time::Duration};

pub struct Visitor {
    http: Client,
    base: String,
}

impl Visitor {
    /// Signs in at the provider's own form: that of the development provider, or Keycloak's.
    pub fn sign_in(base: &str, name: &str, password: &str) -> Result<Self> {
        let http = Client::builder().cookie_store(true).timeout(Duration::from_secs(120)).build()?;
        let me = Self { http, base: base.to_owned() };
        let page = me.http.get(format!("{base}/auth/login?return_to=/")).send()?;
        let at = page.url().clone();
        let html = page.error_for_status()?.text()?;
        let form = Form::first(&html).with_context(|| format!("there is no sign-in form at {at}"))?;
        let mut fields = form.fields;
        fields.retain(|(field, _)| field != &form.person && field != &form.password);
        fields.push((form.person, name.to_owned()));
        fields.push((form.password, password.to_owned()));
        let action = at.join(&form.action)?;
        let origin = format!("{}://{}", action.scheme(), action.authority());
        let done = me.http.post(action).header(header::ORIGIN, origin).form(&fields).send()?;
        if !done.status().is_success() || done.url().as_str().strip_prefix(base).is_none_or(|path| path.contains("login")) {
            bail!("{name} could not sign in: {} at {}", done.status(), done.url());
        }
        Ok(me)
    }

    pub fn page(&self, path: &str) -> Result<String> {
        let answer = self.http.get(format!("{}{path}", self.base)).header(header::ACCEPT, "text/html").send()?;
        if !answer.status().is_success() {
            bail!("{path} answered {}", answer.status());
        }
        Ok(answer.text()?)
    }

    /// Sends a form to a server function; the answer as JSON.
    pub fn send(&self, function: &str, fields: &[(&str, &str)]) -> Result<Value> {
        let answer = self
            .http
            .post(format!("{}/rpc/{function}", self.base))
            .header(header::ORIGIN, &self.base)
            .header(header::ACCEPT, "application/json")
            .form(fields)
            .send()?;
        json(function, answer)
    }

    /// All rows of a list, page by page; `at` is where the answer has the list, empty when it is the whole answer.
    pub fn list(&self, function: &str, fields: &[(&str, &str)], at: &str) -> Result<Vec<Value>> {
        let (mut rows, mut after) = (Vec::new(), String::new());
        loop {
            let answer = self.send(function, &[fields, &[("after", after.as_str())]].concat())?;
            let page = if at.is_empty() { &answer } else { &answer[at] };
            rows.extend(
                page["rows"].as_array().with_context(|| format!("the list of {function} cannot be read: {answer}"))?.iter().cloned(),
            );
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut after),
                None => return Ok(rows),
            }
        }
    }

    /// Posts a file with the fields of its form.
    pub fn upload(&self, path: &str, fields: &[(&str, &str)], file: &Path) -> Result<Value> {
        let mut form = multipart::Form::new();
        for (name, value) in fields {
            form = form.text((*name).to_owned(), (*value).to_owned());
        }
        let form = form.file("file", file).with_context(|| format!("{} cannot be read", file.display()))?;
        let answer = self
            .http
            .post(format!("{}{path}", self.base))
            .header(header::ORIGIN, &self.base)
            .header(header::ACCEPT, "application/json")
            .multipart(form)
            .send()?;
        json(path, answer)
    }

    /// A question in the playground; the body of the stream, to its end.
    pub fn ask(&self, path: &str, body: &Value) -> Result<String> {
        let answer = self.http.post(format!("{}{path}", self.base)).header(header::ORIGIN, &self.base).json(body).send()?;
        if !answer.status().is_success() {
            bail!("{path} answered {}: {}", answer.status(), answer.text()?);
        }
        Ok(answer.text()?)
    }
}

fn json(what: &str, answer: Response) -> Result<Value> {
    let status = answer.status();
    let text = answer.text()?;
    if status.is_success() || status.is_redirection() {
        return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
    }
    let problem: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let said = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    let fields: Vec<String> =
        problem["fields"].as_array().into_iter().flatten().filter_map(|f| f["sentence"].as_str().map(str::to_owned)).collect();
    Err(anyhow!("{what} answered {status}: {} {} {}", said("sentence"), said("next_step"), fields.join(" ")))
}

/// The first form of a page: where it goes, and what it holds.
struct Form {
    action: String,
    fields: Vec<(String, String)>,
    person: String,
    password: String,
}

impl Form {
    fn first(html: &str) -> Option<Self> {
        let form = html.get(html.find("<form")?..)?;
        let form = form.get(..form.find("</form>")?)?;
        let open = form.get(..form.find('>')?)?;
        let mut me = Self {
            action: attribute(open, "action").unwrap_or_default(),
            fields: Vec::new(),
            person: String::new(),
            password: String::new(),
        };
        for tag in form.split('<').filter(|t| t.starts_with("input") || t.starts_with("select")) {
            let Some(name) = attribute(tag, "name") else { continue };
            match attribute(tag, "type").as_deref() {
                Some("password") => me.password = name,
                Some("hidden") => me.fields.push((name, attribute(tag, "value").unwrap_or_default())),
                Some("submit" | "checkbox") => {}
                _ => me.person = name,
            }
        }
        (!me.person.is_empty() && !me.password.is_empty()).then_some(me)
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let rest = tag.split_once(&format!(" {name}=\""))?.1;
    let value = rest.split_once('"')?.0;
    Some(value.replace("&quot;", "\"").replace("&#x27;", "'").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_with_its_hidden_fields_and_its_names() {
        let html = r#"<p><form method="post" action="/sign?a=1&amp;b=2"><input type="hidden" name="state" value="x&quot;y"><select name="user"><option>a</select><input type="password" name="password"></form>"#;
        let form = Form::first(html).unwrap();
        assert_eq!((form.action.as_str(), form.person.as_str(), form.password.as_str()), ("/sign?a=1&b=2", "user", "password"));
        assert_eq!(form.fields, [("state".to_owned(), "x\"y".to_owned())]);
        assert!(Form::first("<p>no form</p>").is_none());
    }
}
