//! The card editor: what people write, what records say, and what to do when two people wrote at once.

use super::model::Provenance;
use crate::{
    api::models::{CardEdit as Save, CardPage, card_get},
    links,
    ui::{
        Chip, Crumb, Draft as Kept, Icon, Load, Off, Place, ProblemSummary, Stay, TenantPage,
        form::{answered, error_of},
        on_change, use_param, use_query, use_tenant,
    },
};
use domain::card::{FIELDS, Field, Origin};
use leptos::prelude::*;
use leptos_meta::Title;
use std::collections::BTreeMap;

/// What was typed and not yet saved, by field.
#[derive(Clone, Debug, Default)]
struct Typed {
    text: String,
    /// The saved value on which the person began to write; another one now means a conflict.
    seen: String,
}

/// Lives as long as the page: what is drawn from the saved card comes and goes with every look at the server.
#[derive(Clone, Copy)]
struct Draft {
    typed: RwSignal<BTreeMap<String, Typed>>,
    /// The saved values as they are now, by field.
    saved: RwSignal<BTreeMap<String, String>>,
}

impl Draft {
    fn text(self, field: &Field) -> String {
        self.typed.with(|all| all.get(&field.key).map_or_else(|| field.value.clone(), |t| t.text.clone()))
    }
    fn write(self, field: &Field, text: String) {
        self.typed.update(|all| {
            all.entry(field.key.clone()).or_insert_with(|| Typed { text: String::new(), seen: field.value.clone() }).text = text;
        });
    }
    fn settle(self, field: &Field, text: String) {
        self.typed.update(|all| {
            all.insert(field.key.clone(), Typed { text, seen: field.value.clone() });
        });
    }
    fn drop(self, key: &str) {
        self.typed.update(|all| {
            all.remove(key);
        });
    }
    fn conflicts(self, field: &Field) -> bool {
        self.typed.with(|all| all.get(&field.key).is_some_and(|t| t.is_against(&field.value)))
    }
    fn count(self, which: fn(&Typed, &str) -> bool) -> usize {
        self.saved
            .with(|saved| self.typed.with(|all| all.iter().filter(|(key, t)| saved.get(*key).is_some_and(|now| which(t, now))).count()))
    }
}

impl Typed {
    fn is_against(&self, saved: &str) -> bool {
        self.seen != saved && self.text != saved
    }
    fn is_new(&self, saved: &str) -> bool {
        self.text.trim() != saved.trim()
    }
}

#[component]
pub fn CardEdit() -> impl IntoView {
    let (tenant, name, number) = (use_tenant(), use_param("name"), use_query("v"));
    let page = Resource::new(
        move || (tenant.get(), name.get(), number.get().parse().unwrap_or(0)),
        |(tenant, name, number)| card_get(tenant, name, number),
    );
    let save = ServerAction::<Save>::new();
    let stay = Stay::new();
    let draft = Draft { typed: RwSignal::new(BTreeMap::new()), saved: RwSignal::new(BTreeMap::new()) };
    let version = move || page.get().and_then(Result::ok).map(|p| p.version);
    on_change(tenant, "", move || page.refetch());
    Effect::new(move |_| {
        if let Some(Ok(page)) = page.get() {
            draft.saved.set(page.version.card.fields.into_iter().map(|f| (f.key, f.value)).collect());
        }
    });
    // A refused save means that the card moved on: ask for what is there now, what was typed stays.
    Effect::new(move |_| {
        if save.value().with(|v| matches!(v, Some(Err(_)))) {
            page.refetch();
        }
    });
    let crumbs = Signal::derive(move || {
        let model = links::model_version(&tenant.get(), &name.get(), version().map_or(0, |v| v.number));
        vec![Crumb::to("Models", links::models(&tenant.get())), Crumb::to(name.get(), model), Crumb::here("Card")]
    });
    view! {
        <Title text=move || format!("Card of {}", name.get())/>
        <TenantPage place=Place::Models crumbs>
            <Load resource=page let:page>
                <Editor page save draft stay=stay.clone()/>
            </Load>
        </TenantPage>
    }
}

#[component]
fn Editor(page: CardPage, save: ServerAction<Save>, draft: Draft, stay: Stay) -> impl IntoView {
    let v = page.version;
    let people = |f: &&Field| FIELDS.iter().any(|(key, _, people)| *key == f.key && *people);
    let (written, recorded): (Vec<Field>, Vec<Field>) = v.card.fields.iter().cloned().partition(|f| people(&f));
    let changes = move || draft.count(Typed::is_new);
    let conflicts = move || draft.count(Typed::is_against);
    let back = links::model_version(&v.tenant, &v.model_name, v.number);
    let refused = page.edit_refused.clone();
    let locked = refused.is_some();
    // Nothing is sent while two texts stand against each other.
    let hold = move |ev: leptos::ev::SubmitEvent| {
        if conflicts() > 0 {
            ev.prevent_default();
        }
    };
    view! {
        <ActionForm action=save attr:id="card-form" on:submit:capture=hold>
            <input type="hidden" name="tenant" value=v.tenant.to_string()/><input type="hidden" name="name" value=v.model_name.to_string()/>
            <input type="hidden" name="number" value=v.number/><input type="hidden" name="revision" value=v.card.revision prop:value=v.card.revision.to_string()/>
            <header class="head">
                <div>
                    <div class="row"><h1>{format!("Card of {} v{}", v.model_name, v.number)}</h1><Chip status=v.stage/></div>
                    <p>"Fields from records are filled in automatically. You write the rest."</p>
                </div>
                <div class="row">
                    <a class="btn quiet" href=back>"Discard changes"</a>
                    {match refused {
                        Some(why) => view! { <Off class="primary" label="Save" why/> }.into_any(),
                        None => view! {
                            <button type="submit" class="btn primary" aria-disabled=move || (conflicts() > 0).then_some("true") title=move || (conflicts() > 0).then_some("Resolve the conflict first")>
                                {move || match changes() { 0 => "Save".to_owned(), 1 => "Save 1 change".to_owned(), n => format!("Save {n} changes") }}
                            </button>
                        }.into_any(),
                    }}
                </div>
            </header>
            <ProblemSummary error=error_of(save)/>
            {
                let of = format!("card {}/{}@{}", v.tenant, v.model_name, v.number);
                stay.draw(of.clone(), move || view! { <Kept form="card-form" of=of.clone() answered=answered(save)/> })
            }
            <div class="cols cols-half">
                <section aria-labelledby="fields">
                    <div class="row between h"><h2 id="fields">"Fields"</h2><span class="small subtle">{format!("revision {}", v.card.revision)}</span></div>
                    <div class="edit-card">
                        {written.into_iter().enumerate().map(|(i, field)| view! { <Written i field draft locked/> }).collect_view()}
                        {recorded.into_iter().map(|field| view! {
                            <div><header><b>{field.label.clone()}</b><Provenance field=field.clone()/></header>
                                <span class="fact"><span>{if field.value.is_empty() { "Nothing recorded".to_owned() } else { field.value }}</span><span class="subtle small"><Icon name="lock" inline=true/>" recorded"</span></span></div>
                        }).collect_view()}
                    </div>
                </section>
                <section aria-labelledby="reads">
                    <div class="row between h"><h2 id="reads">"Saved card"</h2><a class="small" href=links::card_markdown(&v.tenant, &v.model_name, v.number) rel="external">"Markdown file"</a></div>
                    <article class="box paper"><div class="pad" tabindex="0" role="region" aria-label="The saved card as Markdown"><pre class="code front markdown">{page.markdown}</pre></div></article>
                </section>
            </div>
        </ActionForm>
    }
}

/// A field that people write.
#[component]
fn Written(i: usize, field: Field, draft: Draft, locked: bool) -> impl IntoView {
    let key = field.key.clone();
    // No memo here: it would end before what is drawn from it, when the page looks again while somebody types.
    let (marked, both) = (field.clone(), field.clone());
    let text = {
        let f = field.clone();
        move || draft.text(&f)
    };
    let typed = field.clone();
    let name = format!("fields[{i}][value]");
    let rows = if field.value.len() > 160 { 5 } else { 2 };
    let write = move |to: String| draft.write(&typed, to);
    let control = match (field.key.as_str(), field.value.clone()) {
        ("licence" | "languages" | "contact", value) => view! {
            <span class="control" class:readonly=locked><input id=field.key.clone() name=name readonly=locked value=value prop:value=text on:input:target=move |ev| write(ev.target().value())/></span>
        }
        .into_any(),
        (_, value) => view! {
            <span class="control tall" class:readonly=locked><textarea id=field.key.clone() name=name rows=rows readonly=locked prop:value=text on:input:target=move |ev| write(ev.target().value())>{value}</textarea></span>
        }
        .into_any(),
    };
    let missing = field.origin == Origin::Missing;
    view! {
        <div class:conflict=move || draft.conflicts(&marked)>
            <header><label for=key.clone()>{field.label.clone()}</label><Provenance field=field.clone()/></header>
            {move || draft.conflicts(&both).then(|| view! { <Conflict field=both.clone() draft/> })}
            <input type="hidden" name=format!("fields[{i}][key]") value=key.clone()/>
            <input type="hidden" name=format!("fields[{i}][was]") value=field.value.clone() prop:value=field.value.clone()/>
            {control}
            {missing.then(|| view! { <span class="help">"Not filled in yet."</span> })}
        </div>
    }
}

/// Somebody saved the same field meanwhile: both texts, and what can be done.
#[component]
fn Conflict(field: Field, draft: Draft) -> impl IntoView {
    let who = match &field.origin {
        Origin::Person { name, .. } => name.clone(),
        _ => "Somebody".into(),
    };
    let mine = untrack(|| draft.text(&field));
    let (theirs, key) = (field.value.clone(), field.key.clone());
    let (keep, join) = (field.clone(), field.clone());
    let (my, my_too) = (mine.clone(), mine.clone());
    view! {
        <div class="stack gap-sm" role="group" aria-label="Conflict">
            <b class="fg-warning"><Icon name="degraded" inline=true/>" "{format!("{who} changed this field while you were editing")}</b>
            <div class="both"><div><b>{format!("{who}, saved")}</b><p>{theirs.clone()}</p></div><div><b>"You, unsaved"</b><p>{mine}</p></div></div>
            <div class="row row-tight">
                <button type="button" class="btn sm" on:click=move |_| draft.settle(&join, format!("{theirs}\n{my}"))>"Combine both"</button>
                <button type="button" class="btn sm" on:click=move |_| draft.drop(&key)>"Use theirs"</button>
                <button type="button" class="btn sm" on:click=move |_| draft.settle(&keep, my_too.clone())>"Use mine"</button>
            </div>
        </div>
    }
}
