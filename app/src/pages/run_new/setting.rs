//! The control of one setting, as the catalogue describes it: a choice or a line to type in.

use super::Typed;
use domain::settings::{Entry, Kind};
use leptos::prelude::*;

/// `slim` = in a table, where the row says what it is; there every setting may also be left at its default.
#[component]
pub(super) fn Control(typed: Typed, entry: Entry, #[prop(optional)] slim: bool) -> impl IntoView {
    let key = StoredValue::new(entry.key.clone());
    let start = untrack(|| typed.get(&entry.key));
    let value = move || key.with_value(|k| typed.get(k));
    let invalid = move || key.with_value(|k| typed.is_wrong(k)).then_some("true");
    let (id, name, says) = (entry.key.clone(), format!("form[{}]", entry.key), format!("{}-says", entry.key));
    let label = slim.then(|| entry.key.clone());
    let unset = format!("{} (default)", entry.default_shown());
    match entry.kind {
        Kind::Bool | Kind::Choice => {
            let mut options: Vec<(String, String)> =
                entry.choices.into_iter().map(|c| (c.value, if slim { String::new() } else { c.label })).collect();
            if entry.kind == Kind::Bool {
                options = ["true", "false"].map(|word| (word.to_owned(), word.to_owned())).into();
            }
            if slim || start.is_empty() {
                options.insert(0, (String::new(), unset));
            }
            if !start.is_empty() && !options.iter().any(|(value, _)| *value == start) {
                options.push((start.clone(), start.clone()));
            }
            view! {
                <select id=id name=name class:mono=slim prop:value=value aria-label=label aria-describedby=says aria-invalid=invalid
                    on:input:target=move |e| key.with_value(|k| typed.choose(k, e.target().value()))>
                    {options.into_iter().map(|(value, label)| {
                        let (on, label) = (value == start, if label.is_empty() { value.clone() } else { label });
                        view! { <option value=value selected=on>{label}</option> }
                    }).collect_view()}
                </select>
            }
            .into_any()
        }
        kind => {
            let number = matches!(kind, Kind::Int | Kind::Float);
            view! {
                <input id=id name=name value=start prop:value=value placeholder=unset class:mono=slim || !number inputmode=number.then_some("decimal") autocomplete="off"
                    aria-label=label aria-describedby=says aria-invalid=invalid
                    on:input:target=move |e| key.with_value(|k| typed.set(k, e.target().value()))/>
                {(!entry.unit.is_empty()).then(|| view! { <span class="unit">{entry.unit}</span> })}
            }
            .into_any()
        }
    }
}
