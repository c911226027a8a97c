//! What the run was told: every setting beside the trainer's default, the same as a text, and where it differs from another run.

use super::Parts;
use crate::{
    api::{runs::RunPage, settings::Differences as Found},
    links,
    ui::{Copy, Load, Sheet, When},
};
use leptos::prelude::*;

#[component]
pub fn Config(page: RunPage, parts: Parts) -> impl IntoView {
    let r = page.run;
    let image =
        r.custom().map(|custom| (custom.image.clone(), custom.command.iter().chain(&custom.args).cloned().collect::<Vec<_>>().join(" ")));
    let (name, differing) = (r.name.to_string(), page.settings.iter().filter(|s| s.differs).count());
    let here = links::run(&r.tenant, &r.id);
    view! {
        <div class="cols cols-code">
            <div>
                <section class="section" aria-labelledby="set">
                    <header><h2 id="set">"Settings"</h2><p>{format!("{differing} differ from the trainer’s defaults")}</p></header>
                    <Sheet label="settings">
                        <table class="table fold diffs">
                            <thead><tr><th scope="col">"Key"</th><th scope="col">"Value"</th><th scope="col">"Default"</th><th scope="col">"Name"</th></tr></thead>
                            <tbody>{page.settings.into_iter().map(|s| view! {
                                <tr>
                                    <th scope="row" class="mono">{s.key}</th>
                                    <td class="mono" class:same=!s.differs data-label="value">{s.value}</td>
                                    <td class="mono same" data-label="default">{s.default}</td>
                                    <td class="wrap">{s.label}</td>
                                </tr>
                            }).collect_view()}</tbody>
                        </table>
                    </Sheet>
                </section>
                <Load resource=parts.differences let:found><Differences name=name.clone() here=here.clone() found/></Load>
            </div>
            <div>
                <section class="section" aria-labelledby="yml">
                    <header><h2 id="yml">"run.yaml"</h2><p>"a new run can start from this text"</p></header>
                    <pre class="code" tabindex="0" role="region" aria-label="The run as YAML">{page.yaml}</pre>
                </section>
                <section class="section" aria-labelledby="det">
                    <header><h2 id="det">"Details"</h2></header>
                    <dl class="kv ruled">
                        <dt>"ID"</dt><dd><Copy value=r.id.to_string() what="the run's id" class="slim"/></dd>
                        <dt>"Dataset"</dt><dd><a href=links::dataset_version(&r.tenant, &r.dataset_name, r.dataset_number)>{format!("{} v{}", r.dataset_name, r.dataset_number)}</a></dd>
                        {image.map(|(image, command)| view! {
                            <dt>"Image"</dt><dd class="mono">{image}</dd>
                            <dt>"Command"</dt><dd class="mono">{command}</dd>
                        })}
                        <dt>"Created"</dt><dd><When at=r.created_at/>", "{r.owner_name.clone()}</dd>
                        <dt>"Started"</dt><dd>{r.started_at.map(|at| view! { <When at/> })}</dd>
                        <dt>"Ended"</dt><dd>{r.ended_at.map(|at| view! { <When at/> })}</dd>
                    </dl>
                </section>
            </div>
        </div>
    }
}

/// Where this run's settings are not those of another one, which is chosen here.
#[component]
fn Differences(name: String, here: String, found: Found) -> impl IntoView {
    let (id, other) = found.with.unwrap_or_else(|| ("defaults".to_owned(), "the trainer’s defaults".to_owned()));
    let said = match found.differences.len() {
        0 => format!("No setting differs from {other}."),
        1 => format!("1 setting differs from {other}."),
        n => format!("{n} settings differ from {other}."),
    };
    let mut choices = vec![("defaults".to_owned(), "The defaults".to_owned())];
    choices.extend(found.others);
    let label = other.clone();
    view! {
        <section class="section" aria-labelledby="df">
            <header><h2 id="df">"Differences"</h2><p>{said}</p>
                <form class="end row row-tight" method="get" action=here>
                    <input type="hidden" name="tab" value="config"/>
                    <span class="control slim"><select name="with" aria-label="Compare with">
                        {choices.into_iter().map(|(value, label)| { let on = value == id; view! { <option value=value selected=on>{label}</option> } }).collect_view()}
                    </select></span>
                    {found.more.then(|| view! { <span class="control slim"><input name="named" class="mono" placeholder="or the name of a run" aria-label="Compare with the run of this name"/></span> })}
                    <button type="submit" class="btn sm">"Compare"</button>
                </form>
            </header>
            {(!found.differences.is_empty()).then(|| view! {
                <Sheet label=format!("differences to {label}")>
                    <table class="table fold diffs">
                        <thead><tr><th scope="col">"Key"</th><th scope="col">{other}</th><th scope="col">{name}</th><th scope="col">"Meaning"</th></tr></thead>
                        <tbody>{found.differences.into_iter().map(|d| view! {
                            <tr>
                                <th scope="row" class="mono">{d.key}</th>
                                <td class="mono" data-label="other">{d.left}</td>
                                <td class="mono" data-label="this run"><b>{d.right}</b></td>
                                <td class="wrap">{d.words}</td>
                            </tr>
                        }).collect_view()}</tbody>
                    </table>
                </Sheet>
            })}
        </section>
    }
}
