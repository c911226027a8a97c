//! Cookies that a page sets itself: what this browser should bring along when it asks for the next page.

/// Sets a cookie of the whole portal for `seconds`. `value` must need no encoding. A browser that refuses cookies loses nothing but the
/// memory.
#[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
pub fn set(name: &str, value: &str, seconds: u32) {
    #[cfg(feature = "hydrate")]
    {
        let cookie = line(name, value, seconds);
        let _ = js_sys::Reflect::set(&leptos::prelude::document(), &"cookie".into(), &cookie.into());
    }
}

/// The cookie as the browser and the header `Set-Cookie` take it. Scripts may change it, so it must decide nothing.
#[cfg(any(feature = "hydrate", feature = "ssr"))]
pub fn line(name: &str, value: &str, seconds: u32) -> String {
    format!("{name}={value}; Path=/; Max-Age={seconds}; SameSite=Lax")
}
