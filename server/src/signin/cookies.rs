//! The cookies: the session, one for each sign-in under way, so that several tabs can sign in side by side, both 256 random bits made by
//! the platform, and the problem of a form that was refused. On https they carry the `__Host-` prefix: no other host, and no plain http,
//! can set them.

use axum::http::{HeaderMap, HeaderValue, header};
use domain::time::Timestamp;

/// Sign-ins that one browser may have under way; the oldest gives way to a further one.
const ATTEMPTS: usize = 8;
/// Longest secret that is looked at, bytes.
const LONGEST: usize = 200;

/// The session: until it ends, or the browser closes.
pub struct Session;

impl Session {
    const fn name(https: bool) -> &'static str {
        if https { "__Host-sid" } else { "sid" }
    }
    pub fn read(headers: &HeaderMap, https: bool) -> Option<String> {
        read(headers, Self::name(https), LONGEST)
    }
    pub fn set(secret: &str, https: bool) -> Option<HeaderValue> {
        set(Self::name(https), secret, "", https)
    }
    pub fn clear(https: bool) -> Option<HeaderValue> {
        set(Self::name(https), "", "; Max-Age=0", https)
    }
}

/// The problem of a refused form: one minute, one use. See `layers::returned`.
pub struct ReturnedForm;

impl ReturnedForm {
    /// Longest value that is looked at, bytes. Browsers keep cookies of up to 4 kB, with name and attributes.
    const LONGEST: usize = 3800;

    const fn name(https: bool) -> &'static str {
        if https { "__Host-returned" } else { "returned" }
    }
    pub fn read(headers: &HeaderMap, https: bool) -> Option<String> {
        read(headers, Self::name(https), Self::LONGEST)
    }
    pub fn set(value: &str, https: bool) -> Option<HeaderValue> {
        set(Self::name(https), value, "; Max-Age=60", https)
    }
    pub fn clear(https: bool) -> Option<HeaderValue> {
        set(Self::name(https), "", "; Max-Age=0", https)
    }
}

/// A sign-in under way: ten minutes, one use. Its name comes from the state that the provider sends back, so that an answer finds the
/// sign-in that it belongs to and touches no other.
pub struct Attempt;

impl Attempt {
    const fn prefix(https: bool) -> &'static str {
        if https { "__Host-tx-" } else { "tx-" }
    }
    fn name(state: &str, https: bool) -> String {
        // Not the state itself: what comes back is anybody's text.
        format!("{}{}", Self::prefix(https), &blake3::hash(state.as_bytes()).to_hex()[..16])
    }
    /// The secret of the sign-in that has this state.
    pub fn read(headers: &HeaderMap, state: &str, https: bool) -> Option<String> {
        let value = read(headers, &Self::name(state, https), LONGEST)?;
        Some(value.split_once('.')?.1.to_owned())
    }
    pub fn clear(state: &str, https: bool) -> Option<HeaderValue> {
        set(&Self::name(state, https), "", "; Max-Age=0", https)
    }
    /// The cookie of a new sign-in, after those that must go for it.
    pub fn set(headers: &HeaderMap, state: &str, secret: &str, now: Timestamp, https: bool) -> Vec<HeaderValue> {
        let mut open: Vec<(i64, &str)> = pairs(headers)
            .filter(|(name, _)| name.starts_with(Self::prefix(https)))
            .map(|(name, value)| (value.split_once('.').and_then(|(at, _)| at.parse().ok()).unwrap_or(0), name))
            .collect();
        open.sort_unstable();
        let too_many = (open.len() + 1).saturating_sub(ATTEMPTS);
        let gone = open[..too_many].iter().filter_map(|(_, name)| set(name, "", "; Max-Age=0", https));
        gone.chain(set(&Self::name(state, https), &format!("{}.{secret}", now.0), "; Max-Age=600", https)).collect()
    }
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

/// The value that the browser sent. A name that comes twice counts as none: somebody tries to push one in.
fn read(headers: &HeaderMap, name: &str, longest: usize) -> Option<String> {
    let mut found = pairs(headers).filter(|(key, _)| *key == name).map(|(_, value)| value);
    let first = found.next()?;
    (found.next().is_none() && !first.is_empty() && first.len() <= longest).then(|| first.to_owned())
}

fn set(name: &str, value: &str, age: &str, https: bool) -> Option<HeaderValue> {
    let secure = if https { "; Secure" } else { "" };
    HeaderValue::from_str(&format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn headers(cookie: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(cookie))])
    }

    #[test]
    fn a_cookie_reads_back_from_among_others() {
        assert_eq!(Session::read(&headers("theme=dark; sid=abc; x=1"), false).as_deref(), Some("abc"));
        assert_eq!(Session::read(&headers("xsid=abc"), false), None);
    }

    #[test]
    fn on_https_only_the_host_bound_name_counts() {
        assert_eq!(Session::read(&headers("sid=pushed"), true), None);
        assert_eq!(Session::read(&headers("sid=pushed; __Host-sid=own"), true).as_deref(), Some("own"));
        let set = Session::set("v", true).unwrap();
        assert_eq!(set.to_str().unwrap(), "__Host-sid=v; Path=/; HttpOnly; SameSite=Lax; Secure");
    }

    #[test]
    fn a_cookie_that_comes_twice_is_not_believed() {
        assert_eq!(Session::read(&headers("sid=a; sid=b"), false), None);
    }

    /// As a browser keeps them.
    fn kept(jar: &mut BTreeMap<String, String>, set: Vec<HeaderValue>) -> HeaderMap {
        for cookie in set {
            let text = cookie.to_str().unwrap();
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            if text.contains("Max-Age=0") {
                jar.remove(name)
            } else {
                jar.insert(name.into(), value.into())
            };
        }
        let line = jar.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("; ");
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&line).unwrap())])
    }

    #[test]
    fn each_sign_in_under_way_has_its_own_cookie_and_the_oldest_gives_way() {
        for https in [false, true] {
            let mut jar = BTreeMap::new();
            let mut sent = HeaderMap::new();
            for i in 0..20 {
                let set = Attempt::set(&sent, &format!("state{i}"), &format!("secret{i}"), Timestamp(1_800_000_000_000 + i * 1000), https);
                sent = kept(&mut jar, set);
            }
            assert_eq!(jar.len(), ATTEMPTS);
            for i in 0..20 {
                let secret = Attempt::read(&sent, &format!("state{i}"), https);
                assert_eq!(secret, (i >= 12).then(|| format!("secret{i}")), "{i}");
            }
            let sent = kept(&mut jar, vec![Attempt::clear("state15", https).unwrap()]);
            assert_eq!(Attempt::read(&sent, "state15", https), None);
            assert_eq!(Attempt::read(&sent, "state16", https).as_deref(), Some("secret16"));
        }
    }
}
