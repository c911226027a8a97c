//! What the ledger promises, with time as an argument.

use super::*;
use proptest::prelude::*;

fn limits(requests: u32, tokens: u32) -> Limits {
    Limits { requests_per_minute: Some(requests), tokens_per_minute: Some(tokens), ..Limits::default() }
}

fn ask(tenant: &Name, key: Limits, tenant_limits: Limits, tokens: u64) -> Ask<'_> {
    let key = Some((KeyId::from_uuid(uuid::Uuid::from_u128(1)), key));
    Ask { tenant, tenant_limits, key, tokens }
}

fn acme() -> Name {
    "acme".parse().unwrap()
}

#[test]
fn a_refusal_says_which_limit_and_when_it_fits_again() {
    let (ledger, acme) = (Arc::new(Ledger::default()), acme());
    let mut held = Vec::new();
    for at in [0, 10_000] {
        held.push(ledger.reserve(&ask(&acme, limits(2, 1_000), Limits::default(), 1), at).unwrap().0);
    }
    let refused = ledger.reserve(&ask(&acme, limits(2, 1_000), Limits::default(), 1), 20_500).err().unwrap();
    // The first request was counted in second 0, which ends at 1 s and leaves the window 60 s later.
    assert_eq!((refused.whose, refused.what, refused.wait_ms), (Whose::Key, What::Requests, Some(61_000 - 20_500)));
    assert_eq!(refused.rate_limits.requests, Some(Gauge { limit: 2, remaining: 0, reset_ms: 71_000 - 20_500 }));
    assert!(ledger.reserve(&ask(&acme, limits(2, 1_000), Limits::default(), 1), 60_999).is_err());
    assert!(ledger.reserve(&ask(&acme, limits(2, 1_000), Limits::default(), 1), 61_000).is_ok());
}

#[test]
fn the_tenants_limit_holds_over_all_its_keys_and_a_refused_call_charges_nobody() {
    let (ledger, acme) = (Arc::new(Ledger::default()), acme());
    let mut one = ask(&acme, limits(10, 1_000), limits(3, 10_000), 10);
    let mut held = Vec::new();
    for number in 0..3 {
        one.key = Some((KeyId::from_uuid(uuid::Uuid::from_u128(number)), limits(10, 1_000)));
        held.push(ledger.reserve(&one, 0).unwrap().0);
    }
    let refused = ledger.reserve(&one, 0).err().unwrap();
    assert_eq!((refused.whose, refused.what), (Whose::Tenant, What::Requests));
    one.tenant_limits = Limits::default();
    let (_, rate_limits) = ledger.reserve(&one, 0).unwrap();
    assert_eq!(rate_limits.requests.map(|g| g.remaining), Some(8), "two calls of the key: its first and this one");
}

#[test]
fn what_was_reserved_too_much_returns_and_what_was_too_little_is_added() {
    let (ledger, acme) = (Arc::new(Ledger::default()), acme());
    let left = |now| {
        let (held, rate_limits) = ledger.reserve(&ask(&acme, limits(100, 1_000), Limits::default(), 0), now).unwrap();
        held.unwrap().apply(0, now);
        rate_limits.tokens.unwrap().remaining
    };
    let (held, rate_limits) = ledger.reserve(&ask(&acme, limits(100, 1_000), Limits::default(), 900), 0).unwrap();
    assert_eq!(rate_limits.tokens.unwrap().remaining, 100);
    held.unwrap().apply(50, 5_000);
    assert_eq!(left(5_000), 950);
    let (held, _) = ledger.reserve(&ask(&acme, limits(100, 1_000), Limits::default(), 100), 5_000).unwrap();
    held.unwrap().apply(300, 6_000);
    assert_eq!(left(6_000), 650);
    let (held, _) = ledger.reserve(&ask(&acme, limits(100, 1_000), Limits::default(), 600), 7_000).unwrap();
    drop(held);
    assert_eq!(left(7_000), 650, "a dropped reservation returns all");
}

#[test]
fn a_call_larger_than_the_limit_is_told_that_waiting_will_not_help() {
    let (ledger, acme) = (Arc::new(Ledger::default()), acme());
    let refused = ledger.reserve(&ask(&acme, limits(9, 500), Limits::default(), 501), 0).err().unwrap();
    assert_eq!((refused.what, refused.wait_ms, refused.needed), (What::Tokens, None, 501));
}

#[test]
fn silent_subjects_are_forgotten() {
    let (ledger, acme) = (Arc::new(Ledger::default()), acme());
    let mut one = ask(&acme, limits(10, 1_000), Limits::default(), 1);
    for number in 0..=u128::from(SWEEP_EVERY) {
        one.key = Some((KeyId::from_uuid(uuid::Uuid::from_u128(number)), limits(10, 1_000)));
        ledger.reserve(&one, 0).unwrap().0.unwrap().apply(1, 0);
    }
    let count = || ledger.shards.iter().map(|s| s.lock().unwrap().accounts.len()).sum::<usize>();
    assert_eq!(count(), SWEEP_EVERY as usize + 1);
    for _ in 0..=SWEEP_EVERY {
        let _ = ledger.reserve(&one, 200_000);
    }
    assert_eq!(count(), 1);
}

proptest! {
    /// Against the definition: no window of 60 s holds more than the limit, whatever comes when.
    #[test]
    fn no_window_of_sixty_seconds_holds_more_than_the_limit(
        gaps in proptest::collection::vec((0u64..9_000, 1u64..60, 0u64..80), 1..80),
    ) {
        let (ledger, acme) = (Arc::new(Ledger::default()), acme());
        let (mut now, mut used) = (0, Vec::<(u64, u64)>::new());
        for (gap, tokens, really) in gaps {
            now += gap;
            if let Ok((held, _)) = ledger.reserve(&ask(&acme, limits(7, 150), Limits::default(), tokens), now) {
                let really = really.min(tokens);
                held.unwrap().apply(really, now);
                used.push((now, really));
            }
        }
        for &(end, _) in &used {
            let inside = || used.iter().filter(|(at, _)| *at <= end && end - *at < 60_000);
            prop_assert!(inside().count() <= 7);
            prop_assert!(inside().map(|u| u.1).sum::<u64>() <= 150);
        }
    }
}
