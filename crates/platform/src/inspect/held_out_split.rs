//! The held-out split: which accepted rows are kept back for the evaluation.
//!
//! A row's place is a hash of what it asks, so the same question falls the same way in every version and every file, and never stands
//! on both sides.

/// Rows that ask so many different things or more get one held out when any should be: who asked for an evaluation gets one.
const LEAST: u64 = 2;

/// Held out is whose place is below a number; the default holds out nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    below: u64,
}

impl Split {
    /// About so many of a hundred prompts.
    pub fn percent(percent: u8) -> Self {
        Self { below: u64::from(percent) * (u64::MAX / 100) }
    }

    /// Something should be held out.
    pub const fn is_wanted(self) -> bool {
        self.below > 0
    }

    pub const fn holds_out(self, place: u64) -> bool {
        place < self.below
    }
}

/// Where the accepted rows of a file fall.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places {
    /// Smallest and largest.
    ends: Option<(u64, u64)>,
}

impl Places {
    pub fn put(&mut self, place: u64) {
        self.ends = Some(self.ends.map_or((place, place), |(first, last)| (first.min(place), last.max(place))));
    }

    /// An evaluation is wanted, and all rows ask the same question, so none can be held out.
    pub fn ask_one_thing(self, split: Split, accepted: u64) -> bool {
        split.is_wanted() && accepted >= LEAST && self.ends.is_some_and(|(first, last)| first == last)
    }

    /// A split that suits this file better. Chance may leave a side of a small file empty; then the prompt nearest to the border goes
    /// over. What is all one prompt is trained on. `held` of the `accepted` rows were held out.
    pub fn better(self, split: Split, held: u64, accepted: u64) -> Option<Split> {
        let (first, last) = self.ends.filter(|_| split.is_wanted())?;
        if first == last {
            (held > 0).then_some(Split::default())
        } else if held == 0 {
            Some(Split { below: first + 1 })
        } else if held == accepted {
            Some(Split { below: last })
        } else {
            None
        }
    }
}
