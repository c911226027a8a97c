//! How several gateways keep one limit together. Each counts its own calls in its own window of 60 s and stays within its *share*; the
//! shares of all are together never more than the limit.
//!
//! Why then no window of 60 s holds more than the limit: a gateway lowers its share only to what its window already holds or more, so
//! that from then on none of its windows exceeds the lower share; it does so before it says so, and another one raises its own after that.

use crate::{ids::KeyId, name::Name};
use serde::{Deserialize, Serialize};

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Counted {
    Requests,
    Tokens,
}

worded!(Counted);

impl Counted {
    pub const ALL: [Self; 2] = [Self::Requests, Self::Tokens];
}

/// One limit: of a key, or of its whole tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitOf {
    pub tenant: Name,
    /// None = the tenant's own.
    pub key: Option<KeyId>,
    pub counted: Counted,
}

/// What a gateway says of its share of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareAsk {
    pub of: LimitOf,
    /// Per 60 s, as the gateway read it last.
    pub limit: u64,
    /// What it keeps; it is within this already.
    pub held: u64,
    /// What its window holds.
    pub used: u64,
    /// What it would like to hold; `held` where that is enough, 0 with `held` 0 where nobody calls any more.
    pub wants: u64,
}

/// What all other gateways said of the same limit last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// How many hold or want a share.
    pub gateways: u64,
    pub held: u64,
    pub used: u64,
    /// What they want beyond what they hold.
    pub missing: u64,
}

/// The share that a gateway has from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareGiven {
    pub of: LimitOf,
    pub held: u64,
    pub others: Others,
}

/// The answer to one round of asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharesGiven {
    pub given: Vec<ShareGiven>,
    /// Limits of which this gateway holds something and another has less than it wants.
    pub missed: Vec<(LimitOf, Others)>,
    /// Gateways that were heard of lately, this one among them.
    pub gateways: u64,
}

impl ShareAsk {
    /// The share that it gets: as much of its wish as nobody else holds.
    pub fn granted(&self, others: &Others) -> u64 {
        let free = self.limit.saturating_sub(others.held).saturating_sub(self.held);
        self.held + free.min(self.wants.saturating_sub(self.held))
    }
}

/// What a gateway keeps of its share when others lack something: what its window holds, and of the rest as much as is fair.
pub fn kept(limit: u64, held: u64, used: u64, others: &Others) -> u64 {
    // Gateways that could not ask for a while may hold too much together.
    let whole = held.min(limit.saturating_sub(others.held).max(used));
    let fair = limit / (others.gateways + 1);
    whole.min(used.max(whole.saturating_sub(others.missing)).max(fair))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask(held: u64, wants: u64) -> ShareAsk {
        let of = LimitOf { tenant: "acme".parse().unwrap(), key: None, counted: Counted::Requests };
        ShareAsk { of, limit: 100, held, used: 0, wants }
    }

    #[test]
    fn a_share_grows_as_far_as_nobody_else_holds_the_rest() {
        let others = |held| Others { gateways: 1, held, ..Others::default() };
        assert_eq!(ask(0, 40).granted(&others(0)), 40);
        assert_eq!(ask(10, 80).granted(&others(60)), 40);
        assert_eq!(ask(10, 80).granted(&others(100)), 10, "never less than it said that it keeps");
        assert_eq!(ask(0, 500).granted(&others(0)), 100);
    }

    #[test]
    fn who_holds_more_than_is_fair_gives_what_it_does_not_use() {
        let others = |missing| Others { gateways: 1, held: 0, used: 0, missing };
        assert_eq!(kept(100, 100, 20, &others(0)), 100, "nobody lacks anything");
        assert_eq!(kept(100, 100, 20, &others(10)), 90);
        assert_eq!(kept(100, 100, 20, &others(500)), 50, "half is fair among two");
        assert_eq!(kept(100, 100, 80, &others(500)), 80, "what was used counts for another minute");
        assert_eq!(kept(100, 30, 0, &others(500)), 30, "less than is fair already");
    }

    proptest! {
        #[test]
        fn shares_are_never_more_than_the_limit_together(limit in 1_u64..200, steps in proptest::collection::vec((0_usize..3, 0_u64..250, any::<bool>()), 1..60)) {
            let mut held = [0_u64; 3];
            let mut wants = [0_u64; 3];
            for (who, wish, keeps) in steps {
                let others = |held: &[u64; 3], wants: &[u64; 3]| {
                    let of = |f: &dyn Fn(usize) -> u64| (0..3).filter(|i| *i != who).map(f).sum();
                    Others { gateways: 2, held: of(&|i| held[i]), used: 0, missing: of(&|i| wants[i].saturating_sub(held[i])) }
                };
                if keeps {
                    held[who] = kept(limit, held[who], 0, &others(&held, &wants));
                }
                wants[who] = wish;
                let mut one = ask(held[who], wish);
                one.limit = limit;
                held[who] = one.granted(&others(&held, &wants));
                prop_assert!(held.iter().sum::<u64>() <= limit, "{:?} of {}", held, limit);
            }
        }
    }
}
