//! Which dataset this browser looked at last, for the forms that begin with one: a cookie. The server sets it with a page that it draws, the
//! page sets it when it is gone to in the browser. A page that only reads itself again leaves it alone: nobody may be looking at it.

use super::cookie;
use crate::api::{AppError, datasets::DatasetPage};
use domain::dataset::DatasetVersion;
use leptos::prelude::*;

pub const COOKIE: &str = "dataset";
/// A month.
pub const SECONDS: u32 = 2_592_000;

/// `acme/facts@3`.
pub fn value(version: &DatasetVersion) -> String {
    format!("{}/{}@{}", version.tenant, version.dataset_name, version.number)
}

/// Sets the cookie whenever the page shows another version than before.
pub fn remember(page: Resource<Result<DatasetPage, AppError>>) {
    Effect::new(move |before: Option<Option<String>>| {
        // The page may be gone already.
        let shown = page.try_get().flatten().and_then(Result::ok).map(|page| value(&page.version));
        if let Some(shown) = &shown
            && before.flatten().as_ref() != Some(shown)
        {
            cookie::set(COOKIE, shown, SECONDS);
        }
        shown
    });
}
