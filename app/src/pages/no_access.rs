//! `/no-access`: signed in, but no group leads to a tenant.

use crate::{
    api::tenants_home::{Outside, get_no_access},
    links,
    ui::{Icon, Load},
};
use domain::people::GROUPS_KEPT;
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn NoAccess() -> impl IntoView {
    let who = Resource::new(|| (), |()| get_no_access());
    view! {
        <Title text="No tenant yet"/>
        <div class="standalone">
            <main id="main" tabindex="-1">
                <p class="mark">"Atelier"</p>
                <h1>"You are signed in, but not in a team yet"</h1>
                <p class="muted">"None of your groups belongs to a tenant here. Ask whoever manages groups to add you, then sign in again."</p>
                <Load resource=who let:outside>
                    {
                        let Outside { who, needed_group } = outside;
                        view! {
                        <dl class="kv ruled">
                            <dt>"Signed in as"</dt><dd>{who.email.clone().unwrap_or(who.name)}</dd>
                            <dt>"Groups received"</dt>
                            {match who.groups.len() {
                                0 => view! { <dd>"None. If you are in groups there, the identity provider does not tell the portal: ask whoever runs the platform, the portal's log says why."</dd> }.into_any(),
                                n if n >= GROUPS_KEPT => view! { <dd class="mono">{who.groups.join(", ")}" … (the first "{GROUPS_KEPT}"; all were looked at)"</dd> }.into_any(),
                                _ => view! { <dd class="mono">{who.groups.join(", ")}</dd> }.into_any(),
                            }}
                            <dt>"Needed"</dt><dd class="mono">{needed_group.replace('{', "<").replace('}', ">")}</dd>
                        </dl>
                        }
                    }
                </Load>
                <form method="post" action=links::sign_out()><button type="submit" class="btn"><Icon name="left"/>"Sign out and use another account"</button></form>
            </main>
        </div>
    }
}
