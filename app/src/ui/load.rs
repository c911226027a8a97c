//! Data that is asked for: bones while it comes, the old picture while it comes again, and a plain sentence when it does not.

#[cfg(feature = "hydrate")]
use super::live::Live;
use super::{address::use_whole_query, icon::Icon, stay::Stay};
use crate::{api::AppError, links};
use domain::problem::ProblemKind;
use leptos::{either::Either, prelude::*, reactive::traits::IsDisposed};
use leptos_router::hooks::use_location;
use serde::{Serialize, de::DeserializeOwned};

/// How long after a failure on the way the same is asked for once more.
#[cfg(feature = "hydrate")]
const TRY_AGAIN: std::time::Duration = std::time::Duration::from_secs(3);

/// Shows what a resource brings: `<Load resource=runs let:runs>..</Load>`.
///
/// Drawn by the server first. When the resource is asked again the old picture stays until the new one is there, and is then
/// changed in place, if it is another one. A problem takes the place of the content (see [`Refusal`]), unless the server only
/// could not be reached: then what is there stays, and is asked for until it comes.
///
/// The content is also drawn again, in place, when the query of the address changes. Inside, read signals with `get_untracked`:
/// nothing that the content reads is tracked. Make resources and actions outside, or each change makes new ones.
/// What is inside a `move ||` or another `Load` is not changed in place but replaced: no form goes there. A page that is mostly a
/// form is drawn by [`LoadOnce`], a part that has its own data by [`Stay`].
#[component]
pub fn Load<T, F, V>(resource: Resource<Result<T, AppError>>, children: F) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static,
    F: Fn(T) -> V + Clone + Send + Sync + 'static,
    V: IntoView + Send + 'static,
{
    let query = use_whole_query();
    // Ends with whatever this is part of. An effect may be called once more when the page around it is gone already; what it
    // would read is gone too.
    let here = StoredValue::new(());
    let kept = Kept::new();
    keep_trying(resource);
    view! {
        <Transition fallback=Bones>
            {
                // Most events are about something else: the same answer draws nothing.
                let answer = Memo::new(move |_| (!here.is_disposed()).then(|| resource.try_get().flatten()).flatten());
                move || {
                    query.with(|_| ());
                    // Not awaited: a click on a tab while the data is asked for again must change the picture at once.
                    let children = children.clone();
                    answer.try_get().flatten().map(|answer| drawn_once(move || untrack(|| match kept.or_before(answer) {
                        Ok(value) => Either::Left(children(value)),
                        Err(error) => Either::Right(view! { <Refusal error/> }),
                    })))
                }
            }
        </Transition>
    }
}

/// [`Load`] for a page that holds somebody's typing: drawn once; what comes later changes only what reads the signal.
///
/// What is chosen or typed belongs into signals made outside, or stays in the field, which nobody draws again.
#[component]
pub fn LoadOnce<T, F, V>(resource: Resource<Result<T, AppError>>, children: F) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static,
    F: Fn(Signal<T>) -> V + Clone + Send + Sync + 'static,
    V: IntoView + Send + 'static,
{
    let stay = Stay::new();
    let here = StoredValue::new(());
    let newest = RwSignal::new(None::<T>);
    let kept = Kept::new();
    keep_trying(resource);
    view! {
        <Transition fallback=Bones>
            {move || {
                let answer = (!here.is_disposed()).then(|| resource.try_get().flatten()).flatten();
                let children = children.clone();
                let stay = stay.clone();
                answer.map(|answer| drawn_once(move || untrack(|| match kept.or_before(answer) {
                    Ok(value) => {
                        if newest.with_untracked(|before| before.as_ref() != Some(&value)) {
                            newest.set(Some(value.clone()));
                        }
                        Either::Left(stay.draw("", move || {
                            let first = value.clone();
                            children(Signal::derive(move || newest.get().unwrap_or_else(|| first.clone())))
                        }))
                    }
                    Err(error) => Either::Right(view! { <Refusal error/> }),
                })))
            }}
        </Transition>
    }
}

/// What was shown last and under which address, to be shown on while the server cannot be reached.
struct Kept<T: Send + Sync + 'static>(StoredValue<Option<(String, T)>>);

impl<T: Send + Sync + 'static> Copy for Kept<T> {}
impl<T: Send + Sync + 'static> Clone for Kept<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Clone + Send + Sync + 'static> Kept<T> {
    fn new() -> Self {
        Self(StoredValue::new(None))
    }

    /// The answer, or the one before where this one was lost on its way. On the server there is none before.
    fn or_before(self, answer: Result<T, AppError>) -> Result<T, AppError> {
        if cfg!(feature = "ssr") {
            return answer;
        }
        let location = use_location();
        let here = location.pathname.get_untracked() + &location.search.get_untracked();
        match answer {
            Ok(value) => {
                let _ = self.0.try_set_value(Some((here, value.clone())));
                Ok(value)
            }
            Err(error) if is_lost(&error) => {
                self.0.try_get_value().flatten().filter(|(address, _)| *address == here).map(|(_, value)| value).ok_or(error)
            }
            refused => refused,
        }
    }
}

/// Nobody said no: the question or its answer did not arrive.
pub(super) fn is_lost(error: &AppError) -> bool {
    error.0.kind == ProblemKind::Unavailable
}

/// Asks again for what did not arrive, and lets the page say so meanwhile.
#[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
fn keep_trying<T: Send + Sync + Serialize + DeserializeOwned + 'static>(resource: Resource<Result<T, AppError>>) {
    #[cfg(feature = "hydrate")]
    {
        let live = expect_context::<Live>();
        let here = StoredValue::new(());
        let failing = StoredValue::new(false);
        Effect::new(move |_| {
            let lost = resource.with(|answer| matches!(answer, Some(Err(error)) if is_lost(error)));
            live.count(failing.get_value(), lost);
            failing.set_value(lost);
            if lost {
                set_timeout(
                    move || {
                        if !here.is_disposed() {
                            resource.refetch();
                        }
                    },
                    TRY_AGAIN,
                );
            }
        });
        on_cleanup(move || live.count(failing.try_get_value().unwrap_or_default(), false));
    }
}

/// What is drawn when a resource has come. On the server, a `Transition` makes its content once to see which resources that reads, and
/// once more to draw it; this part it makes only to draw. So nothing in it may read a resource, unless inside a `Transition` of its own.
#[cfg(feature = "ssr")]
pub(super) fn drawn_once<V: IntoView + 'static>(draw: impl FnOnce() -> V + Send + 'static) -> impl IntoView {
    leptos::suspense::Unsuspend::new(move || draw().into_view())
}
#[cfg(not(feature = "ssr"))]
pub(super) fn drawn_once<V: IntoView + 'static>(draw: impl FnOnce() -> V + Send + 'static) -> impl IntoView {
    draw()
}

/// The shape of what comes, for the first moment of a page that is opened by a click.
#[component]
fn Bones() -> impl IntoView {
    view! {
        <div class="panel bones" aria-busy="true">
            <span class="sr">"Loading"</span>
            <span class="bone" style="--w:40%"></span><span class="bone" style="--w:85%"></span><span class="bone" style="--w:70%"></span>
        </div>
    }
}

/// A problem in place of a page's content: what happened, what to do, whom to tell. Sends people who are not signed in to `/login`.
#[component]
pub fn Refusal(error: AppError) -> impl IntoView {
    let problem = error.0;
    let location = use_location();
    let here =
        location.pathname.get_untracked() + &location.search.with_untracked(|s| if s.is_empty() { String::new() } else { format!("?{s}") });
    let sign_in = links::login(&here);
    #[cfg(feature = "ssr")]
    if problem.kind == ProblemKind::Unauthenticated {
        crate::api::redirect(&sign_in);
    }
    let (icon, heading) = match problem.kind {
        ProblemKind::NotFound => ("search", "Page not found, or you don’t have access"),
        ProblemKind::Unauthenticated => ("clock", "You are not signed in"),
        ProblemKind::Forbidden => ("lock", "Your role does not allow this"),
        ProblemKind::Unavailable | ProblemKind::Internal => ("failed", "This page could not be loaded"),
        _ => ("info", "This can't be done right now"),
    };
    view! {
        <div class="refusal" role="alert">
            <Icon name=icon/>
            <h1>{heading}</h1>
            <p>{problem.sentence}" "{problem.next_step}</p>
            {problem.request_id.map(|id| view! {
                <div class="field"><span class="label">"Request ID, for support"</span><span class="copy"><span>{id}</span></span></div>
            })}
            <div class="row">
                {if problem.kind == ProblemKind::Unauthenticated {
                    view! { <a class="btn primary" href=sign_in>"Sign in"</a> }.into_any()
                } else if matches!(problem.kind, ProblemKind::NotFound | ProblemKind::Forbidden) {
                    // The same would be said again; only elsewhere is there something to see.
                    let home = (problem.kind == ProblemKind::Forbidden).then(|| home_of(&here)).flatten();
                    view! {
                        {match home {
                            Some(home) => view! { <a class="btn primary" href=home>"Home of this tenant"</a><a class="btn" href="/?choose=1">"Your tenants"</a> }.into_any(),
                            None => view! { <a class="btn primary" href="/?choose=1">"Your tenants"</a> }.into_any(),
                        }}
                        <a class="btn" href=here.clone() rel="external">"Try again"</a>
                    }.into_any()
                } else {
                    view! { <a class="btn primary" href=here.clone() rel="external">"Try again"</a><a class="btn" href="/?choose=1">"Your tenants"</a> }.into_any()
                }}
            </div>
        </div>
    }
}

/// The home of the tenant that an address belongs to, unless it is that home.
fn home_of(here: &str) -> Option<String> {
    let path = here.split('?').next().unwrap_or_default();
    let home = links::home(&links::tenant_of(path)?);
    (home != path).then_some(home)
}

#[cfg(test)]
mod tests {
    use super::home_of;

    #[test]
    fn a_page_that_is_refused_leads_to_its_tenants_home_which_does_not_lead_to_itself() {
        assert_eq!(home_of("/t/lumenta/keys?q=a").as_deref(), Some("/t/lumenta"));
        assert_eq!(["/t/lumenta?a=1", "/admin/tenants", "/t/"].map(home_of), [None, None, None]);
    }
}
