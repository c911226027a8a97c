//! Every setting of the trainer: what it is now, its default, who owns it and why. Searched by name, plain words and the trainer's help.

use super::{Typed, setting::Control, views::remember};
use crate::{
    api::AppError,
    ui::{Icon, Load, Sheet, form::FieldNote, use_query},
};
use domain::settings::{Catalogue, Entry, Group};
use leptos::prelude::*;

/// The whole catalogue, once a view wants it.
pub(super) type Whole = Resource<Result<Option<Catalogue>, AppError>>;

/// Lets the page judge every key, without showing them.
#[component]
pub(super) fn Known(typed: Typed, whole: Whole) -> impl IntoView {
    view! { <Load resource=whole let:catalogue>{catalogue.map(|c| take(typed, c))}</Load> }
}

fn take(typed: Typed, catalogue: Catalogue) {
    let catalogue = StoredValue::new(catalogue);
    Effect::new(move |_| {
        if !typed.catalogue.with_untracked(|c| c.whole) {
            typed.catalogue.set(catalogue.get_value());
        }
    });
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    All,
    Differ,
    Locked,
}

impl Show {
    const fn word(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Differ => "differ",
            Self::Locked => "locked",
        }
    }
    fn of(word: &str) -> Self {
        [Self::Differ, Self::Locked].into_iter().find(|s| s.word() == word).unwrap_or(Self::All)
    }
}

/// `to` is the address of the form, for the buttons without scripts.
#[component]
pub(super) fn All(typed: Typed, whole: Whole, to: String) -> impl IntoView {
    let find = RwSignal::new(use_query("find").get_untracked());
    let show = RwSignal::new(Show::of(&use_query("show").get_untracked()));
    view! {
        <Load resource=whole let:catalogue>
            {catalogue.map(|c| { take(typed, c.clone()); view! { <List typed catalogue=c find show to=to.clone()/> } })}
        </Load>
    }
}

#[component]
fn List(typed: Typed, catalogue: Catalogue, find: RwSignal<String>, show: RwSignal<Show>, to: String) -> impl IntoView {
    let Catalogue { trainer, groups, entries, .. } = catalogue;
    let all = entries.len();
    let locked = entries.iter().filter(|e| !e.is_persons()).count();
    let by_platform = entries.iter().filter(|e| e.value.is_some() && e.value != e.default).count();
    let stored = StoredValue::new(entries.clone());
    // By the place of the entry.
    let changed = Memo::new(move |_| stored.with_value(|all| all.iter().map(|e| e.is_persons() && typed.differs(e)).collect::<Vec<_>>()));
    let found = Memo::new(move |_| {
        let text = find.get().to_lowercase();
        let wanted = |e: &Entry, changed: bool| match show.get() {
            Show::All => true,
            Show::Differ => changed,
            Show::Locked => !e.is_persons(),
        };
        changed.with(|changed| {
            stored.with_value(|all| all.iter().zip(changed).map(|(e, c)| wanted(e, *c) && e.is_about(&text)).collect::<Vec<_>>())
        })
    });
    let hits = move || found.with(|f| f.iter().filter(|f| **f).count());
    let by_person = move || changed.with(|c| c.iter().filter(|c| **c).count());
    let narrowed = Signal::derive(move || show.get() != Show::All || !find.with(String::is_empty));
    let numbered: Vec<(usize, Entry)> = entries.into_iter().enumerate().collect();
    let of_group = move |g: &Group| numbered.iter().filter(|(_, e)| e.group == g.id).cloned().collect::<Vec<_>>();
    let sections: Vec<(Group, Vec<(usize, Entry)>)> = groups.into_iter().map(|g| (g.clone(), of_group(&g))).collect();
    let nav = sections
        .iter()
        .map(|(g, of)| {
            let (places, total) = (of.iter().map(|(i, _)| *i).collect::<Vec<_>>(), of.len());
            let count = move || changed.with(|c| places.iter().filter(|i| c[**i]).count());
            let said = move || match count() {
                0 => total.to_string(),
                n => format!("{n} of {total}"),
            };
            view! { <li><a href=format!("#group-{}", g.id) rel="external">{g.label.clone()}<span>{said}</span></a></li> }
        })
        .collect_view();
    let seg = move |is: Show, label: Signal<String>| {
        view! {
            <button type="submit" formmethod="get" formaction=to.clone() formnovalidate=true name="show" value=is.word() aria-pressed=move || (show.get() == is).to_string()
                on:click=move |e| { e.prevent_default(); show.set(is); remember("show", is.word()); }>{label}</button>
        }
    };
    let seg = (
        seg.clone()(Show::All, Signal::derive(move || format!("All {all}"))),
        seg.clone()(Show::Differ, Signal::derive(move || format!("Differ {}", by_person()))),
        seg(Show::Locked, Signal::derive(move || format!("Locked {locked}"))),
    );
    view! {
        <dl class="facts">
            <div><dt>"Settings"</dt><dd>{all}" "<small>{trainer}</small></dd></div>
            <div><dt>"Differ from default"</dt><dd>{move || by_person() + by_platform}" "<small>{move || format!("{} by you, {by_platform} by the platform", by_person())}</small></dd></div>
            <div><dt>"Locked"</dt><dd>{locked}" "<small>"each with its reason"</small></dd></div>
        </dl>
        <section class="section" aria-labelledby="al">
            <h2 id="al" class="sr">"All settings"</h2>
            <div class="cols cols-keys">
                <nav class="keynav" aria-label="Groups of settings"><ul>{nav}</ul></nav>
                <div>
                    <div class="filterbar">
                        <label class="control"><Icon name="search"/><input type="search" name="find" placeholder="Name or words: memory, faster" aria-label=format!("Search {all} settings")
                            value=find.get_untracked() prop:value=move || find.get() on:input:target=move |e| find.set(e.target().value())
                            on:keydown=move |e| if e.key() == "Enter" { e.prevent_default() }/></label>
                        <span class="seg" role="group" aria-label="Show">{seg}</span>
                        <span class="small muted" role="status">{move || narrowed.get().then(|| format!("{} of {all} settings", hits()))}</span>
                    </div>
                    {sections.into_iter().map(|(group, of)| view! { <Section typed group of changed found narrowed/> }).collect_view()}
                </div>
            </div>
        </section>
    }
}

#[component]
fn Section(
    typed: Typed,
    group: Group,
    of: Vec<(usize, Entry)>,
    changed: Memo<Vec<bool>>,
    found: Memo<Vec<bool>>,
    narrowed: Signal<bool>,
) -> impl IntoView {
    let places = StoredValue::new(of.iter().map(|(i, _)| *i).collect::<Vec<_>>());
    let total = of.len();
    let of_mine = move || places.with_value(|p| changed.with(|c| p.iter().filter(|i| c[**i]).count()));
    let none = move || places.with_value(|p| found.with(|f| !p.iter().any(|i| f[*i])));
    let (ours, platforms): (Vec<_>, Vec<_>) = of.into_iter().partition(|(_, e)| e.is_persons());
    let locked = platforms.len();
    let locked_places = StoredValue::new(platforms.iter().map(|(i, _)| *i).collect::<Vec<_>>());
    let none_locked = move || locked_places.with_value(|p| found.with(|f| !p.iter().any(|i| f[*i])));
    let rows = move |of: Vec<(usize, Entry)>| of.into_iter().map(|(i, entry)| view! { <Row typed entry i changed found/> }).collect_view();
    let (first, rest) = (rows(ours), rows(platforms));
    view! {
        <details class="keygroup" id=format!("group-{}", group.id) open hidden=none>
            <summary><h3>{group.label.clone()}</h3><span>{move || format!("{total} settings, {} changed by you", of_mine())}</span></summary>
            <Table label=group.label.clone()>{first}</Table>
            <details class="as-table more-keys" prop:open=move || narrowed.get() hidden=none_locked>
                <summary>{format!("{locked} set by the platform")}</summary>
                <Table label=format!("{}, set by the platform", group.label)>{rest}</Table>
            </details>
        </details>
    }
}

#[component]
fn Table(label: String, children: Children) -> impl IntoView {
    view! {
        <Sheet label>
            <table class="table fold allkeys">
                <colgroup><col/><col/><col/><col/><col/></colgroup>
                <thead><tr><th scope="col">"Key"</th><th scope="col">"Value"</th><th scope="col">"Default, type"</th><th scope="col">"Owner"</th><th scope="col"><span class="sr">"Reset"</span></th></tr></thead>
                <tbody>{children()}</tbody>
            </table>
        </Sheet>
    }
}

#[component]
fn Row(typed: Typed, entry: Entry, i: usize, changed: Memo<Vec<bool>>, found: Memo<Vec<bool>>) -> impl IntoView {
    // Long keys break between their words.
    let name = entry.key.split_inclusive('_').map(|part| view! { {part.to_owned()}<wbr/> }).collect_view();
    let words =
        if entry.words.is_empty() { entry.help.split_inclusive(". ").next().unwrap_or_default().to_owned() } else { entry.words.clone() };
    let (default, kind, help) = (entry.default_shown(), entry.kind.word(), entry.help.clone());
    let owner = match &entry.platform {
        None => view! { "You" }.into_any(),
        Some(reason) => view! { "Platform"<small>{reason.clone()}</small> }.into_any(),
    };
    let (value, reset) = match &entry.platform {
        Some(_) => {
            let fixed = entry.value.as_ref().map_or_else(|| "set at the start".to_owned(), ToString::to_string);
            (
                view! { <span class="control slim readonly"><span class="mono">{fixed}</span><Icon name="lock"/></span> }.into_any(),
                ().into_any(),
            )
        }
        None => {
            let (wrong, said, set) = (entry.key.clone(), entry.key.clone(), entry.key.clone());
            let (key, what) = (entry.key.clone(), format!("Reset {}", entry.key));
            let problem = move || typed.problems.with(|all| all.iter().find(|p| p.field == said).cloned());
            let says = format!("{}-says", entry.key);
            (
                view! {
                    <span class="control slim" class:invalid=move || typed.is_wrong(&wrong)><Control typed entry slim=true/></span>
                    <span class="says" id=says>{move || problem().map(|problem| { let name = problem.field.clone(); view! { <FieldNote name problem/> } })}</span>
                }
                .into_any(),
                view! {
                    {move || { let key = key.clone(); (!typed.get(&set).is_empty()).then(|| view! { <button type="button" class="btn sm quiet scripted" aria-label=what.clone() on:click=move |_| typed.reset(&key)>"Reset"</button> }) }}
                }
                .into_any(),
            )
        }
    };
    view! {
        <tr class:changed=move || changed.with(|c| c[i]) hidden=move || !found.with(|f| f[i])>
            <th scope="row" title=help>{name}<small>{words}</small></th>
            <td class="val">{value}</td>
            <td class="def"><span class="mono">{default}</span><small>{kind}</small></td>
            <td class="wrap">{owner}</td>
            <td class="num">{reset}</td>
        </tr>
    }
}
