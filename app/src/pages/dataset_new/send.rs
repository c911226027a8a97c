//! Sending the file with progress, when scripts run: the same form, in the tab's own uploads, so that it goes on when the page is left.

use crate::{
    api::AppError,
    ui::uploads::{State, Upload as OnItsWay, Uploads},
};
use leptos::{ev::SubmitEvent, prelude::*};

/// How far the file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub file: String,
    pub sent: u64,
    pub total: u64,
}

/// The upload of this page.
#[derive(Clone, Copy)]
pub struct Upload {
    uploads: Uploads,
    mine: RwSignal<Option<OnItsWay>>,
}

impl Upload {
    /// Inside a page; ends with it.
    pub fn of_page() -> Self {
        let me = Self { uploads: expect_context(), mine: RwSignal::new(None) };
        // As long as this page is open, what becomes of the file is shown here.
        Effect::new(move |_| {
            if let Some(State::Arrived(href)) = me.state() {
                me.uploads.forget_ended();
                leptos_router::hooks::use_navigate()(&href, Default::default());
            }
        });
        on_cleanup(move || me.uploads.leave());
        me
    }

    fn state(self) -> Option<State> {
        self.mine.with(|mine| mine.as_ref().map(|m| m.state.get()))
    }

    pub fn progress(self) -> Option<Progress> {
        match self.state()? {
            State::Sending { sent, total } => {
                Some(Progress { file: self.mine.with(|m| m.as_ref().map(|m| m.file.clone())).unwrap_or_default(), sent, total })
            }
            State::Arrived(_) | State::Refused(_) => None,
        }
    }

    pub fn error(self) -> Option<AppError> {
        match self.state()? {
            State::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// What became of the form: whether it was taken. None while nobody knows.
    pub fn answered(self) -> Option<bool> {
        match self.state()? {
            State::Sending { .. } => None,
            State::Arrived(_) => Some(true),
            State::Refused(_) => Some(false),
        }
    }

    pub fn busy(self) -> bool {
        self.progress().is_some()
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
    use super::Upload;
    use crate::ui::uploads;
    use leptos::{ev::SubmitEvent, prelude::*};
    use wasm_bindgen::JsCast;
    use web_sys::{HtmlFormElement, HtmlInputElement};

    /// None when the browser cannot do it this way; then it posts the form itself.
    pub(super) fn send(upload: Upload, event: &SubmitEvent) -> Option<()> {
        if untrack(|| upload.busy()) {
            return Some(());
        }
        let form: HtmlFormElement = event.target()?.dyn_into().ok()?;
        let file = document().get_element_by_id("file")?.dyn_into::<HtmlInputElement>().ok()?.files()?.get(0)?;
        upload.uploads.forget_ended();
        let sent = uploads::send(upload.uploads, &form, &file)?;
        upload.uploads.show_here(&sent);
        upload.mine.set(Some(sent));
        Some(())
    }
}
