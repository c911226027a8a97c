//! Small parts that many pages share.

use super::icon::Icon;
use domain::time::Timestamp;
use leptos::prelude::*;

/// A moment: `20 Nov 14:04` (UTC), the exact one for machines and in the tooltip.
#[component]
pub fn When(at: Timestamp) -> impl IntoView {
    view! { <time datetime=at.rfc3339() title=at.rfc3339()>{short(at)}</time> }
}

/// `20 Nov 14:04`
pub fn short(at: Timestamp) -> String {
    let human = at.human();
    match human.split_once(", ") {
        Some((day, clock)) => format!("{} {clock}", day.rsplit_once(' ').map_or(day, |(d, _)| d)),
        None => human,
    }
}

/// Why something waits, failed or was refused: a sentence, the facts, the buttons that change it.
///
/// `tone` is empty (amber), `danger` or `info`. Buttons go into `actions`.
#[component]
pub fn Reason(
    icon: &'static str,
    #[prop(into)] title: String,
    #[prop(optional)] tone: &'static str,
    #[prop(optional)] actions: Option<ViewFn>,
    children: Children,
) -> impl IntoView {
    view! {
        <div class=format!("reason {tone}")>
            <Icon name=icon/>
            <div><h2 class="as-h3">{title}</h2>{children()}</div>
            {actions.map(|a| view! { <div class="row row-tight">{a.run()}</div> })}
        </div>
    }
}

/// The first use of a list: what will be here, and the one thing to do. Also for "nothing matches".
#[component]
pub fn Empty(#[prop(into)] title: String, children: Children) -> impl IntoView {
    view! { <div class="panel empty"><h2 class="as-h3">{title}</h2>{children()}</div> }
}

/// Where one is in a list of pages, with links back and forth. `from` counts from 0; `href` makes the address of a page from its first row.
#[component]
pub fn Pages(
    #[prop(into)] noun: String,
    from: u64,
    shown: u64,
    total: u64,
    step: u64,
    #[prop(into)] href: Callback<u64, String>,
) -> impl IntoView {
    let back = (from > 0).then(|| href.run(from.saturating_sub(step)));
    let on = (from + shown < total).then(|| href.run(from + step));
    let turn = |label: &'static str, icon: &'static str, to: Option<String>| match to {
        Some(href) => view! { <a class="btn sm" aria-label=label href=href><Icon name=icon/></a> }.into_any(),
        None => view! { <span class="btn sm" role="link" aria-disabled="true" aria-label=label><Icon name=icon/></span> }.into_any(),
    };
    view! {
        <nav class="row between pages" aria-label="Pages">
            <span class="small muted">{format!("{noun} {} to {} of {}", super::count(if shown == 0 { 0 } else { from + 1 }), super::count(from + shown), super::count(total))}</span>
            <span class="btns">{turn("Previous page", "left", back)}{turn("Next page", "right", on)}</span>
        </nav>
    }
}

/// A table that scrolls sideways inside its own region instead of moving the page.
#[component]
pub fn Sheet(#[prop(into)] label: String, children: Children) -> impl IntoView {
    view! { <div class="scroll" tabindex="0" role="region" aria-label=format!("Table: {label}")>{children()}</div> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_without_the_year() {
        assert_eq!(short(Timestamp::parse_rfc3339("2026-11-20T14:04:59Z").unwrap_or_default()), "20 Nov 14:04");
    }
}
