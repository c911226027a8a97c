//! What stands in the address: the tenant, parts of the path, the query. Read once for the whole program.

use leptos::{prelude::*, reactive::owner::WeakOwner};
use leptos_router::{
    hooks::{use_params_map, use_query_map},
    params::ParamsMap,
};
use std::panic::Location;

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

/// Makes the address known to all pages. Called once, inside the router.
pub(super) fn provide_address() {
    if let Some(owner) = Owner::current() {
        provide_context(Root {
            owner: owner.downgrade(),
            query: use_query_map(),
            queries: StoredValue::default(),
            params: StoredValue::default(),
        });
    }
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::*;

    /// A browser that stays open asks for the same names with every click.
    #[test]
    fn a_parameter_of_the_address_is_made_once_however_often_it_is_asked_for() {
        let program = Owner::new();
        program.set();
        let query = RwSignal::new(ParamsMap::from_iter([("tab", "rows")]));
        let root = Root {
            owner: program.downgrade(),
            query: Memo::new(move |_| query.get()),
            queries: StoredValue::default(),
            params: StoredValue::default(),
        };
        provide_context(root.clone());
        let mut first = None;
        for _ in 0..1_000 {
            // A page, which is left again.
            let page = program.child();
            page.with(|| {
                let (tab, other) = (use_query("tab"), use_query("scale"));
                assert_eq!((tab.get_untracked().as_str(), other.get_untracked().as_str()), ("rows", ""));
                first.get_or_insert(tab);
            });
            page.cleanup();
        }
        assert_eq!(root.queries.with_value(Vec::len), 2);
        // And outlives the page that asked first.
        query.set(ParamsMap::from_iter([("tab", "card")]));
        assert_eq!(first.unwrap().get_untracked(), "card");
    }
}
