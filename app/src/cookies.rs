//! Cookies that pages set too: what this browser should bring along when it asks for the next page. They decide nothing.

use domain::dataset::DatasetVersion;

/// The dataset that this browser looked at last, for the forms that begin with one: `acme/facts@3`.
pub const LAST_DATASET: &str = "dataset";
/// Seconds that it is remembered: a month.
pub const LAST_DATASET_LASTS: u32 = 2_592_000;

pub fn last_dataset(version: &DatasetVersion) -> String {
    format!("{}/{}@{}", version.tenant, version.dataset_name, version.number)
}

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
