//! Limits that several gateways keep together: what one holds, no other gets.

use crate::support::World;
use domain::{
    limit_shares::{Counted, LimitOf, ShareAsk},
    people::Role,
    time::SECOND,
};

crate::on_both_databases!(
    what_one_gateway_holds_no_other_gets_and_it_hears_that_it_is_missed,
    what_a_gateway_held_that_is_gone_is_free_after_three_minutes,
);

fn ask(of: &LimitOf, held: u64, wants: u64) -> [ShareAsk; 1] {
    [ShareAsk { of: of.clone(), limit: 100, held, used: held / 2, wants }]
}

async fn limit(world: &World) -> LimitOf {
    world.tenant("acme").await;
    let _ = world.scope("ann", "acme", Role::Engineer).await;
    LimitOf { tenant: "acme".parse().unwrap(), key: None, counted: Counted::Tokens }
}

async fn what_one_gateway_holds_no_other_gets_and_it_hears_that_it_is_missed(world: World) {
    let of = limit(&world).await;
    let other_limit = LimitOf { counted: Counted::Requests, ..of.clone() };
    let first = world.platform.share_limits("one", &ask(&of, 0, 80)).await.unwrap();
    assert_eq!((first.given[0].held, first.given[0].others.gateways, first.missed.len(), first.gateways), (80, 0, 0, 1));
    let second = world.platform.share_limits("two", &ask(&of, 0, 60)).await.unwrap();
    assert_eq!((second.given[0].held, second.given[0].others.held, second.given[0].others.used, second.gateways), (20, 80, 0, 2));
    // Another limit of the same tenant is its own.
    assert_eq!(world.platform.share_limits("two", &ask(&other_limit, 0, 100)).await.unwrap().given[0].held, 100);

    let heard = world.platform.share_limits("one", &[]).await.unwrap();
    assert_eq!(heard.missed.len(), 1);
    assert_eq!((&heard.missed[0].0, heard.missed[0].1.missing), (&of, 40));
    world.platform.share_limits("one", &ask(&of, 50, 50)).await.unwrap();
    let more = world.platform.share_limits("two", &ask(&of, 20, 60)).await.unwrap();
    assert_eq!((more.given[0].held, more.given[0].others.used), (50, 25));
    // Given back whole.
    world.platform.share_limits("one", &ask(&of, 0, 0)).await.unwrap();
    assert_eq!(world.platform.share_limits("two", &ask(&of, 50, 100)).await.unwrap().given[0].held, 100);
}

async fn what_a_gateway_held_that_is_gone_is_free_after_three_minutes(world: World) {
    let of = limit(&world).await;
    world.platform.share_limits("one", &ask(&of, 0, 100)).await.unwrap();
    world.execute(format!("UPDATE gateways SET seen_at = seen_at - {}", 150 * SECOND)).await.unwrap();
    assert_eq!(world.platform.share_limits("two", &ask(&of, 0, 100)).await.unwrap().given[0].held, 0, "it may only be silent");
    world.execute(format!("UPDATE gateways SET seen_at = seen_at - {} WHERE id = 'one'", 60 * SECOND)).await.unwrap();
    let all = world.platform.share_limits("two", &ask(&of, 0, 100)).await.unwrap();
    assert_eq!((all.given[0].held, all.gateways), (100, 1));
}
