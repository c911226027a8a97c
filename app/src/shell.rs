//! The document around the app: head, theme, nonce. Everything inside `<body>` is the app's.

use crate::{App, Returned};
use leptos::prelude::*;
use leptos_meta::MetaTags;
use std::{collections::BTreeMap, sync::Arc};

/// The browser's files. Given by the server; what is not in it goes by its plain name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// By plain name (`atelier.css`), the one with the digest of the content, which a browser may keep for ever.
    pub names: Arc<BTreeMap<String, String>>,
    /// By chunk (see `crate::chunks`), the plain names of its files.
    pub chunks: Arc<BTreeMap<String, Vec<String>>>,
}

/// What loads the chunks of the program.
const LINK: &str = "atelier_chunks.js";

impl Files {
    /// Where a file is, as in `url("fonts/plex.woff2")`.
    fn url(&self, plain: &str) -> String {
        format!("/pkg/{}", self.names.get(plain).map_or(plain, String::as_str))
    }
}

/// Tells the browser with the answer's head to fetch the files of this chunk beside the main file.
#[cfg(feature = "ssr")]
pub fn preload(chunk: &str) {
    let (Some(files), Some(options)) = (use_context::<Files>(), use_context::<leptos_axum::ResponseOptions>()) else { return };
    for file in files.chunks.get(chunk).into_iter().flatten().filter(|_| !is_still()) {
        let link = format!("<{}>; rel=preload; as=fetch; type=\"application/wasm\"; crossorigin=anonymous", files.url(file));
        if let Ok(link) = http::HeaderValue::from_str(&link) {
            options.append_header(http::header::LINK, link);
        }
    }
}

/// The whole HTML document, drawn by the server. Sets the content security policy with this request's nonce.
pub fn shell() -> impl IntoView {
    #[cfg(feature = "ssr")]
    content_security_policy();
    let still = is_still();
    let files = use_context::<Files>().unwrap_or_default();
    let returned = use_context::<Returned>();
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=chosen_theme()>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <link rel="icon" type="image/svg+xml" href=files.url("icon.svg")/>
                <link rel="preload" href=files.url("fonts/ibm-plex-sans-latin-wght-normal.woff2") r#as="font" r#type="font/woff2" crossorigin="anonymous"/>
                <link rel="stylesheet" href=files.url("atelier.css")/>
                {if still { view! { <Ahead files/> }.into_any() } else { view! { <Program files/> }.into_any() }}
                <MetaTags/>
            </head>
            <body
                data-events-after=events_so_far()
                data-still=still.then_some("true")
                data-returned-function=returned.as_ref().map(|r| r.function.clone())
                data-returned-error=returned.map(|r| r.error)
            >
                <App/>
            </body>
        </html>
    }
}

/// The first page of everybody has one link and nothing that moves: it does without the program in the browser, which is nine tenths of
/// what a first visit loads. That is fetched meanwhile, when nothing else is ([`Ahead`]).
fn is_still() -> bool {
    #[cfg(feature = "ssr")]
    return use_context::<http::request::Parts>().is_some_and(|parts| parts.uri.path() == "/login");
    #[cfg(not(feature = "ssr"))]
    false
}

#[component]
fn Ahead(files: Files) -> impl IntoView {
    let first =
        files.chunks.get("start").into_iter().flatten().map(|plain| view! { <link rel="prefetch" href=files.url(plain) r#as="fetch"/> });
    let first = first.collect_view();
    view! {
        <link rel="prefetch" href=files.url("atelier.js") r#as="script"/>
        <link rel="prefetch" href=files.url("atelier_bg.wasm") r#as="fetch"/>
        <link rel="prefetch" href=files.url(LINK) r#as="script"/>
        {first}
    }
}

/// Loads the program and lets it take over what the server drew. Leptos' own part for this knows no digests.
#[component]
fn Program(files: Files) -> impl IntoView {
    let nonce = leptos::nonce::use_nonce();
    let (glue, link, module) = (files.url("atelier.js"), files.url(LINK), files.url("atelier_bg.wasm"));
    let start = format!("import({glue:?}).then(glue => glue.default({{ module_or_path: {module:?} }}).then(() => glue.hydrate()));");
    view! {
        <link rel="modulepreload" href=glue nonce=nonce.clone()/>
        <link rel="modulepreload" href=link nonce=nonce.clone()/>
        <link rel="preload" href=module r#as="fetch" r#type="application/wasm" crossorigin="anonymous"/>
        <script type="module" nonce=nonce>{start}</script>
    }
}

/// The place in the tenant's events before this picture was begun, so that the page's event stream starts where the picture ends (see
/// `ui::live`).
fn events_so_far() -> Option<String> {
    #[cfg(feature = "ssr")]
    {
        let parts = use_context::<http::request::Parts>()?;
        let tenant = crate::links::tenant_of(parts.uri.path())?.parse().ok()?;
        let platform = crate::api::platform().ok()?;
        Some(platform.seal_place(&tenant, platform.latest_event()))
    }
    #[cfg(not(feature = "ssr"))]
    None
}

/// `light` or `dark` when the person chose one (cookie `theme`), else nothing and the system decides.
fn chosen_theme() -> Option<&'static str> {
    #[cfg(feature = "ssr")]
    {
        let parts = use_context::<http::request::Parts>()?;
        let cookies = parts.headers.get(http::header::COOKIE)?.to_str().ok()?.to_owned();
        cookies.split(';').find_map(|c| match c.trim() {
            "theme=light" => Some("light"),
            "theme=dark" => Some("dark"),
            _ => None,
        })
    }
    #[cfg(not(feature = "ssr"))]
    None
}

/// Scripts only with this answer's nonce (and WebAssembly); inline style only as attribute, for positions in charts.
#[cfg(feature = "ssr")]
fn content_security_policy() {
    let (Some(nonce), Some(options)) = (leptos::nonce::use_nonce(), use_context::<leptos_axum::ResponseOptions>()) else { return };
    let policy = format!(
        "default-src 'self'; script-src 'nonce-{nonce}' 'strict-dynamic' 'wasm-unsafe-eval'; style-src 'self'; style-src-attr 'unsafe-inline'; \
         img-src 'self' data:; font-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    if let Ok(value) = http::HeaderValue::from_str(&policy) {
        options.insert_header(http::header::CONTENT_SECURITY_POLICY, value);
    }
}
