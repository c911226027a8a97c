//! How long the identity provider's word on a person holds. The provider confirms a person at every sign-in and, where it gives a
//! refresh token, every few minutes while the person works; everything that a person may do here looks at the age of that word.

use crate::time::{DAY, Timestamp};
use serde::{Deserialize, Serialize};

/// A person's own keys stop when nobody has confirmed the person for so long.
pub const KEYS_LAST: i64 = 30 * DAY;
/// How long before that it is told.
pub const KEYS_WARN: i64 = 7 * DAY;

/// Until when the keys of a person who was confirmed at this moment work.
pub const fn keys_stop_at(confirmed_at: Timestamp) -> Timestamp {
    confirmed_at.plus(KEYS_LAST)
}

/// Whether it is time to tell that keys stop at `stop`. They may have stopped already.
pub const fn is_told(stop: Timestamp, now: Timestamp) -> bool {
    stop.0 - now.0 <= KEYS_WARN
}

/// Where a session that has a refresh token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Confirmation {
    /// Confirmed lately.
    Fresh,
    /// The provider is asked beside the request, which does not wait.
    Due,
    /// The provider is asked before the request goes on.
    Overdue,
}

impl Confirmation {
    /// `every`: milliseconds after which the provider is asked. Overdue after five thirds of it: with the usual three minutes, a
    /// person who was disabled is out within five.
    pub const fn of(confirmed_at: Timestamp, now: Timestamp, every: i64) -> Self {
        let age = now.since(confirmed_at);
        if age >= every / 3 * 5 {
            Self::Overdue
        } else if age >= every {
            Self::Due
        } else {
            Self::Fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MINUTE;

    #[test]
    fn keys_stop_after_thirty_days_and_it_is_told_a_week_before() {
        let stop = keys_stop_at(Timestamp(0));
        assert_eq!(stop, Timestamp(30 * DAY));
        assert!(!is_told(stop, Timestamp(23 * DAY - 1)) && is_told(stop, Timestamp(23 * DAY)) && is_told(stop, Timestamp(31 * DAY)));
    }

    #[test]
    fn with_three_minutes_nobody_goes_on_unconfirmed_after_five() {
        let of = |age: i64| Confirmation::of(Timestamp(0), Timestamp(age), 3 * MINUTE);
        assert_eq!([of(3 * MINUTE - 1), of(3 * MINUTE), of(5 * MINUTE - 1), of(5 * MINUTE)], {
            use Confirmation::{Due, Fresh, Overdue};
            [Fresh, Due, Due, Overdue]
        });
    }
}
