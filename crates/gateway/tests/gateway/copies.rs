//! A model server of several copies: calls are spread, and one that cannot be sent to a copy goes to another.

use crate::{
    double::Double,
    world::{World, chat, name, streaming, until},
};
use std::sync::Arc;

/// The copies of `helpdesk`, `slow`, `held` and `stepwise` from now on.
fn serve_from(world: &World, addresses: &[&str]) {
    world.change(|d| {
        let routes = &mut d.tenants.get_mut(&name("acme")).unwrap().routes;
        for model in ["helpdesk", "held", "stepwise"] {
            routes.get_mut(model).unwrap().upstreams = addresses.iter().map(|a| (*a).to_owned()).collect();
        }
    });
}

/// Nothing listens there.
async fn closed() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_call_goes_to_the_copy_that_has_the_fewest_under_way() {
    let world = Arc::new(World::start().await);
    let ((a, at_a), (b, at_b)) = (Double::start().await, Double::start().await);
    serve_from(&world, &[&at_a, &at_b]);
    let held: Vec<_> = (0..6)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.chat(&chat("held")).await.status })
        })
        .collect();
    until("six calls are under way", || a.hits() + b.hits() == 6).await;
    assert_eq!((a.hits(), b.hits()), (3, 3));
    a.gate.open();
    until("what A had is answered", || held.iter().filter(|h| h.is_finished()).count() == 3).await;
    for _ in 0..4 {
        assert_eq!(world.chat(&chat("helpdesk")).await.status, 200);
    }
    assert_eq!((a.hits(), b.hits()), (7, 3), "B still has three");
    b.gate.open();
    for call in held {
        assert_eq!(call.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_stream_counts_at_its_copy_until_it_ends() {
    let world = World::start().await;
    let ((a, at_a), (b, at_b)) = (Double::start().await, Double::start().await);
    serve_from(&world, &[&at_a, &at_b]);
    let streams = [world.open(&streaming("stepwise")).await, world.open(&streaming("stepwise")).await];
    assert_eq!((a.hits(), b.hits()), (1, 1));
    serve_from(&world, &[&at_a]);
    let more = world.open(&streaming("stepwise")).await;
    serve_from(&world, &[&at_a, &at_b]);
    assert_eq!(world.chat(&chat("helpdesk")).await.status, 200);
    assert_eq!((a.hits(), b.hits()), (2, 2), "A has two streams, B one");
    drop((streams, more));
    until("the copies are free", || {
        a.aborted.load(std::sync::atomic::Ordering::SeqCst) && b.aborted.load(std::sync::atomic::Ordering::SeqCst)
    })
    .await;
}

#[tokio::test]
async fn a_copy_that_is_gone_costs_no_call_and_is_not_asked_again_at_once() {
    let world = World::start().await;
    let (a, at_a) = Double::start().await;
    let gone = closed().await;
    serve_from(&world, &[&gone, &at_a]);
    for _ in 0..20 {
        assert_eq!(world.chat(&chat("helpdesk")).await.status, 200);
    }
    assert_eq!(a.hits(), 20);
    serve_from(&world, &[&gone, &closed().await]);
    assert_eq!(world.chat(&chat("helpdesk")).await.refused(), (503, "upstream_unreachable".into()), "each was tried once");
}

/// It may have been worked on, and the answer be paid for.
#[tokio::test]
async fn a_call_that_was_sent_to_a_copy_is_not_sent_to_another() {
    let world = World::start().await;
    let (a, at_a) = Double::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let breaks_off = format!("http://{}", listener.local_addr().unwrap());
    let read = tokio::spawn(async move {
        let mut calls = 0;
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = [0; 64];
            tokio::io::AsyncReadExt::read_exact(&mut connection, &mut head).await.unwrap();
            // Longer than a kept connection that was closed takes to show it.
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            calls += 1;
            if calls == 1 {
                return;
            }
        }
    });
    serve_from(&world, &[&breaks_off]);
    let refused = world.chat(&chat("helpdesk")).await.refused();
    assert_eq!(refused.0, 502, "{refused:?}");
    read.await.unwrap();
    serve_from(&world, &[&breaks_off, &at_a]);
    assert_eq!(a.hits(), 0);
    assert_eq!(world.chat(&chat("helpdesk")).await.status, 200, "the copy that broke off is left out");
    assert_eq!(a.hits(), 1);
}
