//! What an endpoint at somebody else's server has beside the others: address, health, key, and the models that are offered here.

use crate::{
    api::endpoints::{EndpointCheck, EndpointExternalKey, EndpointOffer, EndpointPage},
    ui::{
        Field, Off, ProblemSummary, Reason, Sheet, StateWord, When, count,
        form::{error_of, fields_of},
        number::some,
        status::Status,
    },
};
use domain::{
    endpoint::Endpoint,
    external::{External, ExternalModel, Figures},
    name::Name,
    time::{DAY, HOUR, Timestamp, span},
};
use leptos::prelude::*;

/// What can be done here.
#[derive(Clone, Copy)]
pub struct Actions {
    offer: ServerAction<EndpointOffer>,
    key: ServerAction<EndpointExternalKey>,
    check: ServerAction<EndpointCheck>,
}

impl Actions {
    pub fn new() -> Self {
        Self { offer: ServerAction::new(), key: ServerAction::new(), check: ServerAction::new() }
    }
    /// Grows with everything that was done.
    pub fn done(&self) -> usize {
        self.offer.version().get() + self.key.version().get() + self.check.version().get()
    }
}

/// Says it early enough for somebody to do something.
#[component]
pub fn CertificateEnds(at: Timestamp) -> impl IntoView {
    view! {
        <div role="status"><Reason icon="degraded" title="The server's certificate must be renewed" tone="">
            <p>"Valid until "{at.human()}" UTC. No calls are made after that. Ask whoever runs the server to renew it."</p>
        </Reason></div>
    }
}

/// What is measured; a figure that nothing says yet is left out.
#[component]
fn Measured(figures: Figures, until: Option<Timestamp>) -> impl IntoView {
    let (requests, failed) = (figures.requests(), figures.failed());
    let Figures { first_token_p95, availability, .. } = figures;
    let up = availability.percent().map(|percent| {
        // Younger than a week, or not looked at all the time.
        let of = if availability.known_ms > 7 * DAY - HOUR { "7 days".to_owned() } else { span(availability.known_ms) };
        let down = (availability.down_ms > 0).then(|| format!(" down {}", span(availability.down_ms)));
        view! { <div><dt>{format!("Up, {of}")}</dt><dd>{percent}<small>{down}</small></dd></div> }
    });
    view! {
        <dl class="facts endpoint-facts">
            {first_token_p95.map(|ms| view! { <div><dt>"Time to first token, p95"</dt><dd>{count(ms)}" "<small>"ms, 24 h"</small></dd></div> })}
            {up}
            <div><dt>"Requests, 24 h"</dt><dd>{count(requests)}" "<small>{format!("{} failed", count(failed))}</small></dd></div>
            {until.map(|at| view! { <div><dt>"Certificate"</dt><dd>"until "{at.day()}</dd></div> })}
        </dl>
    }
}

#[component]
pub fn Facts(endpoint: Endpoint, external: External, figures: Figures) -> impl IntoView {
    let offered = external.offered().count() as u64;
    let health = match external.checked {
        None => view! { "not asked yet" }.into_any(),
        Some(checked) => {
            let said = checked.answered_ms.map_or_else(|| "no answer".to_owned(), |ms| format!("answered in {} ms", count(ms)));
            view! { {said}" "<small><When at=checked.at/></small> }.into_any()
        }
    };
    view! {
        <Measured figures until=external.certificate_until/>
        <dl class="facts endpoint-facts">
            <div><dt>"Address"</dt><dd class="mono wrap">{format!("{}/v1", external.address)}</dd></div>
            <div><dt>"Health"</dt><dd>{health}</dd></div>
            <div><dt>"Models"</dt><dd>{format!("{} offered", some(offered, "model", "models"))}" "<small>{format!("of {}", external.models.len())}</small></dd></div>
            <div><dt>"Key"</dt><dd>{if external.has_key { "kept as a secret" } else { "none" }}</dd></div>
            <div><dt>"Added"</dt><dd>{endpoint.created_at.human()}" "<small>{endpoint.created_by_name}</small></dd></div>
        </dl>
    }
}

#[component]
pub fn Models(page: EndpointPage, external: External, actions: Actions) -> impl IntoView {
    let e = page.endpoint;
    let (tenant, name) = (e.tenant.to_string(), e.name.to_string());
    let refused = page.external_refused;
    let problems = fields_of(error_of(actions.key));
    let figures = page.figures.unwrap_or_default();
    let rows = external.models.iter().map(|m| row(&tenant, &name, m, &figures, refused.clone(), actions.offer)).collect_view();
    let (t, n) = (tenant.clone(), name.clone());
    view! {
        <section class="section" aria-labelledby="models">
            <header>
                <h2 id="models">"Models"</h2><p>"read from the server's list; choose which of them clients may call, and under which name"</p>
                {refused.is_none().then(|| view! {
                    <ActionForm action=actions.check attr:class="end">
                        <input type="hidden" name="tenant" value=t/><input type="hidden" name="endpoint" value=n/>
                        <button type="submit" class="btn sm" aria-busy=move || actions.check.pending().get().then_some("true")>"Check now"</button>
                    </ActionForm>
                })}
            </header>
            <ProblemSummary error=error_of(actions.check)/>
            <ProblemSummary error=error_of(actions.offer)/>
            {if external.models.is_empty() {
                view! { <p class="small muted">"The server has listed no models yet."</p> }.into_any()
            } else {
                view! {
                    <Sheet label="models of the server">
                        <table class="table fold">
                            <thead><tr><th scope="col">"Model on the server"</th><th scope="col">"State"</th><th scope="col">"Name in this portal"</th><th scope="col" class="num">"Context"</th><th scope="col" class="num">"Requests, 24 h"</th></tr></thead>
                            <tbody>{rows}</tbody>
                        </table>
                    </Sheet>
                }.into_any()
            }}
        </section>
        <section class="section" aria-labelledby="secret">
            <header><h2 id="secret">"Key"</h2><p>{if external.has_key { "kept encrypted; enter another one to replace it" } else { "the server is called without a key" }}</p></header>
            <ProblemSummary error=error_of(actions.key)/>
            <ActionForm action=actions.key attr:class="stack-lg">
                <input type="hidden" name="tenant" value=tenant/><input type="hidden" name="endpoint" value=name/>
                <div class="form">
                    <Field name="key" label="New key" problems help="Empty: the server is called without a key" full=true>
                        <input id="key" name="key" class="mono" type="password" maxlength="4000" autocomplete="off" aria-describedby="key-says"/>
                    </Field>
                </div>
                <div class="row">
                    {match refused {
                        Some(why) => view! { <Off label="Replace the key" why/> }.into_any(),
                        None => view! { <button type="submit" class="btn" aria-busy=move || actions.key.pending().get().then_some("true")>"Replace the key"</button> }.into_any(),
                    }}
                </div>
            </ActionForm>
        </section>
    }
}

fn row(
    tenant: &str,
    endpoint: &str,
    m: &ExternalModel,
    figures: &Figures,
    refused: Option<String>,
    offer: ServerAction<EndpointOffer>,
) -> impl IntoView + use<> {
    let state = match (&m.here, m.gone_since) {
        (_, Some(_)) => Status { icon: "degraded", word: "Gone", tone: "warning", turns: false },
        (Some(_), None) => Status { icon: "ready", word: "Offered", tone: "success", turns: false },
        (None, None) => Status { icon: "skipped", word: "Not offered", tone: "neutral", turns: false },
    };
    // Of what is not offered there are none to count.
    let requests = m.here.as_ref().map(|here| figures.requests_of(here));
    let (tenant, endpoint) = (tenant.to_owned(), endpoint.to_owned());
    let there = m.there.clone();
    let label = format!("Name of {there} in this portal");
    let hidden = view! {
        <input type="hidden" name="tenant" value=tenant/><input type="hidden" name="endpoint" value=endpoint/><input type="hidden" name="there" value=there.clone()/>
    };
    let named = match (m.here.as_ref().map(ToString::to_string), refused) {
        (here, Some(_)) => view! { <span class="mono">{here}</span> }.into_any(),
        (Some(here), None) => view! {
            <ActionForm action=offer attr:class="row row-tight">
                {hidden}<input type="hidden" name="here" value=""/><span class="mono">{here}</span>
                <button type="submit" class="btn sm quiet" aria-label=format!("Stop offering {there}")>"Withdraw"</button>
            </ActionForm>
        }
        .into_any(),
        (None, None) => {
            let proposed = Name::suggest(&there).map(|n| n.to_string()).unwrap_or_default();
            view! {
                <ActionForm action=offer attr:class="row row-tight">
                    {hidden}<span class="control"><input name="here" class="mono" required maxlength="63" autocomplete="off" aria-label=label value=proposed/></span>
                    <button type="submit" class="btn sm">"Offer"</button>
                </ActionForm>
            }.into_any()
        }
    };
    view! {
        <tr>
            <th scope="row" class="mono">{m.there.clone()}</th>
            <td><StateWord status=state/>{m.gone_since.map(|at| view! { " "<small>"since "<When at/></small> })}</td>
            <td>{named}</td>
            <td class="num" data-label="context">{(m.context > 0).then(|| count(m.context))}</td>
            <td class="num" data-label="requests">{requests.map(count)}</td>
        </tr>
    }
}
