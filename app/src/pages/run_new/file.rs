//! The settings' text as a file: opened, or saved. With scripts the file stays in the browser. Without them it is posted with the form, which
//! comes back with its text.

use super::Typed;
use crate::{links, ui::Icon};
use leptos::{ev::MouseEvent, html, prelude::*};

#[component]
pub(super) fn File(typed: Typed, tenant: String) -> impl IntoView {
    let (menu, said) = (NodeRef::<html::Details>::new(), RwSignal::new(String::new()));
    let choose = move |input: leptos::web_sys::HtmlInputElement| open(input, typed, menu, said);
    let save = move |event: MouseEvent| {
        event.prevent_default();
        let (name, text) = typed.form.with_untracked(|f| (f.file_name(), f.document().text()));
        save(&name, &text);
    };
    view! {
        <span class="end row row-tight">
            <span class="small muted" role="status">{said}</span>
            <details class="more" node_ref=menu>
                <summary class="btn sm"><Icon name="upload"/>"Paste or open"</summary>
                <div class="menu open-file">
                    <p>"Paste into the text below, or open a file."</p>
                    <input type="file" name="file" accept=".yaml,.yml,.txt" aria-label="A file with settings" on:change:target=move |e| choose(e.target())/>
                    <button type="submit" class="btn sm unscripted" formmethod="post" formenctype="multipart/form-data" formaction=links::run_file_open(&tenant) formnovalidate=true>"Open"</button>
                </div>
            </details>
            <button type="submit" class="btn sm" formmethod="post" formaction=links::run_file(&tenant) formnovalidate=true on:click=save><Icon name="download"/>"Download"</button>
        </span>
    }
}

/// Puts the file's text in the place of the settings.
#[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
fn open(input: leptos::web_sys::HtmlInputElement, typed: Typed, menu: NodeRef<html::Details>, said: RwSignal<String>) {
    #[cfg(feature = "hydrate")]
    {
        use crate::api::run_form::{FILE_BYTES, file_text};
        use js_sys::{Uint8Array, futures::JsFuture};
        let Some(file) = input.files().and_then(|files| files.get(0)) else { return };
        // The same file can be chosen again when it was mended.
        let again = move || input.set_value("");
        leptos::task::spawn_local(async move {
            // One byte more than may be tells as much as all of them.
            let most = FILE_BYTES as i32 + 1;
            let bytes = match file.slice_with_i32_and_i32(0, most) {
                Ok(part) => JsFuture::from(part.array_buffer()).await.map(|buffer| Uint8Array::new(&buffer).to_vec()),
                Err(e) => Err(e),
            };
            said.set(match bytes.map(|bytes| file_text(&bytes)) {
                Ok(Ok(text)) => {
                    typed.set("yaml", text);
                    if let Some(menu) = menu.get_untracked() {
                        menu.set_open(false);
                    }
                    format!("{} is open.", file.name())
                }
                Ok(Err(problem)) => problem.sentence,
                Err(_) => format!("{} cannot be read.", file.name()),
            });
            again();
        });
    }
}

/// Has the browser save a text as a file.
#[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
fn save(name: &str, text: &str) {
    #[cfg(feature = "hydrate")]
    {
        use wasm_bindgen::JsCast;
        let link = document().create_element("a").ok().and_then(|e| e.dyn_into::<web_sys::HtmlElement>().ok());
        if let Some(link) = link {
            let _ = link.set_attribute("href", &format!("data:text/yaml;charset=utf-8,{}", links::query(text)));
            let _ = link.set_attribute("download", name);
            link.click();
        }
    }
}
