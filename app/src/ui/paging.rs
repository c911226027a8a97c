//! Below a list: how much of it is shown, and the ways to the rest (decision 0025).

use super::number::some;
use domain::page::Cursor;
use leptos::prelude::*;

/// The order of a list, as its links say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
    ByName,
    MostFirst,
    /// As they are numbered.
    Rows,
}

impl Order {
    /// Of the link to the first page, and of that to the next one.
    const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::NewestFirst => ("Newest", "Older"),
            Self::OldestFirst => ("Oldest", "Newer"),
            Self::ByName | Self::MostFirst | Self::Rows => ("First page", "Next page"),
        }
    }
    const fn said(self) -> &'static str {
        match self {
            Self::NewestFirst => "newest first",
            Self::OldestFirst => "oldest first",
            Self::ByName => "by name",
            Self::MostFirst => "most used first",
            Self::Rows => "in their order",
        }
    }
}

/// The links to the first page and to the next one; nothing under a list that is whole. `to` makes the address of the page that begins at
/// a cursor (empty = the first), with everything else that the address says.
#[component]
pub fn Paging(
    order: Order,
    /// One and many: `("run", "runs")`.
    noun: (&'static str, &'static str),
    /// Rows on this page.
    shown: usize,
    /// The cursor of this page, as the address has it.
    #[prop(into)]
    after: String,
    next: Option<Cursor>,
    #[prop(into)] to: Callback<String, String>,
) -> impl IntoView {
    if after.is_empty() && next.is_none() {
        return ().into_any();
    }
    let (first_label, next_label) = order.labels();
    let said = said(order, noun, shown, !after.is_empty(), next.is_some());
    let first = (!after.is_empty()).then(|| to.run(String::new()));
    let next = next.map(|next| to.run(next.as_str().to_owned()));
    view! {
        <nav class="row between pages" aria-label=format!("Pages of {}", noun.1)>
            <span class="small muted">{said}</span>
            <span class="btns">{turn(first_label, first)}{turn(next_label, next)}</span>
        </nav>
    }
    .into_any()
}

/// A way to another page, or that there is none.
pub fn turn(label: &'static str, to: Option<String>) -> AnyView {
    match to {
        Some(href) => view! { <a class="btn sm" href=href>{label}</a> }.into_any(),
        None => view! { <span class="btn sm" role="link" aria-disabled="true">{label}</span> }.into_any(),
    }
}

fn said(order: Order, noun: (&'static str, &'static str), shown: usize, begun: bool, more: bool) -> String {
    let shown = some(shown as u64, noun.0, noun.1);
    let rest = match (begun, more) {
        (_, true) => "; there are more",
        (true, false) => "; these are the last",
        (false, false) => "",
    };
    format!("{shown} on this page, {}{rest}.", order.said())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_how_many_are_shown_and_whether_there_are_more() {
        let runs = ("run", "runs");
        assert_eq!(said(Order::NewestFirst, runs, 50, false, true), "50\u{a0}runs on this page, newest first; there are more.");
        assert_eq!(said(Order::ByName, runs, 1, true, false), "1\u{a0}run on this page, by name; these are the last.");
    }
}
