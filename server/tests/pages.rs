//! Every page of the portal, drawn by the server for people with scripts off: many at once, and very often.

mod portal;
mod processes;

use futures::{StreamExt, stream};
use portal::TestPortal;
use processes::{
    person::Person,
    two_tenants::{Tenant, TwoTenants},
};
use std::{collections::BTreeSet, time::Duration};

/// Whoever draws at the same time.
const CLIENTS: usize = 32;
/// How often each page is drawn while its memory is looked at.
const DRAWN: usize = 60;
/// How often the sign-in page is drawn, which was the one that was seen to leak.
const SIGN_IN_DRAWN: usize = 2_000;
/// What the process may have grown by after that: far below 17 kB a page, which is what a kept request costs.
const GROWTH: u64 = 16 << 20;

/// More of what some pages show, by what their address asks for.
const ASKED: &[(&str, &[&str])] = &[
    ("/", &["choose=1"]),
    ("/login", &["return_to=/t/lumenta"]),
    ("/admin/tenants", &["q=l"]),
    ("/admin/tenants/{name}", &["suspend=ask"]),
    ("/t/{tenant}/audit", &["action=run.launch", "verify=1"]),
    ("/t/{tenant}/datasets", &["q=facts", "checks=ok"]),
    ("/t/{tenant}/datasets/{name}", &["tab=rows", "tab=rows&view=raw", "tab=card", "tab=versions", "v=1"]),
    ("/t/{tenant}/endpoints/{name}", &["code=python", "ask=stop"]),
    ("/t/{tenant}/keys", &["q=a", "state=revoked"]),
    ("/t/{tenant}/models", &["q=a"]),
    ("/t/{tenant}/models/{name}", &["tab=card", "tab=evaluation", "tab=lineage", "tab=serving", "v=1"]),
    ("/t/{tenant}/runs", &["state=succeeded", "q=run"]),
    ("/t/{tenant}/runs/{id}", &["tab=log", "tab=results", "tab=config", "ask=cancel", "scale=log"]),
    ("/t/{tenant}/usage", &["by=key", "by=model&days=7"]),
];

/// The addresses of all pages of the app, as its router knows them, filled in with what this tenant has.
fn pages(of: &Tenant) -> Vec<String> {
    let mut addresses = BTreeSet::new();
    for page in server::http::pages::listed() {
        let pattern = page.path();
        let name = match pattern.trim_start_matches("/t/{tenant}/").split('/').next() {
            Some("datasets") => format!("{}-facts", of.word),
            _ if pattern.starts_with("/admin/") => of.name.to_owned(),
            _ => of.word.to_owned(),
        };
        let address = pattern.replace("{tenant}", of.name).replace("{name}", &name).replace("{id}", &of.run).replace("{chat}", &of.chat);
        assert!(!address.contains('{'), "{pattern} names something new: say here what of it there is to show");
        let asked = ASKED.iter().find(|(p, _)| *p == pattern).map_or(&[][..], |(_, asked)| *asked);
        addresses.extend(asked.iter().map(|query| format!("{address}?{query}")));
        // Whoever has one tenant is led there.
        if pattern != "/" {
            addresses.insert(address);
        }
    }
    assert!(addresses.len() > 60, "{addresses:?}");
    addresses.into_iter().collect()
}

async fn draw(portal: &TwoTenants, of: &Tenant, address: &str) -> (u16, String) {
    let person: &Person = if address.starts_with("/admin/") { &portal.admin } else { &of.owner };
    person.page(&portal.address, address).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_drawn_whole_for_32_clients_at_once_and_holds_no_word_of_another_tenant() {
    let portal = TwoTenants::start().await;
    let wrong: Vec<String> = stream::iter(0..CLIENTS)
        .map(|client| {
            let portal = &portal;
            async move {
                let (own, other) = (&portal.tenants[client % 2], &portal.tenants[(client + 1) % 2]);
                let mut pages = pages(own);
                // Sixteen draw the same page at the same time, and everybody draws each of them.
                let first = client / 16 * pages.len() / 2;
                pages.rotate_left(first);
                let mut wrong = Vec::new();
                for page in pages {
                    let (status, body) = draw(portal, own, &page).await;
                    if status != 200 {
                        wrong.push(format!("{page}: {status} {}", body.chars().take(200).collect::<String>()));
                    } else if !body.contains("</html>") {
                        wrong.push(format!("{page} is not whole: …{}", body.chars().rev().take(80).collect::<String>()));
                    }
                    // What the admin reads is about all tenants.
                    if !page.starts_with("/admin/") && (body.contains(other.word) || body.contains(other.title)) {
                        wrong.push(format!("{page} of {} holds a word of {}", own.name, other.name));
                    }
                    if page.starts_with("/t/") && !body.contains(own.title) {
                        wrong.push(format!("{page} does not say that it belongs to {}", own.name));
                    }
                }
                wrong
            }
        })
        .buffer_unordered(CLIENTS)
        .collect::<Vec<_>>()
        .await
        .concat();
    let log = portal.log();
    let panics: Vec<&str> = log.lines().filter(|line| line.contains("panicked")).collect();
    assert!(wrong.is_empty() && panics.is_empty(), "{} wrong:\n{}\n{}", wrong.len(), wrong.join("\n"), panics.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drawing_pages_again_and_again_leaves_the_memory_as_it_was() {
    let portal = TwoTenants::start().await;
    let tenant = &portal.tenants[0];
    let pages = pages(tenant);
    let all = async |times: usize| {
        let wanted = (0..times).flat_map(|_| pages.iter());
        let statuses: Vec<u16> =
            stream::iter(wanted).map(|page| async { draw(&portal, tenant, page).await.0 }).buffer_unordered(4).collect().await;
        assert!(statuses.iter().all(|s| *s == 200), "{statuses:?}");
        statuses.len()
    };
    // What is made once and kept: statements of the database, the allocator's own stock.
    all(10).await;
    let before = portal.resident();
    let drawn = all(DRAWN).await;
    let grown = portal.resident().saturating_sub(before);
    println!("{drawn} pages: from {} to {} kB, {} bytes a page", before / 1024, (before + grown) / 1024, grown / drawn as u64);
    assert!(grown < GROWTH, "{drawn} pages left {grown} bytes behind, {} each", grown / drawn as u64);

    // One page alone, by nobody.
    let http = reqwest::Client::new();
    let before = portal.resident();
    let sign_in = |_| async { http.get(format!("{}/login", portal.address)).send().await.unwrap().bytes().await.unwrap().len() };
    let sizes: Vec<usize> = stream::iter(0..SIGN_IN_DRAWN).map(sign_in).buffer_unordered(4).collect().await;
    assert!(sizes.iter().all(|size| *size > 1_000), "{sizes:?}");
    let grown = portal.resident().saturating_sub(before);
    assert!(grown < GROWTH / 2, "{SIGN_IN_DRAWN} times the sign-in page left {grown} bytes behind");
}

/// One program has one portal; the tests of a file have many in one process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_being_drawn_gets_its_data_while_another_portal_starts_in_the_same_process() {
    let portal = TestPortal::start().await;
    let admin = portal.signed_in("admin").await;
    let drawing = (0..4).map(|_| {
        let mut admin = admin.clone();
        tokio::spawn(async move {
            for _ in 0..200 {
                let page = tokio::time::timeout(Duration::from_secs(60), admin.get("/admin/tenants")).await;
                assert_eq!(page.expect("a page waits for ever").status, 200);
            }
        })
    });
    let drawing: Vec<_> = drawing.collect();
    while drawing.iter().any(|one| !one.is_finished()) {
        TestPortal::start().await.portal.stop.cancel();
    }
    for one in drawing {
        one.await.unwrap();
    }
}
