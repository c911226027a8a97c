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

/// Takes calls, and breaks each off before it says anything, later than a kept connection that was closed would show it.
async fn breaks_off() -> (std::sync::Arc<std::sync::atomic::AtomicUsize>, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = calls.clone();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                let _ = tokio::io::AsyncReadExt::read(&mut connection, &mut [0; 64]).await;
                tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            });
        }
    });
    (calls, address)
}

#[tokio::test]
async fn a_call_that_a_copy_took_and_did_not_begin_to_answer_is_answered_by_another_once() {
    let world = World::start().await;
    let (a, at_a) = Double::start().await;
    let (broke_off, at_b) = breaks_off().await;
    serve_from(&world, &[&at_b]);
    assert_eq!(world.chat(&chat("helpdesk")).await.refused(), (502, "upstream_died".into()), "there is no other");
    assert_eq!(broke_off.load(std::sync::atomic::Ordering::SeqCst), 1);
    let (broke_off, at_b) = breaks_off().await;
    let (broke_off_too, at_c) = breaks_off().await;
    serve_from(&world, &[&at_b, &at_a]);
    for _ in 0..3 {
        assert_eq!(world.chat(&chat("helpdesk")).await.status, 200);
    }
    assert_eq!((a.hits(), broke_off.load(std::sync::atomic::Ordering::SeqCst)), (3, 1), "the copy that broke off is left out");
    // A call that ends every server it meets meets two.
    let (third, at_d) = breaks_off().await;
    let (fourth, at_e) = breaks_off().await;
    serve_from(&world, &[&at_c, &at_d, &at_e]);
    assert_eq!(world.chat(&chat("helpdesk")).await.refused(), (502, "upstream_died".into()));
    let met: usize = [broke_off_too, third, fourth].iter().map(|c| c.load(std::sync::atomic::Ordering::SeqCst)).sum();
    assert_eq!(met, 2);
}

#[tokio::test]
async fn a_copy_that_takes_calls_and_answers_none_is_left_out() {
    let quick = gateway::GatewayConfig { first_byte_timeout: std::time::Duration::from_millis(300), ..Default::default() };
    let world = World::with(quick, 10_000).await;
    let (a, at_a) = Double::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hangs = format!("http://{}", listener.local_addr().unwrap());
    let took = Arc::new(std::sync::Mutex::new(Vec::new()));
    let taken = took.clone();
    tokio::spawn(async move {
        loop {
            let connection = listener.accept().await.unwrap();
            taken.lock().unwrap().push(connection);
        }
    });
    serve_from(&world, &[&hangs]);
    for _ in 0..3 {
        assert_eq!(world.chat(&streaming("helpdesk")).await.refused(), (504, "upstream_timeout".into()));
    }
    serve_from(&world, &[&hangs, &at_a]);
    let before = took.lock().unwrap().len();
    for _ in 0..6 {
        assert_eq!(world.chat(&streaming("helpdesk")).await.status, 200);
    }
    assert_eq!((a.hits(), took.lock().unwrap().len()), (6, before), "nobody waits for it any more");
}
