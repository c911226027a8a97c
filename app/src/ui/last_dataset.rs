//! Which dataset this browser looked at last ([`cookies::LAST_DATASET`]). The server sets the cookie with a page that it draws, the page when
//! it is gone to in the browser. A page that only reads itself again leaves it alone: nobody may be looking at it.

use crate::{
    api::{AppError, datasets::DatasetPage},
    cookies,
};
use leptos::prelude::*;

/// Sets the cookie whenever the page shows another version than before.
pub fn remember(page: Resource<Result<DatasetPage, AppError>>) {
    Effect::new(move |before: Option<Option<String>>| {
        // The page may be gone already.
        let shown = page.try_get().flatten().and_then(Result::ok).map(|page| cookies::last_dataset(&page.version));
        if let Some(shown) = &shown
            && before.flatten().as_ref() != Some(shown)
        {
            cookies::set(cookies::LAST_DATASET, shown, cookies::LAST_DATASET_LASTS);
        }
        shown
    });
}
