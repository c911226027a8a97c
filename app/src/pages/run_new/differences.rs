//! What a copy changes: its settings beside those of the run that it was copied from.

use super::Typed;
use crate::ui::Sheet;
use leptos::prelude::*;

#[component]
pub(super) fn Differences(typed: Typed) -> impl IntoView {
    let Some((name, old)) = typed.parent.get_value() else { return ().into_any() };
    let old = StoredValue::new(old);
    let differences = Memo::new(move |_| old.with_value(|old| typed.settings(|s| typed.catalogue.with(|c| c.differences(old, s)))));
    let of = StoredValue::new(name.clone());
    // The text of the old value; empty takes the setting out, as the old run did not have it.
    let back = move |key: &str| old.with_value(|old| old.get(key).map(ToString::to_string));
    view! {
        <section class="section" aria-labelledby="df">
            <header><h2 id="df">"Differences"</h2><p>{move || match differences.with(Vec::len) {
                0 => format!("No setting differs from {}.", of.get_value()),
                1 => format!("1 setting differs from {}.", of.get_value()),
                n => format!("{n} settings differ from {}.", of.get_value()),
            }}</p></header>
            {move || Some(differences.get()).filter(|all| !all.is_empty()).map(|all| view! {
                <Sheet label=format!("differences to {}", of.get_value())>
                    <table class="table fold diffs">
                        <thead><tr><th scope="col">"Key"</th><th scope="col">{of.get_value()}</th><th scope="col">"This run"</th><th scope="col">"Meaning"</th><th scope="col"><span class="sr">"Use the old value"</span></th></tr></thead>
                        <tbody>{all.into_iter().map(|d| {
                            let (key, what) = (d.key.clone(), format!("Use the old value of {}", d.key));
                            view! {
                                <tr>
                                    <th scope="row" class="mono">{d.key}</th>
                                    <td class="mono" data-label=of.get_value()>{d.left}</td>
                                    <td class="mono" data-label="this run"><b>{d.right}</b></td>
                                    <td class="wrap">{d.words}</td>
                                    <td class="num"><button type="button" class="btn sm quiet scripted" aria-label=what on:click=move |_| match back(&key) {
                                        Some(value) => typed.set(&key, value),
                                        None => typed.reset(&key),
                                    }>"Use old value"</button></td>
                                </tr>
                            }
                        }).collect_view()}</tbody>
                    </table>
                </Sheet>
            })}
        </section>
    }
    .into_any()
}
