//! The frame of a page: top bar, rail, lineage strip, and the page itself in `<main>`.

use super::{lineage_strip::LineageStrip, live::LostBar, load::is_lost, rail::Rail, topbar::TopBar};
use crate::api::{
    AppError,
    frame::{Frame, get_frame},
};
use domain::problem::{Problem, ProblemKind};
use leptos::{prelude::*, reactive::owner::WeakOwner};
use leptos_router::{
    hooks::{use_location, use_params_map, use_query_map},
    params::ParamsMap,
};
use std::panic::Location;

/// Which entry of the rail is lit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Home,
    Datasets,
    Runs,
    Models,
    BaseModels,
    Endpoints,
    Playground,
    Keys,
    Usage,
    Lineage,
    Members,
    Audit,
    AdminTenants,
    AdminBaseModels,
    AdminUsage,
    AdminAudit,
}

/// One step of the breadcrumb; the last one has no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crumb {
    pub label: String,
    pub href: Option<String>,
}

impl Crumb {
    /// A step that leads somewhere.
    pub fn to(label: impl Into<String>, href: String) -> Self {
        Self { label: label.into(), href: Some(href) }
    }
    /// The page one is on.
    pub fn here(label: impl Into<String>) -> Self {
        Self { label: label.into(), href: None }
    }
}

/// A page inside a tenant.
///
/// `crumbs` may read resources (it is drawn inside a `Transition`): `Signal::derive(move || vec![...])`, or `vec![..]` as it is.
/// The lineage strip finds its place in the address. `bare` leaves out the page's width and padding (the playground).
#[component]
pub fn TenantPage(
    place: Place,
    #[prop(into)] crumbs: Signal<Vec<Crumb>>,
    #[prop(optional)] bare: bool,
    children: Children,
) -> impl IntoView {
    view! {
        <div class="shell">
            <TopBar crumbs admin=false/>
            <Rail place admin=false/>
            <main id="main" tabindex="-1">
                <LineageStrip/>
                <LostBar/>
                {if bare { children().into_any() } else { view! { <div class="wide">{children()}</div> }.into_any() }}
            </main>
        </div>
    }
}

/// A page of the platform's administration: grey top bar, its own rail, no lineage strip.
#[component]
pub fn AdminPage(place: Place, #[prop(into)] crumbs: Signal<Vec<Crumb>>, children: Children) -> impl IntoView {
    view! {
        <div class="shell">
            <TopBar crumbs admin=true/>
            <Rail place admin=true/>
            <main id="main" tabindex="-1">
                <div class="wide">{children()}</div>
            </main>
        </div>
    }
}

/// The tenant in the address; empty outside of a tenant.
#[track_caller]
pub fn use_tenant() -> Signal<String> {
    use_param("tenant")
}

/// A part of the path, as in `path!("/t/:tenant/datasets/:name")`.
#[track_caller]
pub fn use_param(name: &'static str) -> Signal<String> {
    let here = Location::caller();
    let params = ArcMemo::from(use_params_map());
    let root = expect_context::<Root>();
    if let Some((_, known)) = root.params.with_value(|all| all.iter().find(|(place, _)| *place == here).copied()) {
        known.of.set(params);
        return known.value;
    }
    let known = root.keep(move || {
        let of = RwSignal::new(params);
        Param { of, value: Memo::new(move |_| of.with(|params| params.with(|p| p.get(name).unwrap_or_default()))).into() }
    });
    root.params.update_value(|all| all.push((here, known)));
    known.value
}

/// A parameter of the query string; empty when it is absent.
pub fn use_query(name: &'static str) -> Signal<String> {
    let root = expect_context::<Root>();
    if let Some((_, known)) = root.queries.with_value(|all| all.iter().find(|(key, _)| *key == name).copied()) {
        return known;
    }
    let query = root.query;
    let value: Signal<String> = root.keep(move || Memo::new(move |_| query.with(|q| q.get(name).unwrap_or_default())).into());
    root.queries.update_value(|all| all.push((name, value)));
    value
}

/// All parameters of the query string, as long as the program runs.
pub(super) fn use_whole_query() -> Memo<ParamsMap> {
    expect_context::<Root>().query
}

/// What must outlive the page that asked for it: a page's content may be drawn once more when the page has been left already,
/// and reading a signal that went with the page would end the program in the browser. Each is made once and used by every later page.
#[derive(Clone)]
struct Root {
    /// Weak: it is in this owner's own context, and would keep it, and all that a request of the server holds, for ever.
    owner: WeakOwner,
    query: Memo<ParamsMap>,
    /// By name.
    queries: StoredValue<Vec<(&'static str, Signal<String>)>>,
    /// By the place in the program that asks, not by name: the page of another kind that is just being left must not see the value of
    /// the new page, or it would ask the server for something that is not there.
    params: StoredValue<Vec<(&'static Location<'static>, Param)>>,
}

#[derive(Clone, Copy)]
struct Param {
    /// The path's parts on the page that asked last.
    of: RwSignal<ArcMemo<ParamsMap>>,
    value: Signal<String>,
}

impl Root {
    /// Makes something that lives as long as the program.
    fn keep<T>(&self, make: impl FnOnce() -> T) -> T {
        match self.owner.upgrade() {
            Some(owner) => owner.with(make),
            None => make(),
        }
    }
}

/// What top bar and rail show, for the tenant in the address; asked once and kept while one stays in the tenant.
#[derive(Clone, Copy)]
pub struct FrameData(pub Resource<Result<Frame, AppError>>);

/// The frame of the page; read it inside a `Transition` or `Load`.
pub fn use_frame() -> Resource<Result<Frame, AppError>> {
    expect_context::<FrameData>().0
}

/// Makes the frame's data known to all pages, and says of which tenant there are events to listen to. Called once, inside the router.
pub(crate) fn provide_frame() -> Signal<Option<String>> {
    if let Some(owner) = Owner::current() {
        provide_context(Root {
            owner: owner.downgrade(),
            query: use_query_map(),
            queries: StoredValue::default(),
            params: StoredValue::default(),
        });
    }
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
