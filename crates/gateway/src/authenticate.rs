//! Who calls: an API key by the BLAKE3 digest of its text, or a session pass by its signature. Both against one snapshot of
//! the directory, so that a revoked key or a person who left is out with the next snapshot.

use crate::errors::Refusal;
use domain::{
    confirmation,
    directory::{BadPass, Directory, KeyEntry, PASS_PREFIX, Pass, TenantEntry},
    ids::PersonId,
    key,
    name::Name,
    time::Timestamp,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

const KEY_STOPS_AT: HeaderName = HeaderName::from_static("x-api-key-stops-at");
const KEY_WARNING: HeaderName = HeaderName::from_static("x-api-key-warning");

/// A caller that is who it says it is. Nothing is said yet about what it may do.
pub(crate) struct Authenticated<'d> {
    pub tenant: &'d Name,
    pub entry: &'d TenantEntry,
    /// None: a signed-in person's page.
    pub key: Option<&'d KeyEntry>,
    /// The person behind the pass, or the key's owner.
    pub person: PersonId,
}

impl Authenticated<'_> {
    /// Tells a program, a week before, that its key stops unless its owner signs in.
    pub(crate) fn tell_its_end(&self, headers: &mut HeaderMap, now: Timestamp) {
        let Some(stop) = self.key.and_then(|k| k.confirmed_until).filter(|stop| confirmation::is_told(*stop, now)) else { return };
        let warning = format!("This API key stops on {} unless its owner signs in to the portal before.", stop.day());
        for (name, text) in [(KEY_STOPS_AT, stop.rfc3339()), (KEY_WARNING, warning)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }
}

/// `in_path`: the tenant of `/t/{tenant}/v1`. A credential of another tenant gets the very answer of an unknown one.
pub(crate) fn authenticate<'d>(
    directory: &'d Directory,
    headers: &HeaderMap,
    in_path: Option<&str>,
    now: Timestamp,
) -> Result<Authenticated<'d>, Refusal> {
    let text = credential(headers).ok_or_else(Refusal::no_key)?;
    if text.starts_with(PASS_PREFIX) { by_pass(directory, text, in_path, now) } else { by_key(directory, text, in_path, now) }
}

/// `Authorization: Bearer`, as OpenAI's clients send it; `api-key` and `x-api-key`, as those of Azure and Anthropic do.
fn credential(headers: &HeaderMap) -> Option<&str> {
    let bearer = || {
        let (scheme, text) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(text)
    };
    let plain = |name: &str| headers.get(name)?.to_str().ok();
    bearer().or_else(|| plain("api-key")).or_else(|| plain("x-api-key")).map(str::trim).filter(|t| !t.is_empty())
}

fn by_key<'d>(directory: &'d Directory, text: &str, in_path: Option<&str>, now: Timestamp) -> Result<Authenticated<'d>, Refusal> {
    if !key::text::well_formed(text) {
        return Err(if text.starts_with(key::PREFIX) { Refusal::torn_key() } else { Refusal::unknown_key() });
    }
    let key = directory.keys.get(&key::text::digest(text)).ok_or_else(Refusal::unknown_key)?;
    if in_path.is_some_and(|p| p != key.tenant.as_str()) {
        return Err(Refusal::unknown_key());
    }
    let (tenant, entry) = directory.tenants.get_key_value(&key.tenant).ok_or_else(Refusal::unknown_key)?;
    if key.revoked {
        return Err(Refusal::revoked_key());
    }
    if let Some(stop) = key.confirmed_until.filter(|stop| *stop <= now) {
        return Err(Refusal::unconfirmed_key(stop));
    }
    match key.expires_at {
        Some(end) if end <= now => Err(Refusal::expired_key(end)),
        _ => Ok(Authenticated { tenant, entry, key: Some(key), person: key.owner }),
    }
}

fn by_pass<'d>(directory: &'d Directory, text: &str, in_path: Option<&str>, now: Timestamp) -> Result<Authenticated<'d>, Refusal> {
    let pass = Pass::verify(text, &directory.pass_secret, now).map_err(|e| match e {
        BadPass::NotOurs => Refusal::bad_pass(),
        BadPass::Expired => Refusal::expired_pass(),
    })?;
    if in_path.is_some_and(|p| p != pass.tenant.as_str()) {
        return Err(Refusal::bad_pass());
    }
    let (tenant, entry) = directory.tenants.get_key_value(&pass.tenant).ok_or_else(Refusal::bad_pass)?;
    let ended = directory.passes_from.get(&pass.person).is_some_and(|ended| pass.made_at() <= *ended);
    if ended || !entry.members.contains(&pass.person) {
        return Err(Refusal::bad_pass());
    }
    Ok(Authenticated { tenant, entry, key: None, person: pass.person })
}
