//! What messages carry beside text. A model server fetches the addresses in them, from inside: so each one is read here first.

use crate::{errors::Refusal, wire::Fields};
use domain::serving::ServingSettings;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Parts that a server decodes as tensors or objects, not as a picture.
const OPAQUE: [&str; 4] = ["audio_embeds", "image_embeds", "image_pil", "prompt_embeds"];

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// `host` or `host:port` of every address, in lower case.
    hosts: Vec<String>,
    opaque: Vec<&'static str>,
    media: bool,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// `messages`: the field's JSON. What is no list of objects is left to the model server to refuse.
pub(crate) fn read(messages: &str) -> Result<Content, Refusal> {
    let mut found = Content::default();
    let Ok(messages) = serde_json::from_str::<Vec<Message>>(messages) else {
        return Err(Refusal::bad_request(
            Some("messages"),
            "The field “messages” must be a list of messages, each with a role and a content.",
        ));
    };
    for parts in messages.iter().filter_map(|m| m.content).map(RawValue::get).filter(|c| c.starts_with(['[', '{'])) {
        let parts: Vec<&RawValue> = serde_json::from_str(parts)
            .map_err(|_| Refusal::bad_request(Some("messages"), "The “content” of a message must be a text or a list of parts."))?;
        for part in parts.into_iter().filter(|p| p.get().starts_with('{')) {
            let fields: Fields = serde_json::from_str(part.get())
                .map_err(|e| Refusal::bad_request(Some("messages"), format!("A part of a message cannot be understood: {e}.")))?;
            found.part(&fields)?;
        }
    }
    Ok(found)
}

impl Content {
    pub(crate) fn has_media(&self) -> bool {
        self.media
    }

    fn part(&mut self, part: &Fields) -> Result<(), Refusal> {
        for (key, value) in part.0.iter().filter(|(_, value)| value.get() != "null") {
            let key = key.0.as_ref();
            if let Some(name) = OPAQUE.iter().find(|o| **o == key) {
                self.media = true;
                self.opaque.push(name);
            } else if key.ends_with("_url") {
                self.media = true;
                self.address(value.get())?;
            } else if key == "input_audio" || key == "file" {
                self.media = true;
            }
        }
        Ok(())
    }

    /// `"address"` or `{"url":"address"}`.
    fn address(&mut self, raw: &str) -> Result<(), Refusal> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Address {
            Plain(String),
            Inside { url: String },
        }
        let unclear = || {
            let sentence = "An address of a picture, sound or film cannot be understood. Write “https://host/path” without user name, or send the content itself as a “data:” address.";
            Refusal::bad_request(Some("messages"), sentence)
        };
        let (Address::Plain(address) | Address::Inside { url: address }) = serde_json::from_str(raw).map_err(|_| unclear())?;
        if address.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data:")) {
            return Ok(());
        }
        self.hosts.push(host(&address).ok_or_else(unclear)?);
        Ok(())
    }

    /// Whether this endpoint's server may fetch and decode all of it.
    pub(crate) fn check(&self, settings: &ServingSettings) -> Result<(), Refusal> {
        if let Some(host) = self.hosts.iter().find(|host| !settings.media_hosts.contains(host)) {
            return Err(Refusal::media_host(host));
        }
        match self.opaque.iter().find(|field| !settings.allows_field(field)) {
            Some(field) => Err(Refusal::guarded_field(field)),
            None => Ok(()),
        }
    }
}

/// Host and port of an address that every reader reads the same way: no user name, no backslash, nothing escaped before the path.
fn host(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    if !(scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")) {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].to_ascii_lowercase();
    (domain::call_rules::is_host(&host) && !address.contains(['\\', '\n', '\r', '\t', ' '])).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(part: &str) -> Result<Content, Refusal> {
        read(&format!(
            r#"[{{"role":"system","content":"x"}},{{"role":"user","content":[{{"type":"text","text":"https://no.where/"}},{part}]}}]"#
        ))
    }

    #[test]
    fn hosts_are_found_however_the_address_is_written() {
        for (part, host) in [
            (r#"{"type":"image_url","image_url":{"url":"https://Images.example.org/a.png?b"}}"#, "images.example.org"),
            (r#"{"image_url":"http://10.0.0.1:8080"}"#, "10.0.0.1:8080"),
            (r#"{"type":"video_url","video\u005furl":{"url":"HTTPS://films.example.org#x"}}"#, "films.example.org"),
        ] {
            assert_eq!(one(part).unwrap(), Content { hosts: vec![host.into()], opaque: vec![], media: true }, "{part}");
        }
        assert_eq!(one(r#"{"type":"text","text":"y"}"#).unwrap(), Content::default());
        let inline = one(r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}"#).unwrap();
        assert_eq!(inline, Content { media: true, ..Content::default() });
    }

    #[test]
    fn an_address_that_readers_could_read_differently_is_refused() {
        for address in [
            "https://allowed.example.org@10.0.0.1/",
            "https://allowed.example.org\\\\@10.0.0.1/",
            "file:///etc/passwd",
            "ftp://host/x",
            "//host/x",
            "http:host/x",
            "http://[::1]/",
            "http://2130706433%2e/",
            "https://ho st/",
            "/etc/passwd",
            "",
        ] {
            assert!(one(&format!(r#"{{"type":"image_url","image_url":{{"url":"{address}"}}}}"#)).is_err(), "{address}");
        }
        assert!(one(r#"{"image_url":"data:,","image_url":"http://10.0.0.1/"}"#).is_err(), "the same field twice");
    }

    #[test]
    fn only_allowed_hosts_and_parts_go_through() {
        let settings = ServingSettings {
            media_hosts: vec!["a.org".into()],
            allowed_fields: vec!["image_embeds".into()],
            ..ServingSettings::default()
        };
        let ok = |part: &str| one(part).unwrap().check(&settings).is_ok();
        assert!(ok(r#"{"image_url":"https://a.org/x"}"#) && ok(r#"{"image_embeds":"AAAA"}"#));
        assert!(
            !ok(r#"{"image_url":"https://b.org/x"}"#) && !ok(r#"{"image_url":"https://a.org:81/x"}"#) && !ok(r#"{"audio_embeds":"A"}"#)
        );
    }
}
