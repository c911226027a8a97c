//! The frame of a page: top bar, rail, lineage strip, and the page itself in `<main>`.

use super::{
    lineage_strip::LineageStrip,
    live::LostBar,
    rail::{Place, Rail},
    topbar::{Crumb, TopBar},
};
use leptos::prelude::*;

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
