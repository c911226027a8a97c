//! The settings as a text. The field is always part of the form, so that every view sends the whole text; only one view shows it.

use super::{Typed, View};
use leptos::{html, prelude::*};

#[component]
pub(super) fn Editor(typed: Typed, view: RwSignal<View>) -> impl IntoView {
    let start = typed.form.with_untracked(|f| f.document().text());
    let text = move || typed.form.with(|f| f.yaml.clone());
    let area = NodeRef::<html::Textarea>::new();
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
    view! {
        <section class="section settings-text" aria-labelledby="ya" hidden=move || view.get() != View::Yaml>
            <header><h2 id="ya">"Settings as YAML"</h2><p>"The same settings; a change here changes the form, and the other way."</p></header>
            <div class="yaml edit">
                <ol aria-hidden="true">{move || bad.with(|bad| (1..=rows()).map(|n| view! { <li class:bad=bad.contains(&n)><span>{n}</span></li> }).collect_view())}</ol>
                <textarea id="yaml" name="form[yaml]" node_ref=area rows=rows spellcheck="false" autocomplete="off" wrap="off" aria-labelledby="ya" aria-describedby="yaml-says"
                    prop:value=text on:input:target=move |e| typed.set("yaml", e.target().value())>{start}</textarea>
            </div>
            <p class="small muted" id="yaml-says">"Comments and order are kept when a field is changed in the form. A setting that is not here has the trainer’s default."</p>
        </section>
    }
}
