//! Parts of a page that events leave alone.
//!
//! What a [`Load`](super::Load) draws is changed in place when its data comes again, but a `move ||` or another `Load` in it would
//! be replaced, with whatever somebody was typing or had opened there.

use leptos::{
    prelude::*,
    reactive::owner::Owner,
    tachys::{reactive_graph::OwnedView, view::keyed::keyed},
};

/// Draws parts that stay. Made by the page, outside of what is drawn again.
#[derive(Clone)]
pub struct Stay(Owner);

impl Stay {
    /// For parts that live at most as long as the component that calls this.
    pub fn new() -> Self {
        Self(Owner::current().unwrap_or_default())
    }

    /// `part`, drawn once for a `key` in this place: what changes in it changes by signals and resources from outside.
    pub fn draw<V>(&self, key: impl Into<String>, part: impl Fn() -> V + Clone + Send + 'static) -> AnyView
    where
        V: IntoView + 'static,
    {
        let page = self.0.clone();
        keyed([key.into()], String::clone, move |_, _| {
            // An owner of its own: it ends when the part is taken away, and not when its surroundings are drawn again.
            let owner = page.with(Owner::new);
            let view = untrack(|| owner.with(|| part().into_any()));
            (|_: usize| (), OwnedView::new_with_owner(view, owner))
        })
        .into_any()
    }
}

impl Default for Stay {
    fn default() -> Self {
        Self::new()
    }
}
