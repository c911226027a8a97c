//! Sending the file with progress, when scripts run: the same form, by `XMLHttpRequest`, because `fetch` tells nothing while it sends.

use crate::api::AppError;
use leptos::{ev::SubmitEvent, prelude::*};

/// How far the file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub file: String,
    pub sent: u64,
    pub total: u64,
}

/// One upload of this page.
#[derive(Clone, Copy, Default)]
pub struct Upload {
    pub progress: RwSignal<Option<Progress>>,
    pub error: RwSignal<Option<AppError>>,
}

impl Upload {
    pub fn busy(self) -> bool {
        self.progress.with(Option::is_some)
    }
}

/// Takes over from the browser's own form post.
#[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
pub fn submit(upload: Upload, event: SubmitEvent) {
    #[cfg(feature = "hydrate")]
    if browser::send(upload, &event).is_some() {
        event.prevent_default();
    }
}

#[cfg(feature = "hydrate")]
mod browser {
    use super::{Progress, Upload};
    use crate::api::AppError;
    use domain::problem::{Problem, ProblemKind};
    use leptos::{ev::SubmitEvent, prelude::*};
    use wasm_bindgen::{JsCast, closure::Closure};
    use web_sys::{FormData, HtmlFormElement, HtmlInputElement, ProgressEvent, XmlHttpRequest};

    /// None when the browser cannot do it this way; then it posts the form itself.
    pub(super) fn send(upload: Upload, event: &SubmitEvent) -> Option<()> {
        if upload.busy() {
            return Some(());
        }
        let form: HtmlFormElement = event.target()?.dyn_into().ok()?;
        let data = FormData::new_with_form(&form).ok()?;
        let file = document().get_element_by_id("file")?.dyn_into::<HtmlInputElement>().ok()?.files()?.get(0)?;
        let request = XmlHttpRequest::new().ok()?;
        request.open_with_async("POST", &form.action(), true).ok()?;
        request.set_request_header("Accept", "application/json").ok()?;
        upload.error.set(None);
        upload.progress.set(Some(Progress { file: file.name(), sent: 0, total: file.size() as u64 }));
        // The two closures live as long as the request; a page makes one or two of them.
        let progress = Closure::<dyn Fn(ProgressEvent)>::new(move |e: ProgressEvent| {
            upload.progress.update(|p| {
                if let Some(p) = p {
                    (p.sent, p.total) = (e.loaded() as u64, e.total() as u64);
                }
            });
        });
        request.upload().ok()?.set_onprogress(Some(progress.as_ref().unchecked_ref()));
        progress.forget();
        let answer = request.clone();
        let ended = Closure::<dyn Fn()>::new(move || finish(upload, &answer));
        request.set_onloadend(Some(ended.as_ref().unchecked_ref()));
        ended.forget();
        request.send_with_opt_form_data(Some(&data)).ok()
    }

    #[derive(serde::Deserialize)]
    struct Made {
        href: String,
    }

    fn finish(upload: Upload, request: &XmlHttpRequest) {
        let text = request.response_text().ok().flatten().unwrap_or_default();
        if let Ok(made) = serde_json::from_str::<Made>(&text) {
            leptos_router::hooks::use_navigate()(&made.href, Default::default());
            return;
        }
        let problem = serde_json::from_str::<Problem>(&text).unwrap_or_else(|_| {
            Problem::new(ProblemKind::Unavailable, "The file did not arrive.")
                .next("Check the connection and send it again; nothing was stored.")
        });
        upload.progress.set(None);
        upload.error.set(Some(AppError(problem)));
    }
}
