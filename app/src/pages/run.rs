//! `/t/{tenant}/runs/{id}?tab=`: one run, from its plan to whether it helped.

use crate::{
    api::{
        AppError,
        runs::{Cancel, LogTail, RunPage, TryAgain, get_evaluated, get_log, get_metrics, get_run},
        settings::{Differences, get_differences},
    },
    links,
    ui::{
        Chip, Crumb, Icon, Load, Place, ProblemSummary, Stay, Sure, TenantPage, count, form::error_of, number::some, on_change, short_id,
        use_param, use_query, use_tenant,
    },
};
use domain::{
    page::Page,
    run::{EvaluatedRow, MetricPoint, Run as RunData, StepKind},
    settings::FinetuningType,
    time::span,
};
use leptos::prelude::*;
use leptos_meta::Title;

mod again;
mod config;
mod curves;
mod log;
mod outcome;
mod plan;

#[component]
pub fn Run() -> impl IntoView {
    let (tenant, id, tab, ask) = (use_tenant(), use_param("id"), use_query("tab"), use_query("ask"));
    let page = Resource::new(move || (tenant.get(), id.get()), |(t, id)| get_run(t, id));
    let parts = Parts::new(tenant, id, tab);
    let stay = Stay::new();
    on_change(tenant, id, move || {
        page.refetch();
        parts.points.refetch();
        parts.tail.refetch();
    });
    let (cancel, again) = (ServerAction::<Cancel>::new(), ServerAction::<TryAgain>::new());
    let name = move || page.get().and_then(Result::ok).map(|p| p.run.name.to_string()).unwrap_or_default();
    let crumbs = Signal::derive(move || vec![Crumb::to("Runs", links::runs(&tenant.get())), Crumb::here(name())]);
    view! {
        <TenantPage place=Place::Runs crumbs>
            <Load resource=page let:page>
                {parts.now(&page.run)}
                <Title text=window_title(&page.run)/>
                <Head page=page.clone()/>
                {(ask.get_untracked() == "stop" && page.run.can_be_stopped()).then(|| view! { <Stop run=page.run.clone() cancel/> })}
                <ProblemSummary error=error_of(cancel)/>
                <ProblemSummary error=error_of(again)/>
                <Facts page=page.clone()/>
                <Tabs run=page.run.clone() tab=tab.get_untracked()/>
                {match tab.get_untracked().as_str() {
                    "log" => stay.draw(page.run.id.to_string(), move || view! { <log::LogTab parts whole=true/> }),
                    "config" => view! { <config::Config page parts/> }.into_any(),
                    "results" => view! { <outcome::Results page parts/> }.into_any(),
                    _ => view! { <Overview page parts again stay=stay.clone()/> }.into_any(),
                }}
            </Load>
        </TenantPage>
    }
}

/// `62 % facts-lora-7` while it trains, so that the browser's tab tells.
fn window_title(run: &RunData) -> String {
    match run.progress.filter(|p| trains(run) && p.total_steps > 0) {
        Some(p) => format!("{} % {}", p.step * 100 / p.total_steps, run.name),
        None => run.name.to_string(),
    }
}

fn trains(run: &RunData) -> bool {
    run.doing().is_some_and(|step| step.kind == StepKind::Train)
}

#[component]
fn Stop(run: RunData, cancel: ServerAction<Cancel>) -> impl IntoView {
    view! {
        <Sure
            title=format!("Stop {}?", run.name)
            sentence="A stopped run creates no model. Its log and metrics are kept, and the step at which it was stopped can be tried again."
            keep=links::run(&run.tenant, &run.id)
        >
            <ActionForm action=cancel>
                <input type="hidden" name="tenant" value=run.tenant.to_string()/><input type="hidden" name="id" value=run.id.to_string()/>
                <button type="submit" class="btn sm danger-solid" aria-busy=move || cancel.pending().get().then_some("true")>"Stop the run"</button>
            </ActionForm>
        </Sure>
    }
}

#[component]
fn Head(page: RunPage) -> impl IntoView {
    let r = page.run;
    let clone = links::with(links::run_new(&r.tenant), &[("from", &r.id.to_string())]);
    let running = r.can_be_stopped();
    let since = r.started_at.unwrap_or(r.created_at);
    let parent = r.cloned_from.zip(page.parent);
    let ask = links::with(links::run(&r.tenant, &r.id), &[("ask", "stop")]);
    let data = links::dataset_version(&r.tenant, &r.dataset_name, r.dataset_number);
    let became = match &page.version {
        Some((model, number)) => format!(", created {model} v{number}"),
        None if r.state.is_final() => String::new(),
        None => format!(", for model {}", r.model_name),
    };
    let version = page.version.map(|(model, number)| (links::model_version(&r.tenant, &model, number), format!("{model} v{number}")));
    view! {
        <header class="head">
            <div>
                <div class="row"><h1>{r.name.to_string()}</h1><Chip status=&r title=format!("since {}", since.human())/></div>
                <p>
                    {format!("{} of ", method(&r))}<span class="mono">{r.base_model_name.to_string()}</span>
                    {format!(" on {} v{}{}.", r.dataset_name, r.dataset_number, became)}
                    {parent.map(|(id, name)| view! { " Clone of "<a href=links::run(&r.tenant, &id)>{name}</a>"." })}
                </p>
            </div>
            <div class="row">
                {running.then(|| match page.cancel_refused {
                    None => view! { <a class="btn danger" href=ask><Icon name="stop"/>"Stop"</a> }.into_any(),
                    Some(why) => view! { <button type="button" class="btn" aria-disabled="true" title=why><Icon name="stop"/>"Stop"</button> }.into_any(),
                })}
                <details class="more">
                    <summary class="btn">"More"<Icon name="down"/></summary>
                    <div class="menu">
                        {page.launch_refused.is_none().then(|| view! { <a href=clone><Icon name="branch"/>"Clone"</a> })}
                        <a href="?tab=config"><Icon name="settings"/>"Settings and details"</a>
                        <a href=data><Icon name="datasets"/>"Dataset"</a>
                    </div>
                </details>
                {version.map(|(href, label)| view! { <a class="btn primary" href=href>{label}</a> })}
            </div>
        </header>
    }
}

fn method(r: &RunData) -> String {
    match r.settings.finetuning_type() {
        FinetuningType::Lora => "LoRA".into(),
        FinetuningType::Full => "Full fine-tune".into(),
    }
}

#[component]
fn Facts(page: RunPage) -> impl IntoView {
    let r = page.run;
    let took = r.started_at.map(|t| span(r.ended_at.unwrap_or(page.now).since(t)));
    let remaining = r.progress.and_then(|p| p.remaining_ms).filter(|_| trains(&r));
    view! {
        <dl class="facts">
            {r.progress.filter(|p| p.total_steps > 0).map(|p| view! { <div><dt>"Progress"</dt><dd>{count(p.step)}" "<small>{format!("of {}", some(p.total_steps, "step", "steps"))}</small></dd></div> })}
            <div><dt>{if r.state.is_final() { "Duration" } else { "Elapsed" }}</dt><dd>{took.unwrap_or_else(|| "not started".into())}</dd></div>
            {remaining.map(|ms| view! { <div><dt>"Remaining"</dt><dd>"about "{span(ms)}</dd></div> })}
            {r.scores.map(|s| view! { <div><dt>"Held-out correct"</dt><dd>{count(s.tuned_right)}" "<small>{format!("of {}, base {}", count(s.rows), count(s.base_right))}</small></dd></div> })}
            <div><dt>"Base model"</dt><dd><span class="mono">{r.base_model_name.to_string()}</span></dd></div>
            <div><dt>"Method"</dt><dd>{method(&r)}" "<small>{(r.settings.finetuning_type() == FinetuningType::Lora).then(|| format!("rank {}", r.settings.lora_rank()))}</small></dd></div>
            {(r.nodes() > 1).then(|| view! { <div><dt>"Nodes"</dt><dd>{count(r.nodes())}</dd></div> })}
            {Some(r.resources().said()).filter(|asked| !asked.is_empty()).map(|asked| view! { <div><dt>"Resources"</dt><dd>{asked.join(", ")}{(r.nodes() > 1).then(|| view! { " "<small>"each node"</small> })}</dd></div> })}
            <div><dt>"Learning rate"</dt><dd>{domain::settings::yaml_float(r.settings.learning_rate())}" "<small>{some(r.settings.num_train_epochs().ceil() as u64, "epoch", "epochs")}</small></dd></div>
            <div><dt>"Owner"</dt><dd>{r.owner_name.clone()}</dd></div>
            <div><dt>"ID"</dt><dd class="mono" title=r.id.to_string()>{short_id(&r.id.to_string())}</dd></div>
        </dl>
    }
}

#[component]
fn Tabs(run: RunData, tab: String) -> impl IntoView {
    let flipped = run.scores.map(|s| (s.gained + s.lost).to_string()).unwrap_or_default();
    let all = [
        ("", "Overview", String::new()),
        ("log", "Log", String::new()),
        ("config", "Config", String::new()),
        ("results", "Results", flipped),
    ];
    let at = all.iter().map(|t| t.0).find(|t| *t == tab).unwrap_or("");
    view! {
        <nav class="tabs" aria-label="Run">
            {all.into_iter().map(|(key, label, n)| {
                let href = links::with(links::run(&run.tenant, &run.id), &[("tab", key)]);
                view! { <a href=href aria-current=(key == at).then_some("page")>{label}{(!n.is_empty()).then(|| view! { " "<small>{n}</small> })}</a> }
            }).collect_view()}
        </nav>
    }
}

/// What the tabs show besides the run itself. Kept by the page, so that a change of the run draws nothing anew that did not change.
#[derive(Clone, Copy)]
struct Parts {
    /// As it was drawn last.
    run: RwSignal<Option<RunData>>,
    points: Resource<Result<Vec<MetricPoint>, AppError>>,
    tail: Resource<Result<LogTail, AppError>>,
    /// Empty outside of the tab with the results.
    rows: Resource<Result<Page<EvaluatedRow>, AppError>>,
    /// Empty outside of the tab with the settings.
    differences: Resource<Result<Differences, AppError>>,
    following: RwSignal<bool>,
    /// The numbers under the curves are open.
    table: RwSignal<bool>,
}

/// Newest lines of the log in the overview.
const LINES_IN_OVERVIEW: u32 = 12;
const LINES_IN_LOG: u32 = 2000;

impl Parts {
    fn new(tenant: Signal<String>, id: Signal<String>, tab: Signal<String>) -> Self {
        let (text, level, which, with) = (use_query("q"), use_query("level"), use_query("rows"), use_query("with"));
        let named = use_query("named");
        // A name that was typed counts before what is chosen.
        let with = Memo::new(move |_| Some(named.get()).filter(|name| !name.is_empty()).unwrap_or_else(|| with.get()));
        let after = use_query("after");
        let whole = Memo::new(move |_| tab.with(|t| t == "log"));
        let results = Memo::new(move |_| tab.with(|t| t == "results"));
        let config = Memo::new(move |_| tab.with(|t| t == "config"));
        let lines = move || if whole.get() { LINES_IN_LOG } else { LINES_IN_OVERVIEW };
        Self {
            run: RwSignal::new(None),
            points: Resource::new(move || (tenant.get(), id.get()), |(t, id)| get_metrics(t, id)),
            tail: Resource::new(
                move || (tenant.get(), id.get(), lines(), level.get(), text.get()),
                |(t, id, n, level, text)| get_log(t, id, n, level, text),
            ),
            rows: Resource::new(
                move || (tenant.get(), id.get(), results.get(), which.get(), after.get()),
                |(t, id, wanted, which, after)| async move {
                    if wanted { get_evaluated(t, id, which, after).await } else { Ok(Page { rows: Vec::new(), next: None }) }
                },
            ),
            differences: Resource::new(
                move || (tenant.get(), id.get(), config.get(), with.get()),
                |(t, id, wanted, with)| async move { if wanted { get_differences(t, id, with).await } else { Ok(Differences::default()) } },
            ),
            following: RwSignal::new(true),
            table: RwSignal::new(false),
        }
    }

    /// Tells the parts that stay what the run is now. Draws nothing.
    fn now(self, run: &RunData) {
        self.run.set(Some(run.clone()));
    }

    /// Of the whole training; 0 = not known yet.
    fn total_steps(self) -> u64 {
        self.run.with_untracked(|run| run.as_ref().and_then(|r| r.progress).map_or(0, |p| p.total_steps))
    }

    /// The page of the run.
    fn address(self) -> String {
        self.run.with_untracked(|run| run.as_ref().map(|r| links::run(&r.tenant, &r.id)).unwrap_or_default())
    }
}

#[component]
fn Overview(page: RunPage, parts: Parts, again: ServerAction<TryAgain>, stay: Stay) -> impl IntoView {
    let may_retry = page.retry_refused.is_none();
    let r = page.run;
    let (id, state) = (r.id.to_string(), r.state);
    view! {
        <plan::Plan run=r.clone() holders=page.holders now=page.now/>
        <outcome::NothingLearnt run=r.clone()/>
        {r.failure.clone().map(|failure| view! { <outcome::Failed run=r.clone() failure again=may_retry.then_some(again)/> })}
        {may_retry.then(|| view! { <again::Stopped run=r.clone() again/> })}
        // What they say of the whole run changes once, at its end.
        {stay.draw(format!("{id} {}", state.is_final()), move || view! { <curves::Curves parts state/> })}
        {r.scores.map(|_| view! { <outcome::Helped run=r.clone()/> })}
        {stay.draw(id, move || view! { <log::LogTab parts whole=false/> })}
    }
}
