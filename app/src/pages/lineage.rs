//! The whole lineage: as a graph, and the same as a list that is read from data to callers or back.

use crate::{
    api::lineage::{Lineage as Graph, Node, lineage_get},
    links,
    ui::{Crumb, Empty, Load, Place, TenantPage, on_change, use_query, use_tenant},
};
use domain::lineage::Link;
use leptos::prelude::*;
use leptos_meta::Title;
use std::collections::{HashMap, HashSet};

/// The columns from left to right, with where they begin in percent.
const COLUMNS: [(Link, &str, f64); 5] = [
    (Link::Dataset, "Dataset versions", 0.0),
    (Link::Run, "Runs", 21.1),
    (Link::Model, "Model versions", 42.2),
    (Link::Endpoint, "Endpoints", 63.3),
    (Link::Keys, "Keys", 84.5),
];
const WIDE: f64 = 15.5;
/// A column with more than this is only shown as a list.
const TALLEST: usize = 40;
/// Branches of one thing that the list shows before it points to the rest: a key is below every endpoint that it may call.
const FOLD: usize = 12;

#[component]
pub fn Lineage() -> impl IntoView {
    let (tenant, way, of) = (use_tenant(), use_query("way"), use_query("of"));
    let graph = Resource::new(move || tenant.get(), lineage_get);
    on_change(tenant, "", move || graph.refetch());
    view! {
        <Title text="Lineage"/>
        <TenantPage place=Place::Lineage crumbs=vec![Crumb::here("Lineage")]>
            <Load resource=graph let:graph>
                <header class="head"><div><h1>"Lineage"</h1><p>"From dataset versions to the keys that call the models made from them."</p></div></header>
                {if graph.nodes.is_empty() {
                    view! { <Empty title="Nothing here yet"><p>"Upload a dataset and start a run to see its lineage."</p>
                        <div class="row"><a class="btn primary" href=links::dataset_new(&tenant.get_untracked(), "")>"Upload a dataset"</a></div></Empty> }.into_any()
                } else {
                    let graph = graph.clone();
                    (move || view! {
                        {graph.more.then(|| view! { <p class="small muted">"The newest of each kind are shown. Older ones are in the lists; each page shows its own lineage at the top."</p> })}
                        <Ways tenant way=way.get() of=of.get() graph=graph.clone()/>
                        {drawing(&graph, &of.get())}
                        <List tenant graph=graph.clone() back=*way.read() == "origins" of=of.get()/>
                    }).into_any()
                }}
            </Load>
        </TenantPage>
    }
}

#[component]
fn Ways(tenant: Signal<String>, way: String, of: String, graph: Graph) -> impl IntoView {
    let to = |way: &str, of: &str| links::with(links::lineage(&tenant.get_untracked()), &[("way", way), ("of", of)]);
    let back = way == "origins";
    view! {
        <div class="filterbar">
            <nav class="seg" aria-label="Direction of the list">
                <a href=to("", &of) aria-current=(!back).then_some("true")>"Effects"</a>
                <a href=to("origins", &of) aria-current=back.then_some("true")>"Origins"</a>
            </nav>
            {graph.get(&of).map(|n| view! { <span class="small muted">{format!("only what belongs to {}", n.title)}</span><a class="btn sm" href=to(&way, "")>"Show everything"</a> })}
        </div>
    }
}

/// Everything that `id` came from and led to, itself included.
fn family(graph: &Graph, id: &str) -> HashSet<String> {
    let mut known = HashSet::from([id.to_owned()]);
    for forward in [true, false] {
        let mut next = vec![id.to_owned()];
        while let Some(id) = next.pop() {
            let near: Vec<String> = match (forward, graph.get(&id)) {
                (true, _) => graph.after(&id).map(|n| n.id.clone()).collect(),
                (false, Some(node)) => graph.before(node).map(|n| n.id.clone()).collect(),
                (false, None) => Vec::new(),
            };
            next.extend(near.into_iter().filter(|n| known.insert(n.clone())));
        }
    }
    known
}

/// Where each node stands, in percent from the top; a node stands near what it was made from, so that lines seldom cross.
fn heights(graph: &Graph) -> HashMap<String, f64> {
    let mut at: HashMap<String, f64> = HashMap::new();
    for (link, ..) in COLUMNS {
        let mut column: Vec<(&Node, f64)> = graph
            .column(link)
            .map(|n| {
                let parents: Vec<f64> = n.from.iter().filter_map(|id| at.get(id)).copied().collect();
                (n, if parents.is_empty() { 100.0 } else { parents.iter().sum::<f64>() / parents.len() as f64 })
            })
            .collect();
        column.sort_by(|a, b| a.1.total_cmp(&b.1));
        let slot = 100.0 / column.len().max(1) as f64;
        for (i, (node, _)) in column.iter().enumerate() {
            at.insert(node.id.clone(), (i as f64 + 0.5) * slot);
        }
    }
    at
}

fn drawing(graph: &Graph, of: &str) -> AnyView {
    let rows = COLUMNS.iter().map(|(link, ..)| graph.column(*link).count()).max().unwrap_or(0);
    if rows > TALLEST {
        return view! { <p class="muted">{format!("A column has {rows} items, too many to draw. The list below shows the first branches of each; “only this” shows one item and everything related to it.")}</p> }.into_any();
    }
    let at = heights(graph);
    let lit = graph.get(of).map(|_| family(graph, of));
    let left = |link: Link| COLUMNS.iter().find(|(l, ..)| *l == link).map_or(0.0, |c| c.2);
    let is_lit = |id: &str| lit.as_ref().is_some_and(|l| l.contains(id));
    let edges = graph.nodes.iter().flat_map(|n| n.from.iter().map(move |from| (n, from))).filter_map(|(n, from)| {
        let before = graph.get(from)?;
        let (x1, y1, x2, y2) = (left(before.link) + WIDE, at.get(from)?, left(n.link), at.get(&n.id)?);
        let middle = (x1 + x2) / 2.0;
        Some((format!("M{x1:.1} {y1:.2}C{middle:.1} {y1:.2} {middle:.1} {y2:.2} {x2:.1} {y2:.2}"), is_lit(from) && is_lit(&n.id)))
    });
    let nodes = graph.nodes.iter().map(|n| {
        let style = format!("left:{}%;top:{:.2}%", left(n.link), at.get(&n.id).copied().unwrap_or(50.0));
        let class = if is_lit(&n.id) { "lit" } else { "" };
        view! { <a href=n.href.clone() class=class style=style><b>{n.title.clone()}</b><small>{n.note.clone()}</small></a> }
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Lineage as a graph; the same content stands below as a list">
            <div class="graph-head" aria-hidden="true">{COLUMNS.map(|(_, label, _)| view! { <span>{label}</span> })}</div>
            <div class="graph" style=format!("height:{:.1}rem", rows.max(2) as f64 * 4.0)>
                <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{edges.map(|(d, lit)| view! { <path d=d class=if lit { "lit" } else { "" }></path> }).collect_view()}</svg>
                {nodes.collect_view()}
            </div>
        </div>
    }
    .into_any()
}

/// For the keyboard, for reading aloud, for phones. `back` = from callers to data.
#[component]
fn List(tenant: Signal<String>, graph: Graph, back: bool, of: String) -> impl IntoView {
    let only = graph.get(&of).map(|_| family(&graph, &of));
    let graph = match only {
        Some(ids) => Graph { nodes: graph.nodes.into_iter().filter(|n| ids.contains(&n.id)).collect(), more: graph.more },
        None => graph,
    };
    let starts = |n: &&Node| if back { graph.after(&n.id).next().is_none() } else { graph.before(n).next().is_none() };
    let t = tenant.get_untracked();
    let roots: Vec<Node> = graph.nodes.iter().filter(starts).cloned().collect();
    view! {
        <section class="section" aria-labelledby="list">
            <header><h2 id="list">"As a list"</h2><p>{if back { "what each item was made from" } else { "what was made from each item" }}</p></header>
            <ul class="tree">{roots.iter().take(TALLEST).map(|n| branch(&graph, n, back, &t, &of)).collect_view()}</ul>
            {(roots.len() > TALLEST).then(|| view! {
                <details>
                    <summary>{format!("{} more", roots.len() - TALLEST)}</summary>
                    <ul class="tree">{roots.iter().skip(TALLEST).map(|n| branch(&graph, n, back, &t, &of)).collect_view()}</ul>
                </details>
            })}
        </section>
    }
}

/// A thing and what comes after it. Of many branches only the first are shown, unless the page was asked for this thing alone.
fn branch(graph: &Graph, node: &Node, back: bool, tenant: &str, of: &str) -> AnyView {
    let next: Vec<&Node> = if back { graph.before(node).collect() } else { graph.after(&node.id).collect() };
    let only = links::with(links::lineage(&tenant), &[("way", if back { "origins" } else { "" }), ("of", &node.id)]);
    let shown = if node.id == of || next.len() <= FOLD { next.len() } else { FOLD };
    let more = (next.len() > shown)
        .then(|| view! { <li><a href=only.clone()>{format!("and {} more of {}", next.len() - shown, node.title)}</a></li> });
    let inside = (!next.is_empty()).then(|| {
        view! { <ul>{next.iter().take(shown).map(|n| branch(graph, n, back, tenant, of)).collect_view()}{more}</ul> }
    });
    view! {
        <li><a href=node.href.clone()>{node.title.clone()}</a><small>{format!("{}, {}", kind(node.link), node.note)}</small>" "<a class="only" href=only>"only this"<span class="sr">": "{node.title.clone()}</span></a>{inside}</li>
    }
    .into_any()
}

const fn kind(link: Link) -> &'static str {
    match link {
        Link::Dataset => "dataset",
        Link::Run => "run",
        Link::Model => "model",
        Link::Endpoint => "endpoint",
        Link::Keys => "key",
        Link::Usage => "usage",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, link: Link, from: &[&str]) -> Node {
        Node {
            id: id.into(),
            link,
            title: id.into(),
            note: String::new(),
            href: String::new(),
            from: from.iter().map(|s| (*s).to_owned()).collect(),
        }
    }

    fn graph() -> Graph {
        Graph {
            more: false,
            nodes: vec![
                node("d1", Link::Dataset, &[]),
                node("d2", Link::Dataset, &[]),
                node("r1", Link::Run, &["d1"]),
                node("r2", Link::Run, &["d2"]),
                node("m2", Link::Model, &["r2"]),
                node("e", Link::Endpoint, &["m2"]),
            ],
        }
    }

    #[test]
    fn a_family_reaches_both_ways_and_leaves_strangers_out() {
        let mut ids: Vec<_> = family(&graph(), "m2").into_iter().collect();
        ids.sort();
        assert_eq!(ids, ["d2", "e", "m2", "r2"]);
    }

    #[test]
    fn a_node_stands_in_the_order_of_what_it_was_made_from() {
        let at = heights(&graph());
        assert!(at["r1"] < at["r2"]);
    }
}
