//! What top bar and rail show: asked once for a tenant, and kept while one stays in it.

use super::{address::provide_address, load::is_lost};
use crate::api::{
    AppError,
    frame::{Frame, get_frame},
};
use domain::problem::{Problem, ProblemKind};
use leptos::prelude::*;
use leptos_router::hooks::use_location;

/// What top bar and rail show, for the tenant in the address; asked once and kept while one stays in the tenant.
#[derive(Clone, Copy)]
pub struct FrameData(pub Resource<Result<Frame, AppError>>);

/// The frame of the page; read it inside a `Transition` or `Load`.
pub fn use_frame() -> Resource<Result<Frame, AppError>> {
    expect_context::<FrameData>().0
}

/// Makes the frame's data known to all pages, and says of which tenant there are events to listen to. Called once, inside the router.
pub(crate) fn provide_frame() -> Signal<Option<String>> {
    provide_address();
    let path = use_location().pathname;
    let place = Memo::new(move |_| path.with(|p| scope_of(p)));
    // Bar and rail do not go away because the server could not be reached for a moment.
    let before = StoredValue::new(None::<(Option<String>, Frame)>);
    let data = Resource::new(
        move || place.get(),
        move |place| async move {
            let answer = match place.clone() {
                Some(tenant) => get_frame(tenant).await,
                None => Err(AppError(Problem::new(ProblemKind::Unauthenticated, String::new()))),
            };
            match answer {
                Err(error) if is_lost(&error) => before.get_value().filter(|(of, _)| *of == place).map(|(_, frame)| frame).ok_or(error),
                answer => answer,
            }
        },
    );
    provide_context(FrameData(data));
    Effect::new(move |_| {
        if let Some(Ok(frame)) = data.get() {
            before.set_value(Some((place.get_untracked(), frame)));
        }
    });
    // Where the frame is refused, so are the events. A frame that did not come for another reason leaves the stream as it is.
    let refused = RwSignal::new(false);
    Effect::new(move |_| {
        use ProblemKind::{Forbidden, NotFound, Unauthenticated};
        let kind = data.with(|frame| frame.as_ref().and_then(|f| f.as_ref().err().map(|e| e.0.kind)));
        refused.set(matches!(kind, Some(NotFound | Forbidden | Unauthenticated)));
    });
    Signal::derive(move || place.get().filter(|_| !refused.get()))
}

/// The numbers in the rail follow what happens in the tenant.
pub(crate) fn keep_frame_fresh() {
    let frame = use_frame();
    super::on_change(Signal::default(), String::new(), move || frame.refetch());
}

/// The tenant of a path; an empty one for pages outside of tenants, none for pages that nobody needs to be signed in for.
fn scope_of(path: &str) -> Option<String> {
    let outside = || (path == "/admin" || path.starts_with("/admin/")).then(String::new);
    crate::links::tenant_of(path).map(str::to_owned).or_else(outside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_follows_the_tenant_in_the_address() {
        assert_eq!(scope_of("/t/lumenta/runs/run_1"), Some("lumenta".into()));
        assert_eq!(scope_of("/admin/tenants"), Some(String::new()));
        assert_eq!(scope_of("/login"), None);
    }
}
