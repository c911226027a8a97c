//! One kind of time: milliseconds since 1970 in UTC, stored as a 64-bit integer in every database,
//! made by the platform and handed down. Durations are milliseconds too.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

impl Timestamp {
    pub const fn plus(self, milliseconds: i64) -> Self {
        Self(self.0 + milliseconds)
    }
    /// Milliseconds from `earlier` to here; never negative.
    pub const fn since(self, earlier: Timestamp) -> i64 {
        let d = self.0 - earlier.0;
        if d < 0 { 0 } else { d }
    }
    fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
    /// `2026-11-21T14:06:31.204Z`
    pub fn rfc3339(self) -> String {
        self.date_time().format(&Rfc3339).unwrap_or_default()
    }
    /// `2026-11-21` (UTC)
    pub fn day(self) -> String {
        let d = self.date_time();
        format!("{:04}-{:02}-{:02}", d.year(), u8::from(d.month()), d.day())
    }
    /// `14:06:31` (UTC)
    pub fn clock(self) -> String {
        let d = self.date_time();
        format!("{:02}:{:02}:{:02}", d.hour(), d.minute(), d.second())
    }
    /// `21 Nov 2026, 14:06`
    pub fn human(self) -> String {
        let d = self.date_time();
        let month = &d.month().to_string()[..3];
        format!("{} {} {}, {:02}:{:02}", d.day(), month, d.year(), d.hour(), d.minute())
    }
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let d = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(d.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }
}

/// A span of milliseconds as people say it: `0.8 s`, `52 s`, `1 min 38 s`, `2 h 4 min`, `3 d 2 h`.
pub fn span(milliseconds: i64) -> String {
    let s = milliseconds.max(0) / SECOND;
    match s {
        0..=9 => {
            let tenths = milliseconds.max(0) / 100;
            if tenths % 10 == 0 { format!("{s} s") } else { format!("{}.{} s", tenths / 10, tenths % 10) }
        }
        10..=59 => format!("{s} s"),
        60..=3599 => format!("{} min {} s", s / 60, s % 60),
        3600..=86_399 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_as_people_and_machines_read_them() {
        let t = Timestamp::parse_rfc3339("2026-11-21T14:06:31.204Z").unwrap();
        assert_eq!(t.rfc3339(), "2026-11-21T14:06:31.204Z");
        assert_eq!((t.day(), t.clock(), t.human()), ("2026-11-21".into(), "14:06:31".into(), "21 Nov 2026, 14:06".into()));
    }

    #[test]
    fn spans_change_their_unit_with_their_size() {
        let said: Vec<_> = [0, 800, 9_400, 52_000, 98_000, 7_440_000, 266_400_000].map(span).into();
        assert_eq!(said, ["0 s", "0.8 s", "9.4 s", "52 s", "1 min 38 s", "2 h 4 min", "3 d 2 h"]);
    }
}
