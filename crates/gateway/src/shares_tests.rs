//! Two gateways and what they share, with time as an argument: rounds as `LimitShares` asks them, answered as the database answers.

use super::*;
use crate::{limits::Ask, share::STALE_MS};
use domain::{
    ids::KeyId,
    key::Limits,
    limit_shares::{Others, ShareGiven},
    name::Name,
};
use std::collections::HashMap;

const LIMIT: u32 = 600;

/// What the database keeps: whose row says what.
#[derive(Default)]
struct Shared(HashMap<(LimitOf, usize), ShareAsk>);

impl Shared {
    fn others(&self, who: usize, of: &LimitOf) -> Others {
        let mut others = Others::default();
        for row in self.0.iter().filter(|((row_of, row_who), _)| row_of == of && *row_who != who).map(|(_, row)| row) {
            others.gateways += 1;
            others.held += row.held;
            others.used += row.used;
            others.missing += row.wants.saturating_sub(row.held);
        }
        others
    }

    fn round(&mut self, who: usize, asks: Vec<ShareAsk>) -> SharesGiven {
        let mut answer = SharesGiven { gateways: 2, ..SharesGiven::default() };
        for mut ask in asks {
            let others = self.others(who, &ask.of);
            ask.held = ask.granted(&others);
            answer.given.push(ShareGiven { of: ask.of.clone(), held: ask.held, others });
            self.0.insert((ask.of.clone(), who), ask);
        }
        let mine: Vec<LimitOf> = self.0.iter().filter(|((_, w), row)| *w == who && row.held > 0).map(|((of, _), _)| of.clone()).collect();
        answer.missed =
            mine.into_iter().map(|of| (self.others(who, &of), of)).filter(|(o, _)| o.missing > 0).map(|(o, of)| (of, o)).collect();
        answer
    }
}

struct World {
    gateways: [Arc<Ledger>; 2],
    shared: Shared,
    tenant: Name,
    /// When a call was let through.
    through: Vec<u64>,
}

impl World {
    fn new() -> Self {
        let gateway = || Arc::new(Ledger::new(true));
        Self { gateways: [gateway(), gateway()], shared: Shared::default(), tenant: "acme".parse().unwrap(), through: Vec::new() }
    }

    fn call(&mut self, who: usize, now_ms: u64) -> Result<(), Box<OverLimit>> {
        let limits = Limits { requests_per_minute: Some(LIMIT), ..Limits::default() };
        let key = Some((KeyId::from_uuid(uuid::Uuid::from_u128(1)), limits));
        let ask = Ask { tenant: &self.tenant, tenant_limits: Limits::default(), key, tokens: 0 };
        self.gateways[who].reserve(&ask, now_ms).map(|(held, _)| {
            // Nothing comes back of a request.
            drop(held);
            self.through.push(now_ms);
        })
    }

    fn round(&mut self, who: usize, now_ms: u64) {
        let shares = LimitShares { ledger: self.gateways[who].clone() };
        self.gateways[who].rounds.as_ref().unwrap().asked_ms.store(now_ms, Ordering::Relaxed);
        let asks = shares.asks(now_ms);
        let answer = self.shared.round(who, asks);
        shares.take(answer, now_ms);
    }

    /// The most in any window of 60 s that ends at a call.
    fn most(&self) -> usize {
        let mut first = 0;
        let mut most = 0;
        for (i, at) in self.through.iter().enumerate() {
            while self.through[first] + 60_000 <= *at {
                first += 1;
            }
            most = most.max(i + 1 - first);
        }
        most
    }

    fn between(&self, from_ms: u64, to_ms: u64) -> usize {
        self.through.iter().filter(|at| (from_ms..to_ms).contains(at)).count()
    }
}

/// `calls`: how many each gateway is asked for in this step of 50 ms. Rounds come as late as they may.
fn simulate(seconds: u64, calls: impl Fn(u64) -> [u32; 2]) -> World {
    let mut world = World::new();
    for now_ms in (0..seconds * 1_000).step_by(50) {
        for who in [0, 1] {
            let mut waits = false;
            for _ in 0..calls(now_ms)[who] {
                waits |= world.call(who, now_ms).is_err_and(|over| over.may_come);
            }
            if waits || now_ms % 1_000 == 500 * who as u64 {
                world.round(who, now_ms);
            }
        }
    }
    world
}

#[test]
fn no_window_holds_more_than_the_limit_and_little_of_it_is_left_unused() {
    for (name, calls) in [
        ("all at one", (|_| [2, 0]) as fn(u64) -> [u32; 2]),
        ("both alike", |_| [1, 1]),
        ("nine to one", |now| [if now % 500 == 0 { 0 } else { 2 }, u32::from(now % 500 == 0) * 2]),
        ("one after the other", |now| if now < 90_000 { [2, 0] } else { [0, 2] }),
        ("a burst at both at once", |now| if now % 62_000 < 3_000 { [40, 40] } else { [0, 0] }),
    ] {
        let world = simulate(300, calls);
        assert!(world.most() <= LIMIT as usize, "{name}: {} in a window", world.most());
        // After both had time to find out who needs what. A step of the window is a second: 60 of 61 s.
        let last = world.between(176_000, 300_000);
        assert!(last * 100 >= 2 * LIMIT as usize * 95, "{name}: {last} of {} in twice 62 s", 2 * LIMIT);
    }
}

#[test]
fn what_one_gateway_needs_the_other_gives_up_within_two_rounds() {
    let mut world = World::new();
    assert!(world.call(0, 0).unwrap_err().may_come, "nothing is held before the first round");
    world.round(0, 0);
    for _ in 0..LIMIT {
        if world.call(0, 10).is_err() {
            world.round(0, 10);
            world.call(0, 10).unwrap();
        }
    }
    assert!(!world.call(0, 20).unwrap_err().may_come || world.between(0, 30) == LIMIT as usize);
    // Everything is used: the other one hears so at once, and does not wait.
    assert!(world.call(1, 100).unwrap_err().may_come);
    world.round(0, 2_200);
    world.round(1, 2_300);
    assert!(!world.call(1, 2_310).unwrap_err().may_come);
    // A minute later the first one is silent, and gives up what the second one lacks.
    let before = world.through.len();
    for now_ms in (62_000..66_000).step_by(250) {
        (0..100).for_each(|_| drop(world.call(1, now_ms)));
        world.round(1, now_ms);
        world.round(0, now_ms + 100);
    }
    let through = world.through.len() - before;
    assert!(through >= LIMIT as usize / 2, "{through}: at least half is fair");
}

#[test]
fn a_gateway_that_stood_still_asks_before_it_uses_what_it_had() {
    let mut world = World::new();
    let _ = world.call(0, 0);
    world.round(0, 0);
    world.call(0, 10).unwrap();
    assert!(world.call(0, STALE_MS + 20).unwrap_err().may_come);
    world.round(0, STALE_MS + 30);
    world.call(0, STALE_MS + 40).unwrap();
}

#[test]
fn what_is_given_back_is_said_until_it_was_heard() {
    let mut world = World::new();
    let _ = world.call(0, 0);
    world.round(0, 0);
    world.call(0, 10).unwrap();
    world.round(0, 2_500);
    // A minute after its calls have left the window it gives back; the first round that says so is lost.
    let silent = |world: &World, now_ms: u64| LimitShares { ledger: world.gateways[0].clone() }.asks(now_ms);
    for now_ms in [130_000, 131_000] {
        // Rounds went on meanwhile.
        world.gateways[0].rounds.as_ref().unwrap().done(now_ms);
        let asks = silent(&world, now_ms);
        assert_eq!(asks.iter().map(|a| (a.held, a.wants)).collect::<Vec<_>>(), [(0, 0)], "at {now_ms}");
    }
    world.round(0, 132_000);
    assert!(silent(&world, 133_000).is_empty());
    let _ = world.call(1, 133_000);
    world.round(1, 133_000);
    assert_eq!(world.shared.others(1, &world.shared.0.keys().next().unwrap().0).held, 0);
}

#[test]
fn calls_that_are_refused_anyway_ask_nobody() {
    let mut world = World::new();
    let _ = world.call(0, 0);
    world.round(0, 0);
    for _ in 0..2 * LIMIT {
        if world.call(0, 10).is_err() {
            world.round(0, 10);
        }
    }
    let gateway = world.gateways[0].clone();
    let rounds = gateway.rounds.as_ref().unwrap();
    let waits = || futures::FutureExt::now_or_never(rounds.wake.notified()).is_some();
    while waits() {}
    assert!((0..50).all(|_| world.call(0, 20).is_err()));
    assert!(!waits(), "a round would follow on every refused call");
}

#[test]
fn without_the_database_each_goes_on_with_a_fair_part_and_not_while_it_is_only_slow() {
    let mut world = World::new();
    world.gateways[0].rounds.as_ref().unwrap().gateways.store(2, Ordering::Relaxed);
    let shares = LimitShares { ledger: world.gateways[0].clone() };
    for now_ms in (0..AWAY_MS).step_by(1_000) {
        assert!(world.call(0, now_ms).unwrap_err().may_come);
        shares.miss(now_ms);
    }
    for _ in 0..LIMIT {
        if world.call(0, AWAY_MS).is_err() {
            shares.miss(AWAY_MS);
        }
    }
    let through = world.through.len() as u32;
    assert!(through <= LIMIT / 2 && through * 100 >= LIMIT / 2 * 95, "{through} of {}", LIMIT / 2);
}
