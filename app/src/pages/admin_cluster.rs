//! The cluster as the platform's admin sees it: machines and who has their GPUs, quotas against use, what waits and why.

use crate::{
    api::cluster::{ClusterPage, cluster_get},
    links,
    ui::{
        AdminPage, Crumb, Empty, Load, Order, Paging, Place, Sheet, StateWord, Status, bytes,
        number::{percent, some},
        use_query,
    },
};
use domain::{
    cluster::{Amounts, Cluster, Machine, MachineState, Waiting},
    name::Name,
    tenant::TenantOverview,
};
use leptos::prelude::*;
use leptos_meta::Title;
use std::collections::BTreeMap;

/// Colours of the palette that tell tenants apart; with more of them, colours come again, beside the name that is always there.
const COLOURS: usize = 6;

#[component]
pub fn AdminCluster() -> impl IntoView {
    let after = use_query("after");
    let page = Resource::new(move || after.get(), cluster_get);
    view! {
        <Title text="Cluster"/>
        <AdminPage place=Place::AdminCluster crumbs=vec![Crumb::here("Cluster")]>
            <Load resource=page let:page>{match page {
                Some(page) => view! { <Whole page after=after.get_untracked()/> }.into_any(),
                None => view! {
                    <header class="head"><div><h1>"Cluster"</h1></div></header>
                    <Empty title="There is no cluster"><p>"Runs and endpoints run on the machine of this portal."</p></Empty>
                }.into_any(),
            }}</Load>
        </AdminPage>
    }
}

#[component]
fn Whole(page: ClusterPage, after: String) -> impl IntoView {
    let ClusterPage { cluster, tenants, waiting } = page;
    let (used, has) = sums(&cluster.machines);
    let gpus = if has.gpus == 0 { "no GPUs".to_owned() } else { format!("{} of {} GPUs in use", used.gpus, has.gpus) };
    let waits =
        if waiting.is_empty() { "nothing waits".to_owned() } else { some(waiting.len() as u64, "workload waits", "workloads wait") };
    let said = format!("Kubernetes {}. {}, {gpus}; {waits}.", cluster.version, some(cluster.machines.len() as u64, "node", "nodes"));
    let shown = tenants.rows.len();
    let others = (!cluster.with_others).then_some("; what others than this portal run there is not shown, and counts as free");
    view! {
        <header class="head"><div><h1>"Cluster"</h1><p>{said}</p></div></header>
        <section class="section" aria-labelledby="nodes">
            <header><h2 id="nodes">"Nodes"</h2><p>"each block is one run or endpoint, as wide as the GPUs that it has"{others}</p></header>
            <Fleet cluster=cluster.clone()/>
        </section>
        <section class="section" aria-labelledby="quota">
            <header><h2 id="quota">"Quota and use"</h2><p>"what runs and endpoints of a tenant ask for, against what it may have; runs that wait for a node count too"</p></header>
            {quotas(&tenants.rows, &cluster)}
            <Paging order=Order::ByName noun=("tenant", "tenants") shown after next=tenants.next to=|after: String| links::with(links::admin_cluster(), &[("after", &after)])/>
        </section>
        <section class="section" aria-labelledby="waiting">
            <header><h2 id="waiting">"Waiting"</h2><p>"runs and endpoints that have not started, and why"</p></header>
            {waiting_table(waiting)}
        </section>
    }
}

/// In use, and there.
fn sums(machines: &[Machine]) -> (Amounts, Amounts) {
    machines.iter().fold(Default::default(), |(mut used, mut has): (Amounts, Amounts), machine| {
        used.add(&machine.used());
        has.add(&machine.has);
        (used, has)
    })
}

/// By product; machines without GPUs last.
#[component]
fn Fleet(cluster: Cluster) -> impl IntoView {
    let names: Vec<&Name> = cluster.used.keys().collect();
    let colour = |tenant: &Name| names.iter().position(|n| *n == tenant).unwrap_or_default() % COLOURS + 1;
    let mut products: BTreeMap<(bool, String), Vec<&Machine>> = BTreeMap::new();
    for machine in &cluster.machines {
        let without = !machine.has.has_gpus();
        let product =
            if without { "No GPUs".to_owned() } else { machine.product.clone().unwrap_or_else(|| "GPUs of an unnamed product".into()) };
        products.entry((without, product)).or_default().push(machine);
    }
    let groups = products.into_iter().map(|((without, product), machines)| {
        let owned: Vec<Machine> = machines.iter().map(|m| (*m).clone()).collect();
        let (used, has) = sums(&owned);
        let said = if without {
            cpu_and_memory(&used, &has)
        } else {
            format!("{} of {} in use, {} free", used.gpus, has.gpus, has.gpus.saturating_sub(used.gpus))
        };
        let racks = owned.into_iter().map(|machine| rack(machine, &colour)).collect_view();
        view! { <div class="product"><h3>{product}</h3><p>{said}</p></div>{racks} }
    });
    let groups = groups.collect_view();
    let keys = names
        .iter()
        .map(|n| view! { <li class="key" style=format!("--c:var(--color-series-{})", colour(n))>{n.to_string()}</li> })
        .collect_view();
    view! {
        <div class="fleet">{groups}</div>
        <ul class="legend fleet-key">{keys}<li class="key freekey">"free"</li><li class="key closedkey">"takes no new work"</li></ul>
    }
}

fn cpu_and_memory(used: &Amounts, has: &Amounts) -> String {
    let cores = |milli: u64| (milli as f64 / 100.0).round() / 10.0;
    format!(
        "{} of {} CPU cores and {} of {} memory asked for",
        cores(used.cpu_milli),
        cores(has.cpu_milli),
        bytes(used.memory),
        bytes(has.memory)
    )
}

fn rack(machine: Machine, colour: &impl Fn(&Name) -> usize) -> AnyView {
    let used = machine.used();
    let state = match machine.state {
        MachineState::Ready => Status { icon: "succeeded", word: "Ready", tone: "success", turns: false },
        MachineState::Closed => Status { icon: "paused", word: "Takes no new work", tone: "warning", turns: false },
        MachineState::NotReady => Status { icon: "failed", word: "Not ready", tone: "danger", turns: false },
    };
    let rest = cpu_and_memory(&used, &machine.has);
    let blocks: Vec<_> = machine.holders.iter().filter(|h| h.has.has_gpus()).map(|h| block(h, colour)).collect();
    let free = machine.has.gpus.saturating_sub(used.gpus);
    let (class, word) = if machine.state == MachineState::Ready { ("free", "free") } else { ("closed", "closed") };
    let free = (free > 0).then(|| view! { <li class=class style=format!("--s:{free}")><b>{format!("{free} {word}")}</b></li> });
    let slices = slices(&machine, &used);
    let slots = machine.has.has_gpus().then(|| {
        view! {
            <ul class="slots" style=format!("--n:{}", machine.has.gpus.max(4))>{blocks}{free}</ul>
        }
    });
    view! {
        <div class="rack">
            <div><b class="mono">{machine.name}</b>" "<StateWord status=state/></div>
            <div>{slots}<small>{slices}{rest}</small></div>
        </div>
    }
    .into_any()
}

fn block(holder: &domain::cluster::Holder, colour: &impl Fn(&Name) -> usize) -> AnyView {
    let (letter, of, colour) = match &holder.tenant {
        Some(tenant) => (
            tenant.as_str().chars().next().map(|c| c.to_ascii_uppercase()),
            tenant.to_string(),
            format!("var(--color-series-{})", colour(tenant)),
        ),
        None => (None, "not of this portal".to_owned(), "var(--color-subtle)".to_owned()),
    };
    let gpus = some(u64::from(holder.has.gpus), "GPU", "GPUs");
    let mig = holder.has.mig.iter().map(|(profile, n)| format!("{n} × {profile}")).collect::<Vec<_>>().join(", ");
    let has = if mig.is_empty() { gpus } else { mig };
    view! {
        <li style=format!("--s:{};--c:{colour}", holder.has.gpus.max(1))>
            <i aria-hidden="true">{letter.map(String::from)}</i><b title=holder.what.clone()>{holder.what.clone()}</b><small>{format!("{of}, {has}")}</small>
        </li>
    }
    .into_any()
}

/// `2 of 7 MIG 1g.10gb in use. `
fn slices(machine: &Machine, used: &Amounts) -> String {
    let said = machine
        .has
        .mig
        .iter()
        .map(|(profile, n)| format!("{} of {n} MIG {profile} in use. ", used.mig.get(profile).copied().unwrap_or_default()));
    said.collect()
}

fn quotas(tenants: &[TenantOverview], cluster: &Cluster) -> AnyView {
    let lines = tenants.iter().map(|t| {
        let tenant = &t.tenant;
        let compute = &tenant.quota.compute;
        let used = cluster.used.get(&tenant.name).cloned().unwrap_or_default();
        let mig = compute.mig.iter().map(|(profile, most)| {
            let now = used.mig.get(profile).copied().unwrap_or_default();
            format!("{now} of {most} × {profile}")
        });
        let mig = mig.collect::<Vec<_>>().join(", ");
        view! {
            <tr>
                <th scope="row"><a href=links::admin_tenant(&tenant.name)>{tenant.title.clone()}</a><small class="mono">{tenant.name.to_string()}</small></th>
                <td data-label="GPUs">{meter(u64::from(used.gpus), compute.gpus.map(u64::from), &|n| n.to_string())}</td>
                <td class="drop">{if mig.is_empty() { "–".to_owned() } else { mig }}</td>
                <td data-label="CPU">{meter(used.cpu_milli, compute.cpu.map(|n| u64::from(n) * 1000), &|n| ((n as f64 / 100.0).round() / 10.0).to_string())}</td>
                <td class="drop">{meter(used.memory, compute.memory, &bytes)}</td>
                <td data-label="runs">{meter(u64::from(t.holding.runs_active), Some(u64::from(tenant.quota.concurrent_runs)), &|n| n.to_string())}</td>
                <td class="drop">{meter(t.holding.storage_bytes, Some(tenant.quota.storage_bytes), &bytes)}</td>
            </tr>
        }
    });
    let lines = lines.collect_view();
    view! {
        <Sheet label="quota and use of each tenant">
            <table class="table fold quota">
                <thead><tr><th scope="col">"Tenant"</th><th scope="col">"GPUs"</th><th scope="col">"MIG"</th><th scope="col">"CPU cores"</th><th scope="col">"Memory"</th><th scope="col">"Runs"</th><th scope="col">"Storage"</th></tr></thead>
                <tbody>{lines}</tbody>
            </table>
        </Sheet>
    }
    .into_any()
}

/// “2 of 3” over a meter that turns amber from 80 %; without a limit only what is in use.
fn meter(used: u64, most: Option<u64>, word: &dyn Fn(u64) -> String) -> AnyView {
    let now = word(used);
    match most {
        None => view! { <span class="q"><span><b>{now}</b><span class="subtle">", no limit"</span></span></span> }.into_any(),
        Some(most) => {
            let amber = if used > 0 && used.saturating_mul(10) >= most.saturating_mul(8) { ";--c:var(--color-warning)" } else { "" };
            let style = format!("--v:{}{amber}", percent(used, most));
            let of = format!(" of {}", word(most));
            view! { <span class="q"><span><b>{now}</b>{of}</span><span class="meter" style=style aria-hidden="true"><i></i></span></span> }
                .into_any()
        }
    }
}

fn waiting_table(waiting: Vec<Waiting>) -> AnyView {
    if waiting.is_empty() {
        return view! { <Empty title="Nothing waits"><p>"Whatever was launched has a place."</p></Empty> }.into_any();
    }
    let lines = waiting.into_iter().map(|w| view! {
        <tr><th scope="row">{w.what}</th><td><a href=links::admin_tenant(&w.tenant)>{w.tenant.to_string()}</a></td><td class="wrap">{w.why}</td></tr>
    });
    let lines = lines.collect_view();
    view! {
        <Sheet label="what waits">
            <table class="table fold">
                <thead><tr><th scope="col">"Workload"</th><th scope="col">"Tenant"</th><th scope="col">"Waiting for"</th></tr></thead>
                <tbody>{lines}</tbody>
            </table>
        </Sheet>
    }
    .into_any()
}
