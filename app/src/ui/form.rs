//! Forms: a field with its help or its problem, and the summary above. All work as plain posts.

use super::icon::Icon;
use crate::api::AppError;
use domain::problem::{FieldProblem, ProblemKind};
use leptos::prelude::*;
use leptos_router::hooks::use_location;

/// A labelled field. The control inside must have `id=name`, and `aria-describedby=format!("{name}-says")` helps screen readers.
///
/// `problems` are those of the whole form; the field shows its own, with a button for the suggested value. `full` spans both columns, `tall` is for several lines.
#[component]
pub fn Field(
    #[prop(into)] name: String,
    #[prop(into)] label: String,
    #[prop(optional)] optional: bool,
    #[prop(optional)] full: bool,
    #[prop(optional)] tall: bool,
    #[prop(into, optional)] help: Signal<String>,
    #[prop(into, optional)] problems: Signal<Vec<FieldProblem>>,
    /// What may be and can hardly be meant.
    #[prop(into, optional)]
    doubts: Signal<Vec<FieldProblem>>,
    /// The label says the name too: it is a key of the trainer.
    #[prop(optional)]
    with_key: bool,
    children: Children,
) -> impl IntoView {
    let of = StoredValue::new(name.clone());
    let find = move |all: &Vec<FieldProblem>| of.with_value(|name| all.iter().find(|p| p.field == *name).cloned());
    let own = Memo::new(move |_| problems.with(find));
    let doubt = Memo::new(move |_| doubts.with(find));
    view! {
        <div class="field" class:full=full>
            <label for=name.clone()>{label}{optional.then(|| view! { " "<span class="opt">"optional"</span> })}{with_key.then(|| view! { " "<code class="key" aria-hidden="true">{name.clone()}</code> })}</label>
            <span class="control" class:tall=tall class:invalid=move || own.with(Option::is_some)>{children()}</span>
            <span class="says" id=format!("{name}-says")>
                {move || match (own.get(), doubt.get()) {
                    (Some(problem), _) => view! { <FieldNote name=of.get_value() problem/> }.into_any(),
                    (None, Some(problem)) => view! { <FieldNote name=of.get_value() problem doubt=true/> }.into_any(),
                    (None, None) => (!help.with(String::is_empty)).then(|| view! { <span class="help">{help.get()}</span> }).into_any(),
                }}
            </span>
        </div>
    }
}

/// The problem of a field, with the value that works.
#[component]
pub fn FieldNote(
    #[prop(into)] name: String,
    problem: FieldProblem,
    /// It may stay as it is.
    #[prop(optional)]
    doubt: bool,
) -> impl IntoView {
    let (class, icon) = if doubt { ("warn", "degraded") } else { ("err", "failed") };
    view! {
        <span class=class>
            <Icon name=icon/>
            <span>
                {problem.sentence}" "
                {problem.suggestion.map(|value| {
                    let label = format!("Use {value}");
                    let example = format!("For example {value}.");
                    view! { <button type="button" class="link scripted" on:click=move |_| fill(&name, &value)>{label}</button><span class="unscripted">{example}</span> }
                })}
            </span>
        </span>
    }
}

/// What came back from the form: one problem as a banner, more as a list that leads to the fields. Empty while all is well.
/// The button that was pressed may be far below: a new problem takes the focus, and with it comes into sight.
#[component]
pub fn ProblemSummary(#[prop(into)] error: Signal<Option<AppError>>) -> impl IntoView {
    let banner = NodeRef::<leptos::html::Div>::new();
    Effect::new(move |_| {
        if error.with(Option::is_some)
            && let Some(banner) = banner.get()
        {
            let _ = banner.focus();
        }
    });
    let location = use_location();
    let here = move || location.pathname.get_untracked() + &with_mark(location.search.get_untracked());
    move || {
        error.get().map(|AppError(problem)| {
            let many = problem.fields.len() > 1;
            view! {
                <div class="banner danger summary" role="alert" tabindex="-1" node_ref=banner>
                    <Icon name="failed"/>
                    <span>
                        {problem.sentence}" "{problem.next_step}
                        {many.then(|| view! {
                            <ul>{problem.fields.iter().map(|f| view! { <li><a href=format!("#{}", f.field) rel="external">{f.sentence.clone()}</a></li> }).collect_view()}</ul>
                        })}
                        {problem.request_id.map(|id| view! { " "<span class="mono">{id}</span> })}
                    </span>
                    {(problem.kind == ProblemKind::Unauthenticated).then(|| view! { <a class="btn sm" href=crate::links::login(&here()) rel="external">"Sign in"</a> })}
                </div>
            }
        })
    }
}

fn with_mark(search: String) -> String {
    if search.is_empty() { search } else { format!("?{search}") }
}

/// The problem that an action came back with, on both paths: by script, or in the address after a plain post.
pub fn error_of<S>(action: ServerAction<S>) -> Signal<Option<AppError>>
where
    S: leptos::server_fn::ServerFn<Error = AppError> + Clone + Send + Sync + 'static,
    S::Output: Clone + Send + Sync + 'static,
{
    let value = action.value();
    Signal::derive(move || value.get().and_then(Result::err))
}

/// The wrong fields of a problem, for [`Field`].
pub fn fields_of(error: Signal<Option<AppError>>) -> Signal<Vec<FieldProblem>> {
    Signal::derive(move || error.with(|e| e.as_ref().map(|AppError(p)| p.fields.clone()).unwrap_or_default()))
}

/// Puts a value into the field with this id, as if it had been typed.
#[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
pub fn fill(id: &str, value: &str) {
    #[cfg(feature = "hydrate")]
    {
        use wasm_bindgen::JsCast;
        let Some(element) = document().get_element_by_id(id) else { return };
        if let Some(input) = element.dyn_ref::<web_sys::HtmlInputElement>() {
            input.set_value(value);
        } else if let Some(select) = element.dyn_ref::<web_sys::HtmlSelectElement>() {
            select.set_value(value);
        } else if let Some(area) = element.dyn_ref::<web_sys::HtmlTextAreaElement>() {
            area.set_value(value);
        }
        tell_typed(&element);
        if let Some(e) = element.dyn_ref::<web_sys::HtmlElement>() {
            let _ = e.focus();
        }
    }
}

/// The same for a field whose text was changed already.
#[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
pub fn typed_into(area: &leptos::web_sys::HtmlTextAreaElement) {
    #[cfg(feature = "hydrate")]
    tell_typed(area);
}

/// Lets everybody who listens to a field know that it holds something else.
#[cfg(feature = "hydrate")]
pub(super) fn tell_typed(element: &web_sys::Element) {
    let init = web_sys::EventInit::new();
    init.set_bubbles(true);
    if let Ok(event) = web_sys::Event::new_with_event_init_dict("input", &init) {
        let _ = element.dispatch_event(&event);
    }
}

/// What became of a form, for [`Draft`](super::Draft): saved or refused; none while nothing was sent.
pub fn answered<S>(action: ServerAction<S>) -> Signal<Option<bool>>
where
    S: leptos::server_fn::ServerFn<Error = AppError> + Clone + Send + Sync + 'static,
    S::Output: Clone + Send + Sync + 'static,
{
    let value = action.value();
    Signal::derive(move || value.with(|v| v.as_ref().map(Result::is_ok)))
}
