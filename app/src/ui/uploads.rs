//! Files on their way to the portal. They outlive the page that sent them: a tray shows them on every page until they have arrived,
//! and only closing or reloading the tab asks first.

use super::{bytes, icon::Icon, number::percent};
use crate::api::AppError;
use leptos::prelude::*;

/// How far a file is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Sending {
        sent: u64,
        total: u64,
    },
    /// The page of what it became.
    Arrived(String),
    Refused(AppError),
}

impl State {
    fn is_sending(&self) -> bool {
        matches!(self, Self::Sending { .. })
    }
}

/// One file.
#[derive(Clone)]
pub struct Upload {
    id: usize,
    pub file: String,
    pub state: ArcRwSignal<State>,
    #[cfg(feature = "hydrate")]
    request: StoredValue<web_sys::XmlHttpRequest, LocalStorage>,
}

/// All files of this tab. Provided once by the app.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "hydrate"), allow(dead_code))]
pub struct Uploads {
    all: RwSignal<Vec<Upload>>,
    /// The one whose own page is open: it is shown there, not in the tray.
    at_home: RwSignal<Option<usize>>,
}

/// Makes the uploads known to all pages. Called once, inside the router.
pub(crate) fn provide_uploads() {
    let uploads = Uploads { all: RwSignal::new(Vec::new()), at_home: RwSignal::new(None) };
    provide_context(uploads);
    #[cfg(feature = "hydrate")]
    {
        let asks = window_event_listener(leptos::ev::beforeunload, move |ev| {
            if uploads.all.with_untracked(|all| all.iter().any(|u| u.state.with_untracked(State::is_sending))) {
                ev.prevent_default();
            }
        });
        on_cleanup(move || asks.remove());
    }
}

impl Uploads {
    /// The upload is shown by the page that calls this, as long as it is there.
    pub fn show_here(self, upload: &Upload) {
        self.at_home.set(Some(upload.id));
    }

    /// The page is left: what is still on its way goes to the tray.
    pub fn leave(self) {
        self.forget_ended();
        self.at_home.set(None);
    }

    /// The one that is shown by its own page needs no line in the tray when it has ended.
    pub fn forget_ended(self) {
        let home = self.at_home.get_untracked();
        self.all.update(|all| all.retain(|u| Some(u.id) != home || u.state.with_untracked(State::is_sending)));
    }

    fn forget(self, id: usize) {
        self.all.update(|all| all.retain(|u| u.id != id));
    }
}

#[component]
pub(crate) fn Tray() -> impl IntoView {
    let uploads = expect_context::<Uploads>();
    let shown = move || {
        let home = uploads.at_home.get();
        uploads.all.get().into_iter().filter(move |u| Some(u.id) != home).collect::<Vec<_>>()
    };
    view! {
        <aside class="tray" aria-label="Uploads" hidden=move || shown().is_empty()>
            <For each=shown key=|u| u.id let:upload><Line upload uploads/></For>
        </aside>
    }
}

#[component]
fn Line(upload: Upload, uploads: Uploads) -> impl IntoView {
    let Upload { id, file, state, .. } = upload.clone();
    let close = format!("Close {file}");
    let sending = state.clone();
    let stop = move |_| {
        #[cfg(feature = "hydrate")]
        upload.request.with_value(|request| {
            let _ = request.abort();
        });
        uploads.forget(id);
    };
    view! {
        <div class="item" role="status">
            <b class="mono">{file}</b>
            {move || match state.get() {
                State::Sending { sent, total } => view! {
                    <p>{format!("{} of {}", bytes(sent), bytes(total))}</p>
                    <span class="meter full" style=format!("--v:{};--c:var(--color-info)", percent(sent, total)) role="img" aria-label=percent(sent, total)><i></i></span>
                }.into_any(),
                State::Arrived(href) => view! { <p><Icon name="succeeded" inline=true/>" Uploaded. "<a href=href on:click=move |_| uploads.forget(id)>"Open the dataset"</a></p> }.into_any(),
                State::Refused(AppError(problem)) => view! { <p class="fg-danger"><Icon name="failed" inline=true/>" "{problem.sentence}" "{problem.next_step}</p> }.into_any(),
            }}
            <button type="button" class="iconbtn small" on:click=stop
                aria-label=move || if sending.with(State::is_sending) { "Cancel the upload".to_owned() } else { close.clone() }><Icon name="x"/></button>
        </div>
    }
}

#[cfg(feature = "hydrate")]
pub use browser::send;

#[cfg(feature = "hydrate")]
mod browser {
    use super::{State, Upload, Uploads};
    use crate::api::AppError;
    use domain::problem::{Problem, ProblemKind};
    use leptos::prelude::*;
    use wasm_bindgen::{JsCast, closure::Closure};
    use web_sys::{FormData, HtmlFormElement, ProgressEvent, XmlHttpRequest};

    /// Sends a form with its file by `XMLHttpRequest`, because `fetch` tells nothing while it sends. None when the browser cannot.
    pub fn send(uploads: Uploads, form: &HtmlFormElement, file: &web_sys::File) -> Option<Upload> {
        let data = FormData::new_with_form(form).ok()?;
        let request = XmlHttpRequest::new().ok()?;
        request.open_with_async("POST", &form.action(), true).ok()?;
        request.set_request_header("Accept", "application/json").ok()?;
        let state = ArcRwSignal::new(State::Sending { sent: 0, total: file.size() as u64 });
        // The two closures live as long as the tab; a person makes a few of them.
        let told = state.clone();
        let progress = Closure::<dyn Fn(ProgressEvent)>::new(move |e: ProgressEvent| {
            told.set(State::Sending { sent: e.loaded() as u64, total: e.total() as u64 });
        });
        request.upload().ok()?.set_onprogress(Some(progress.as_ref().unchecked_ref()));
        progress.forget();
        let (answer, told) = (request.clone(), state.clone());
        let ended = Closure::<dyn Fn()>::new(move || told.set(outcome(&answer)));
        request.set_onloadend(Some(ended.as_ref().unchecked_ref()));
        ended.forget();
        request.send_with_opt_form_data(Some(&data)).ok()?;
        let id = uploads.all.with_untracked(|all| all.last().map_or(0, |last| last.id + 1));
        let upload = Upload { id, file: file.name(), state, request: StoredValue::new_local(request) };
        uploads.all.update(|all| all.push(upload.clone()));
        Some(upload)
    }

    #[derive(serde::Deserialize)]
    struct Made {
        href: String,
    }

    fn outcome(request: &XmlHttpRequest) -> State {
        let text = request.response_text().ok().flatten().unwrap_or_default();
        if let Ok(made) = serde_json::from_str::<Made>(&text) {
            return State::Arrived(made.href);
        }
        State::Refused(AppError(serde_json::from_str::<Problem>(&text).unwrap_or_else(|_| {
            Problem::new(ProblemKind::Unavailable, "The file did not arrive.")
                .next("Check the connection and send it again; nothing was stored.")
        })))
    }
}
