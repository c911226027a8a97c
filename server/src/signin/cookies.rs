//! The cookies: the session and the one-time cookie of a sign-in under way, both 256 random bits made by the platform, and the problem of
//! a form that was refused. On https they carry the `__Host-` prefix: no other host, and no plain http, can set them.

use axum::http::{HeaderMap, HeaderValue, header};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// Until the session ends, or the browser closes.
    Session,
    /// Ten minutes, one use.
    SignIn,
    /// One minute, one use: see `layers::returned`.
    Returned,
}

impl Cookie {
    const fn name(self, https: bool) -> &'static str {
        match (self, https) {
            (Self::Session, true) => "__Host-sid",
            (Self::Session, false) => "sid",
            (Self::SignIn, true) => "__Host-tx",
            (Self::SignIn, false) => "tx",
            (Self::Returned, true) => "__Host-returned",
            (Self::Returned, false) => "returned",
        }
    }

    /// The value that the browser sent. A name that comes twice counts as none: somebody tries to push one in.
    pub fn read(self, headers: &HeaderMap, https: bool) -> Option<String> {
        let name = self.name(https);
        let mut found = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned());
        let first = found.next()?;
        (found.next().is_none() && !first.is_empty() && first.len() <= self.longest()).then_some(first)
    }

    const fn longest(self) -> usize {
        match self {
            Self::Session | Self::SignIn => 200,
            Self::Returned => 3800,
        }
    }

    pub fn set(self, value: &str, https: bool) -> Option<HeaderValue> {
        let secure = if https { "; Secure" } else { "" };
        let age = match self {
            Self::Session => "",
            Self::SignIn => "; Max-Age=600",
            Self::Returned => "; Max-Age=60",
        };
        HeaderValue::from_str(&format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}", self.name(https))).ok()
    }

    pub fn clear(self, https: bool) -> Option<HeaderValue> {
        let secure = if https { "; Secure" } else { "" };
        HeaderValue::from_str(&format!("{}=; Path=/; HttpOnly; SameSite=Lax{secure}; Max-Age=0", self.name(https))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(cookie))])
    }

    #[test]
    fn a_cookie_reads_back_from_among_others() {
        assert_eq!(Cookie::Session.read(&headers("theme=dark; sid=abc; x=1"), false).as_deref(), Some("abc"));
        assert_eq!(Cookie::Session.read(&headers("xsid=abc"), false), None);
    }

    #[test]
    fn on_https_only_the_host_bound_name_counts() {
        assert_eq!(Cookie::Session.read(&headers("sid=pushed"), true), None);
        assert_eq!(Cookie::Session.read(&headers("sid=pushed; __Host-sid=own"), true).as_deref(), Some("own"));
        let set = Cookie::Session.set("v", true).unwrap();
        assert_eq!(set.to_str().unwrap(), "__Host-sid=v; Path=/; HttpOnly; SameSite=Lax; Secure");
    }

    #[test]
    fn a_cookie_that_comes_twice_is_not_believed() {
        assert_eq!(Cookie::Session.read(&headers("sid=a; sid=b"), false), None);
    }
}
