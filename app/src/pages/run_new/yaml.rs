//! The settings as a text. The field is always part of the form, so that every view sends the whole text; only one view shows it.
//!
//! The colours lie under the field, whose own letters are not seen then. Without scripts the field is all there is.

use super::{
    Typed, View,
    complete::{Completion, Keys, LIST},
    file,
};
use crate::ui::Icon;
use domain::settings::{Catalogue, Document, Mark};
use leptos::{html, prelude::*};

/// What is chosen in the form above stands in the trainer's file too, and not in this text: the trainer's key, and our field.
const CHOSEN: [(&str, &str); 2] = [("model_name_or_path", "base_model"), ("dataset", "dataset")];

#[component]
pub(super) fn Editor(typed: Typed, view: RwSignal<View>, tenant: String) -> impl IntoView {
    let start = typed.form.with_untracked(|f| f.document().text());
    let text = move || typed.form.with(|f| f.yaml.clone());
    let area = NodeRef::<html::Textarea>::new();
    let completion = Completion::new(typed, area);
    // What another field changed in the text is typed text too: it is kept with the draft like the rest.
    Effect::new(move |before: Option<()>| {
        let text = text();
        if let (Some(()), Some(area)) = (before, area.get_untracked())
            && area.value() != text
        {
            area.set_value(&text);
            crate::ui::form::typed_into(&area);
        }
    });
    let rows = move || typed.form.with(|f| f.yaml.lines().count().max(12) + 2);
    let bad = Memo::new(move |_| {
        let document = typed.form.with(|f| f.document());
        let pairs = document.pairs();
        let mut lines: Vec<usize> = document.unread().into_iter().map(|(line, _)| line).collect();
        typed
            .problems
            .with(|all| lines.extend(all.iter().filter_map(|p| pairs.iter().find(|pair| pair.key == p.field).map(|pair| pair.line))));
        lines
    });
    // Nobody sees it in the other views.
    let letters = move || match view.get() {
        View::Yaml => typed.catalogue.with(|c| bad.with(|bad| typed.form.with(|f| coloured(&f.document(), c, bad)))),
        _ => String::new(),
    };
    view! {
        <section class="section settings-text" aria-labelledby="ya" hidden=move || view.get() != View::Yaml>
            <header><h2 id="ya">"Settings as YAML"</h2><p>"The same settings; a change here changes the form, and the other way."</p><file::File typed tenant/></header>
            <div class="yaml edit">
                <ul class="chosen" tabindex="0" aria-label="Set in the form above">{CHOSEN.map(|(key, field)| view! { <Chosen typed key field/> })}</ul>
                <ol aria-hidden="true">{move || bad.with(|bad| (1..=rows()).map(|n| view! { <li class:bad=bad.contains(&n)><span>{n}</span></li> }).collect_view())}</ol>
                <div class="typing">
                    <div class="letters">
                        <pre aria-hidden="true" inner_html=letters></pre>
                        <textarea id="yaml" name="form[yaml]" node_ref=area rows=rows spellcheck="false" autocomplete="off" wrap="off" aria-labelledby="ya" aria-describedby="yaml-says"
                            aria-autocomplete="list" aria-controls=move || completion.active().map(|_| LIST) aria-activedescendant=move || completion.active()
                            on:keydown=move |e| completion.key(&e) on:blur=move |_| completion.close() on:click=move |_| completion.close()
                            prop:value=text on:input:target=move |e| { typed.set("yaml", e.target().value()); completion.look(false); }>{start}</textarea>
                    </div>
                    <Keys completion/>
                </div>
            </div>
            <p class="small muted" id="yaml-says">"Comments and order are kept when a field is changed in the form. A setting that is not here has the trainer’s default."<span class="scripted">" "<kbd>"Ctrl Space"</kbd>" completes a key."</span></p>
        </section>
    }
}

/// A line that this text cannot change.
#[component]
fn Chosen(typed: Typed, key: &'static str, field: &'static str) -> impl IntoView {
    let why = move || typed.catalogue.with(|c| c.entry(key).and_then(|e| e.platform.clone())).map(|why| format!("  Platform: {why}"));
    view! {
        <li class="locked"><span><Icon name="lock"/></span><span>{key}": "<b>{move || typed.get(field)}</b><i>{why}</i></span></li>
    }
}

/// The text as HTML in its colours. `bad`: numbers of lines that are refused.
fn coloured(document: &Document, catalogue: &Catalogue, bad: &[usize]) -> String {
    let mut out = String::new();
    for (i, pieces) in document.pieces().into_iter().enumerate() {
        let bad = bad.contains(&(i + 1));
        let key = pieces.iter().find(|(mark, _)| *mark == Mark::Key).map(|(_, key)| *key);
        let locked = key.and_then(|key| catalogue.entry(key)).and_then(|e| e.platform.as_deref());
        out.push_str(match (locked, bad) {
            (Some(_), _) => "<span class=\"bad locked\">",
            (None, true) => "<span class=bad>",
            (None, false) => "<span>",
        });
        for (mark, piece) in pieces {
            let tag = match mark {
                Mark::Plain => "span",
                // Only a refused line has something to underline.
                Mark::Key if bad => "u",
                Mark::Key => "em",
                Mark::Value => "b",
                Mark::Comment => "i",
            };
            push(&mut out, tag, piece);
        }
        if let Some(why) = locked {
            push(&mut out, "i", &format!("  Platform: {why}"));
        }
        out.push_str("</span>");
    }
    out
}

/// An element with this text in it, whatever the text is.
fn push(out: &mut String, tag: &str, text: &str) {
    out.extend(["<", tag, ">"]);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out.extend(["</", tag, ">"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_types_is_text_and_never_part_of_the_page() {
        let text = "a: <img src=x onerror=alert(1)> # </pre><script>&amp;\n<b>\nseed: 7\n";
        let html = coloured(&Document::new(text), &Catalogue::default(), &[2]);
        assert!(!html.contains("<img") && !html.contains("<script") && !html.contains("</pre"), "{html}");
        assert!(html.contains("<em>seed</em><span>: </span><b>7</b>") && html.contains("<span class=bad><span>&lt;b&gt;</span>"), "{html}");
    }

    #[test]
    fn a_key_of_the_platforms_is_locked_and_says_why() {
        let catalogue = domain::settings::catalogue();
        let html = coloured(&Document::new("output_dir: /mnt/out\nseed: 7\n"), catalogue, &[1]);
        let why = catalogue.entry("output_dir").unwrap().platform.as_ref().unwrap();
        assert!(html.starts_with("<span class=\"bad locked\"><u>output_dir</u>") && html.contains(&format!("Platform: {why}")), "{html}");
        assert_eq!(html.matches("locked").count(), 1, "{html}");
    }
}
