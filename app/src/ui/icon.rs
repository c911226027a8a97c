//! The icons: Lucide (ISC) on a 24 grid, our own status icons on a 16 grid. Drawn inline, so that they take the colour of their text.

use leptos::prelude::*;

/// An icon in the size of the text beside it; says nothing to screen readers, the word beside it does.
///
/// `turning` = the quiet motion of something at work.
#[component]
pub fn Icon(name: &'static str, #[prop(optional)] turning: bool, #[prop(optional)] inline: bool) -> impl IntoView {
    let (grid, body) = drawing(name);
    let class = match (turning, inline) {
        (true, _) => "i turning",
        (_, true) => "i inl",
        _ => "i",
    };
    let view_box = if grid == 16 { "0 0 16 16" } else { "0 0 24 24" };
    view! { <svg class=class data-icon=name viewBox=view_box aria-hidden="true" inner_html=body></svg> }
}

/// Grid and drawing; an unknown name draws nothing.
fn drawing(name: &str) -> (u8, &'static str) {
    match name {
        "activity" => {
            (24, r##"<g stroke-width="2"><path d="m21 16-4 4-4-4"/><path d="M17 20V4"/><path d="m3 8 4-4 4 4"/><path d="M7 4v16"/></g>"##)
        }
        "approval" => (
            16,
            r##"<circle cx="6" cy="5" r="2.5"/><path d="M1.5 13.5c0-2.5 2-4.3 4.5-4.3"/><circle cx="11.3" cy="11" r="3.2"/><path d="M11.3 9.4V11l1.1.8"/>"##,
        ),
        "approvals" => (
            24,
            r##"<g stroke-width="2"><path d="M14 13V8.5C14 7 15 7 15 5a3 3 0 0 0-6 0c0 2 1 2 1 3.5V13"/><path d="M20 15.5a2.5 2.5 0 0 0-2.5-2.5h-11A2.5 2.5 0 0 0 4 15.5V17a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1z"/><path d="M5 22h14"/></g>"##,
        ),
        "asleep" => (16, r##"<path d="M13 9.3A5.5 5.5 0 1 1 6.7 3 4.3 4.3 0 0 0 13 9.3Z"/>"##),
        "audit" => (
            24,
            r##"<g stroke-width="2"><path d="M15 12h-5"/><path d="M15 8h-5"/><path d="M19 17V5a2 2 0 0 0-2-2H4"/><path d="M8 21h12a2 2 0 0 0 2-2v-1a1 1 0 0 0-1-1H11a1 1 0 0 0-1 1v1a2 2 0 1 1-4 0V5a2 2 0 1 0-4 0v2a1 1 0 0 0 1 1h3"/></g>"##,
        ),
        "base" => (
            24,
            r##"<g stroke-width="2"><path d="M21 8a2 2 0 0 0-1-1.73l-7-4a2 2 0 0 0-2 0l-7 4A2 2 0 0 0 3 8v8a2 2 0 0 0 1 1.73l7 4a2 2 0 0 0 2 0l7-4A2 2 0 0 0 21 16Z"/><path d="m3.3 7 8.7 5 8.7-5"/><path d="M12 22V12"/></g>"##,
        ),
        "bell" => (
            24,
            r##"<g stroke-width="2"><path d="M10.268 21a2 2 0 0 0 3.464 0"/><path d="M3.262 15.326A1 1 0 0 0 4 17h16a1 1 0 0 0 .74-1.673C19.41 13.956 18 12.499 18 8A6 6 0 0 0 6 8c0 4.499-1.411 5.956-2.738 7.326"/></g>"##,
        ),
        "branch" => (
            24,
            r##"<g stroke-width="2"><path d="M15 6a9 9 0 0 0-9 9V3"/><circle cx="18" cy="6" r="3"/><circle cx="6" cy="18" r="3"/></g>"##,
        ),
        "cancelled" => (16, r##"<circle cx="8" cy="8" r="5.5"/><path d="m4.2 11.8 7.6-7.6"/>"##),
        "catalog" => (24, r##"<g stroke-width="2"><path d="m16 6 4 14"/><path d="M12 6v14"/><path d="M8 8v12"/><path d="M4 4v16"/></g>"##),
        "clock" => (24, r##"<g stroke-width="2"><circle cx="12" cy="12" r="10"/><path d="M12 6v6l4 2"/></g>"##),
        "cluster" => (
            24,
            r##"<g stroke-width="2"><path d="M12 20v2"/><path d="M12 2v2"/><path d="M17 20v2"/><path d="M17 2v2"/><path d="M2 12h2"/><path d="M2 17h2"/><path d="M2 7h2"/><path d="M20 12h2"/><path d="M20 17h2"/><path d="M20 7h2"/><path d="M7 20v2"/><path d="M7 2v2"/><rect x="4" y="4" width="16" height="16" rx="2"/><rect x="8" y="8" width="8" height="8" rx="1"/></g>"##,
        ),
        "cols" => {
            (24, r##"<g stroke-width="2"><rect width="18" height="18" x="3" y="3" rx="2"/><path d="M9 3v18"/><path d="M15 3v18"/></g>"##)
        }
        "compliance" => (
            24,
            r##"<g stroke-width="2"><path d="M12 3v18"/><path d="m19 8 3 8a5 5 0 0 1-6 0zV7"/><path d="M3 7h1a17 17 0 0 0 8-2 17 17 0 0 0 8 2h1"/><path d="m5 8 3 8a5 5 0 0 1-6 0zV7"/><path d="M7 21h10"/></g>"##,
        ),
        "copy" => (
            24,
            r##"<g stroke-width="2"><rect width="14" height="14" x="8" y="8" rx="2" ry="2"/><path d="M4 16c-1.1 0-2-.9-2-2V4c0-1.1.9-2 2-2h10c1.1 0 2 .9 2 2"/></g>"##,
        ),
        "data" => (
            24,
            r##"<g stroke-width="2"><ellipse cx="12" cy="5" rx="9" ry="3"/><path d="M3 5V19A9 3 0 0 0 21 19V5"/><path d="M3 12A9 3 0 0 0 21 12"/></g>"##,
        ),
        "datasets" => (
            24,
            r##"<g stroke-width="2"><ellipse cx="12" cy="5" rx="9" ry="3"/><path d="M3 5V19A9 3 0 0 0 21 19V5"/><path d="M3 12A9 3 0 0 0 21 12"/></g>"##,
        ),
        "degraded" => (16, r##"<path d="M8 2.8 14 13H2ZM8 6.8v2.7M8 11.4v.1"/>"##),
        "dn" => (
            24,
            r##"<g stroke-width="2"><path d="M9 18.12 10 14H4.17a2 2 0 0 1-1.92-2.56l2.33-8A2 2 0 0 1 6.5 2H20a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-2.76a2 2 0 0 0-1.79 1.11L12 22a3.13 3.13 0 0 1-3-3.88Z"/><path d="M17 14V2"/></g>"##,
        ),
        "down" => (24, r##"<g stroke-width="2"><path d="m6 9 6 6 6-6"/></g>"##),
        "download" => (
            24,
            r##"<g stroke-width="2"><path d="M12 15V3"/><path d="M21 15v4a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-4"/><path d="m7 10 5 5 5-5"/></g>"##,
        ),
        "draft" => (16, r##"<circle cx="8" cy="8" r="5.5" stroke-dasharray="0.1 2.78" stroke-width="1.75"/>"##),
        "endpoints" => (
            24,
            r##"<g stroke-width="2"><path d="M4.9 16.1C1 12.2 1 5.8 4.9 1.9"/><path d="M7.8 4.7a6.14 6.14 0 0 0-.8 7.5"/><circle cx="12" cy="9" r="2"/><path d="M16.2 4.8c2 2 2.26 5.11.8 7.47"/><path d="M19.1 1.9a9.96 9.96 0 0 1 0 14.1"/><path d="M9.5 18h5"/><path d="m8 22 4-11 4 11"/></g>"##,
        ),
        "eye" => (
            24,
            r##"<g stroke-width="2"><path d="M2.062 12.348a1 1 0 0 1 0-.696 10.75 10.75 0 0 1 19.876 0 1 1 0 0 1 0 .696 10.75 10.75 0 0 1-19.876 0"/><circle cx="12" cy="12" r="3"/></g>"##,
        ),
        "failed" => (16, r##"<path d="M5.6 2.3h4.8l3.3 3.3v4.8l-3.3 3.3H5.6l-3.3-3.3V5.6ZM6 6l4 4M10 6l-4 4"/>"##),
        "filter" => (24, r##"<g stroke-width="2"><path d="M2 5h20"/><path d="M6 12h12"/><path d="M9 19h6"/></g>"##),
        "gauge" => (24, r##"<g stroke-width="2"><path d="m12 14 4-4"/><path d="M3.34 19a10 10 0 1 1 17.32 0"/></g>"##),
        "graph" => (
            24,
            r##"<g stroke-width="2"><rect width="8" height="8" x="3" y="3" rx="2"/><path d="M7 11v4a2 2 0 0 0 2 2h4"/><rect width="8" height="8" x="13" y="13" rx="2"/></g>"##,
        ),
        "health" => (
            24,
            r##"<g stroke-width="2"><path d="M2 9.5a5.5 5.5 0 0 1 9.591-3.676.56.56 0 0 0 .818 0A5.49 5.49 0 0 1 22 9.5c0 2.29-1.5 4-3 5.5l-5.492 5.313a2 2 0 0 1-3 .019L5 15c-1.5-1.5-3-3.2-3-5.5"/><path d="M3.22 13H9.5l.5-1 2 4.5 2-7 1.5 3.5h5.27"/></g>"##,
        ),
        "help" => (
            24,
            r##"<g stroke-width="2"><circle cx="12" cy="12" r="10"/><path d="M9.09 9a3 3 0 0 1 5.83 1c0 2-3 3-3 3"/><path d="M12 17h.01"/></g>"##,
        ),
        "history" => (
            24,
            r##"<g stroke-width="2"><path d="M3 12a9 9 0 1 0 9-9 9.75 9.75 0 0 0-6.74 2.74L3 8"/><path d="M3 3v5h5"/><path d="M12 7v5l4 2"/></g>"##,
        ),
        "home" => (
            24,
            r##"<g stroke-width="2"><path d="M15 21v-8a1 1 0 0 0-1-1h-4a1 1 0 0 0-1 1v8"/><path d="M3 10a2 2 0 0 1 .709-1.528l7-6a2 2 0 0 1 2.582 0l7 6A2 2 0 0 1 21 10v9a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z"/></g>"##,
        ),
        "info" => (24, r##"<g stroke-width="2"><circle cx="12" cy="12" r="10"/><path d="M12 16v-4"/><path d="M12 8h.01"/></g>"##),
        "keys" => (
            24,
            r##"<g stroke-width="2"><path d="M2.586 17.414A2 2 0 0 0 2 18.828V21a1 1 0 0 0 1 1h3a1 1 0 0 0 1-1v-1a1 1 0 0 1 1-1h1a1 1 0 0 0 1-1v-1a1 1 0 0 1 1-1h.172a2 2 0 0 0 1.414-.586l.814-.814a6.5 6.5 0 1 0-4-4z"/><circle cx="16.5" cy="7.5" r=".5" fill="currentColor"/></g>"##,
        ),
        "left" => (24, r##"<g stroke-width="2"><path d="m15 18-6-6 6-6"/></g>"##),
        "lock" => (
            24,
            r##"<g stroke-width="2"><rect width="18" height="11" x="3" y="11" rx="2" ry="2"/><path d="M7 11V7a5 5 0 0 1 10 0v4"/></g>"##,
        ),
        "menu" => (24, r##"<g stroke-width="2"><path d="M4 5h16"/><path d="M4 12h16"/><path d="M4 19h16"/></g>"##),
        "missing" => (
            24,
            r##"<g stroke-width="2"><path d="M10.1 2.182a10 10 0 0 1 3.8 0"/><path d="M13.9 21.818a10 10 0 0 1-3.8 0"/><path d="M17.609 3.721a10 10 0 0 1 2.69 2.7"/><path d="M2.182 13.9a10 10 0 0 1 0-3.8"/><path d="M20.279 17.609a10 10 0 0 1-2.7 2.69"/><path d="M21.818 10.1a10 10 0 0 1 0 3.8"/><path d="M3.721 6.391a10 10 0 0 1 2.7-2.69"/><path d="M6.391 20.279a10 10 0 0 1-2.69-2.7"/></g>"##,
        ),
        "models" => (
            24,
            r##"<g stroke-width="2"><path d="M21 8a2 2 0 0 0-1-1.73l-7-4a2 2 0 0 0-2 0l-7 4A2 2 0 0 0 3 8v8a2 2 0 0 0 1 1.73l7 4a2 2 0 0 0 2 0l7-4A2 2 0 0 0 21 16Z"/><path d="m3.3 7 8.7 5 8.7-5"/><path d="M12 22V12"/></g>"##,
        ),
        "more" => (
            24,
            r##"<g stroke-width="2"><circle cx="12" cy="12" r="1"/><circle cx="19" cy="12" r="1"/><circle cx="5" cy="12" r="1"/></g>"##,
        ),
        "next" => (16, r##"<path d="M3 8h10M9.5 4.5 13 8l-3.5 3.5"/>"##),
        "paused" => (16, r##"<path d="M6 4v8M10 4v8"/>"##),
        "pen" => (
            24,
            r##"<g stroke-width="2"><path d="M21.174 6.812a1 1 0 0 0-3.986-3.987L3.842 16.174a2 2 0 0 0-.5.83l-1.321 4.352a.5.5 0 0 0 .623.622l4.353-1.32a2 2 0 0 0 .83-.497z"/><path d="m15 5 4 4"/></g>"##,
        ),
        "pending" => (16, r##"<circle cx="8" cy="8" r="4.5" opacity=".7"/>"##),
        "person" => (24, r##"<g stroke-width="2"><circle cx="12" cy="8" r="5"/><path d="M20 21a8 8 0 0 0-16 0"/></g>"##),
        "play" => (
            24,
            r##"<g stroke-width="2"><path d="M5 5a2 2 0 0 1 3.008-1.728l11.997 6.998a2 2 0 0 1 .003 3.458l-12 7A2 2 0 0 1 5 19z"/></g>"##,
        ),
        "playground" => (
            24,
            r##"<g stroke-width="2"><path d="M16 10a2 2 0 0 1-2 2H6.828a2 2 0 0 0-1.414.586l-2.202 2.202A.71.71 0 0 1 2 14.286V4a2 2 0 0 1 2-2h10a2 2 0 0 1 2 2z"/><path d="M20 9a2 2 0 0 1 2 2v10.286a.71.71 0 0 1-1.212.502l-2.202-2.202A2 2 0 0 0 17.172 19H10a2 2 0 0 1-2-2v-1"/></g>"##,
        ),
        "plus" => (24, r##"<g stroke-width="2"><path d="M5 12h14"/><path d="M12 5v14"/></g>"##),
        "policies" => (
            24,
            r##"<g stroke-width="2"><path d="M20 13c0 5-3.5 7.5-7.66 8.95a1 1 0 0 1-.67-.01C7.5 20.5 4 18 4 13V6a1 1 0 0 1 1-1c2 0 4.5-1.2 6.24-2.72a1.17 1.17 0 0 1 1.52 0C14.51 3.81 17 5 19 5a1 1 0 0 1 1 1z"/><path d="m9 12 2 2 4-4"/></g>"##,
        ),
        "preparing" => (16, r##"<path d="M5.2 3.3a5.5 5.5 0 1 0 5.6 0M8 2v7M5.5 6.8 8 9.3l2.5-2.5"/>"##),
        "queued" => (16, r##"<circle cx="8" cy="8" r="5.5" stroke-dasharray="3.4 2.36"/>"##),
        "ready" => (16, r##"<circle cx="8" cy="8" r="4" fill="currentColor" stroke="none"/>"##),
        "retired" => (16, r##"<path d="M2.5 3.5h11v3h-11ZM3.5 6.5v6h9v-6M6.5 9h3"/>"##),
        "retiring" => (
            16,
            r##"<path d="M4.5 2.5h7M4.5 13.5h7M5.3 2.5c0 3.2 5.4 3.3 5.4 5.5S5.3 10.3 5.3 13.5M10.7 2.5c0 3.2-5.4 3.3-5.4 5.5s5.4 2.3 5.4 5.5"/>"##,
        ),
        "retry" => (24, r##"<g stroke-width="2"><path d="M21 12a9 9 0 1 1-9-9c2.52 0 4.93 1 6.74 2.74L21 8"/><path d="M21 3v5h-5"/></g>"##),
        "right" => (24, r##"<g stroke-width="2"><path d="m9 18 6-6-6-6"/></g>"##),
        "run_o" => (
            24,
            r##"<g stroke-width="2"><path d="M3 3v16a2 2 0 0 0 2 2h16"/><path d="M7 16c.5-2 1.5-7 4-7 2 0 2 3 4 3 2.5 0 4.5-5 5-7"/></g>"##,
        ),
        "running" => (16, r##"<circle cx="8" cy="8" r="5.5" opacity=".3"/><path d="M8 2.5A5.5 5.5 0 0 1 13.5 8"/>"##),
        "runs" => (
            24,
            r##"<g stroke-width="2"><path d="M3 3v16a2 2 0 0 0 2 2h16"/><path d="M7 16c.5-2 1.5-7 4-7 2 0 2 3 4 3 2.5 0 4.5-5 5-7"/></g>"##,
        ),
        "search" => (24, r##"<g stroke-width="2"><path d="m21 21-4.34-4.34"/><circle cx="11" cy="11" r="8"/></g>"##),
        "server" => (
            24,
            r##"<g stroke-width="2"><rect width="20" height="8" x="2" y="2" rx="2" ry="2"/><rect width="20" height="8" x="2" y="14" rx="2" ry="2"/><line x1="6" x2="6.01" y1="6" y2="6"/><line x1="6" x2="6.01" y1="18" y2="18"/></g>"##,
        ),
        "settings" => (
            24,
            r##"<g stroke-width="2"><path d="M14 17H5"/><path d="M19 7h-9"/><circle cx="17" cy="17" r="3"/><circle cx="7" cy="7" r="3"/></g>"##,
        ),
        "skipped" => (16, r##"<path d="M4 8h8"/>"##),
        "sort" => (24, r##"<g stroke-width="2"><path d="M12 5v14"/><path d="m19 12-7 7-7-7"/></g>"##),
        "stop" => (24, r##"<g stroke-width="2"><rect width="18" height="18" x="3" y="3" rx="2"/></g>"##),
        "succeeded" => (16, r##"<circle cx="8" cy="8" r="5.5"/><path d="m5.6 8.2 1.7 1.7 3.2-3.5"/>"##),
        "table" => {
            (24, r##"<g stroke-width="2"><path d="M3 9h18"/><path d="M9 3v18"/><rect x="3" y="3" width="18" height="18" rx="2"/></g>"##)
        }
        "tenants" => (
            24,
            r##"<g stroke-width="2"><path d="M10 12h4"/><path d="M10 8h4"/><path d="M14 21v-3a2 2 0 0 0-4 0v3"/><path d="M6 10H4a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2h16a2 2 0 0 0 2-2V9a2 2 0 0 0-2-2h-2"/><path d="M6 21V5a2 2 0 0 1 2-2h8a2 2 0 0 1 2 2v16"/></g>"##,
        ),
        "terminal" => (24, r##"<g stroke-width="2"><path d="M12 19h8"/><path d="m4 17 6-6-6-6"/></g>"##),
        "theme" => (
            24,
            r##"<g stroke-width="2"><path d="M12 2v2"/><path d="M14.837 16.385a6 6 0 1 1-7.223-7.222c.624-.147.97.66.715 1.248a4 4 0 0 0 5.26 5.259c.589-.255 1.396.09 1.248.715"/><path d="M16 12a4 4 0 0 0-4-4"/><path d="m19 5-1.256 1.256"/><path d="M20 12h2"/></g>"##,
        ),
        "unknown" => (16, r##"<path d="M6 6a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1v.3M8 11.4v.1"/>"##),
        "up" => (
            24,
            r##"<g stroke-width="2"><path d="M15 5.88 14 10h5.83a2 2 0 0 1 1.92 2.56l-2.33 8A2 2 0 0 1 17.5 22H4a2 2 0 0 1-2-2v-8a2 2 0 0 1 2-2h2.76a2 2 0 0 0 1.79-1.11L12 2a3.13 3.13 0 0 1 3 3.88Z"/><path d="M7 10v12"/></g>"##,
        ),
        "up_" => (16, r##"<path d="m4.5 9.5 3.5-3.5 3.5 3.5"/>"##),
        "upload" => (
            24,
            r##"<g stroke-width="2"><path d="M12 3v12"/><path d="m17 8-5-5-5 5"/><path d="M21 15v4a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-4"/></g>"##,
        ),
        "usage" => (
            24,
            r##"<g stroke-width="2"><path d="M11 13H7"/><path d="M19 9h-4"/><path d="M3 3v16a2 2 0 0 0 2 2h16"/><rect x="15" y="5" width="4" height="12" rx="1"/><rect x="7" y="8" width="4" height="9" rx="1"/></g>"##,
        ),
        "users" => (
            24,
            r##"<g stroke-width="2"><path d="M18 21a8 8 0 0 0-16 0"/><circle cx="10" cy="8" r="5"/><path d="M22 20c0-3.37-2-6.5-4-8a5 5 0 0 0-.45-8.3"/></g>"##,
        ),
        "validating" => (16, r##"<circle cx="7" cy="7" r="4"/><path d="m10 10 3.5 3.5"/>"##),
        "x" => (24, r##"<g stroke-width="2"><path d="M18 6 6 18"/><path d="m6 6 12 12"/></g>"##),
        _ => (16, ""),
    }
}
