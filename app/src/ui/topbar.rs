//! The bar at the top: menu (phones), wordmark, scope, breadcrumb, theme, account.

use super::{frame::use_frame, icon::Icon, load::drawn_once, theme::ThemeToggle};
use crate::{api::frame::Frame, links};
use leptos::prelude::*;

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

#[component]
pub(super) fn TopBar(crumbs: Signal<Vec<Crumb>>, admin: bool) -> impl IntoView {
    let frame = use_frame();
    view! {
        <header class="topbar" class:is-admin=admin>
            <button type="button" class="iconbtn menu-button" popovertarget="rail" aria-label="Menu"><Icon name="menu"/></button>
            <a class="mark" href="/" aria-label="Atelier, home">"Atelier"</a>
            <Transition>
                {move || frame.get().and_then(Result::ok).map(|f| drawn_once(move || view! { <ScopeLink frame=f admin/> }))}
            </Transition>
            <nav class="crumbs" aria-label="Breadcrumb">
                <Transition>
                    <ol>
                        {move || crumbs.get().into_iter().map(|c| match c.href {
                            Some(href) => view! { <li><a href=href>{c.label}</a></li> }.into_any(),
                            None => view! { <li aria-current="page">{c.label}</li> }.into_any(),
                        }).collect_view()}
                    </ol>
                </Transition>
            </nav>
            <span class="grow"></span>
            <ThemeToggle/>
            <Transition>
                {move || frame.get().and_then(Result::ok).map(|f| drawn_once(move || view! { <Account frame=f/> }))}
            </Transition>
        </header>
    }
}

/// Where one is, as what; leads to the list of one's tenants.
#[component]
fn ScopeLink(frame: Frame, admin: bool) -> impl IntoView {
    let role = match (&frame.tenant, frame.who.platform_role) {
        (Some(t), platform) => t.role.map(|r| r.word()).or(platform.map(|p| p.word())).unwrap_or_default(),
        (None, Some(p)) => p.word(),
        (None, None) => "",
    };
    let role = capital(role);
    let name = match &frame.tenant {
        Some(t) => t.title.clone(),
        None if admin => "Platform".into(),
        None => "Choose a tenant".into(),
    };
    let hint = format!("{}: {name}, your role: {role}. Switch tenant", if admin { "Scope" } else { "Tenant" });
    view! {
        <a class="scope" href="/?choose=1" title=hint>
            {admin.then(|| view! { <Icon name="server"/> })}
            {name}" "<small>{role}</small><Icon name="down"/>
        </a>
    }
}

/// Who is signed in, and the way out; opens without scripts.
#[component]
fn Account(frame: Frame) -> impl IntoView {
    let who = frame.who;
    let initials = initials(&who.name);
    let label = format!("{initials}, {}, your account", who.name);
    view! {
        <button type="button" class="avatar" aria-label=label popovertarget="account">{initials}</button>
        <div id="account" class="menu account" popover="auto">
            <p><b>{who.name}</b><small>{who.email}</small></p>
            <hr/>
            <a href="/?choose=1"><Icon name="tenants"/>"Tenants"</a>
            {who.platform_role.map(|_| view! { <a href=links::admin_tenants()><Icon name="server"/>"Platform"</a> })}
            <form method="post" action=links::sign_out()><button type="submit"><Icon name="left"/>"Sign out"</button></form>
        </div>
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// First letters of the first and the last name.
fn initials(name: &str) -> String {
    let mut words = name.split_whitespace().filter_map(|w| w.chars().next());
    words.next().into_iter().chain(words.next_back()).flat_map(char::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials_are_those_of_the_first_and_the_last_name() {
        assert_eq!(["Mira Castro", "Łukasz van der Wójcik", "Plato", ""].map(initials), ["MC", "ŁW", "P", ""]);
    }
}
