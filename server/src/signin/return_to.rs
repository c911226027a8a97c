//! Where a person goes after signing in: a path of this portal, never anywhere else.

use openidconnect::url::Url;

/// The path, when it is surely one of ours; else `/`.
pub fn return_to(asked: Option<&str>) -> &str {
    asked.filter(|path| is_ours(path)).unwrap_or("/")
}

fn is_ours(path: &str) -> bool {
    let plain = path.len() <= 2000 && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if !plain || !path.starts_with('/') || path.starts_with("//") || path.starts_with("/auth/") || path.starts_with("/dev-idp/") {
        return false;
    }
    // What a browser would make of it, by the same rules as a browser.
    let Ok(base) = Url::parse("https://portal.invalid/") else { return false };
    base.join(path).is_ok_and(|url| url.origin() == base.origin() && !url.path().starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_ours_is_kept_with_its_query() {
        for path in ["/", "/t/lumenta/runs?state=failed&q=a%20b", "/t/a/datasets/x?v=2#rows"] {
            assert_eq!(return_to(Some(path)), path);
        }
    }

    #[test]
    fn everything_that_leads_elsewhere_becomes_the_home_page() {
        for bad in [
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/.//evil.example",
            "/a/..//evil.example",
            "javascript:alert(1)",
            "t/lumenta",
            "",
            "/x\r\nSet-Cookie: a=b",
            "/ä",
            "/auth/logout",
            "/dev-idp/authorize",
        ] {
            assert_eq!(return_to(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(return_to(Some(&format!("/{}", "a".repeat(3000)))), "/");
        assert_eq!(return_to(None), "/");
    }
}
