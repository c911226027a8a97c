//! Did it help? What base and tuned model answered to rows that were not trained on, and what that says.

use serde::{Deserialize, Serialize};

/// One held-out row, answered by base and tuned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluatedRow {
    /// Its place among the held-out rows, from 1.
    pub row: u64,
    /// The line in the uploaded file where it starts; absent when the dataset's verdicts are gone, and in what a task writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The last user message.
    pub prompt: String,
    pub expected: String,
    pub base: String,
    pub tuned: String,
    pub base_right: bool,
    pub tuned_right: bool,
}

/// Did it help? Exact match after trimming, greedy decoding, on the held-out rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scores {
    pub rows: u64,
    pub base_right: u64,
    pub tuned_right: u64,
    /// Wrong before, right now.
    pub gained: u64,
    /// Right before, wrong now.
    pub lost: u64,
}

/// What the held-out rows say of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that was wrong is right now: the training was for nothing.
    NothingLearnt,
    /// The base had everything right already; the rows cannot show whether anything was learnt.
    NothingToLearn,
    /// Something was learnt, and nothing that was right was lost.
    Better,
    /// More was learnt than lost.
    MostlyBetter,
    /// As much or more was lost than learnt.
    Worse,
}

impl Scores {
    /// None without held-out rows.
    pub const fn verdict(&self) -> Option<Verdict> {
        Some(match (self.gained, self.lost) {
            _ if self.rows == 0 => return None,
            (0, 0) if self.base_right == self.rows => Verdict::NothingToLearn,
            (0, 0) => Verdict::NothingLearnt,
            (_, 0) => Verdict::Better,
            (gained, lost) if gained > lost => Verdict::MostlyBetter,
            _ => Verdict::Worse,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_after_which_nothing_new_is_right_taught_nothing() {
        let verdict =
            |rows, base_right, gained, lost| Scores { rows, base_right, tuned_right: base_right + gained - lost, gained, lost }.verdict();
        assert_eq!(verdict(8, 0, 0, 0), Some(Verdict::NothingLearnt));
        assert_eq!(verdict(8, 3, 0, 0), Some(Verdict::NothingLearnt));
        assert_eq!(verdict(8, 8, 0, 0), Some(Verdict::NothingToLearn));
        assert_eq!(verdict(8, 3, 2, 0), Some(Verdict::Better));
        assert_eq!(verdict(8, 3, 2, 1), Some(Verdict::MostlyBetter));
        assert_eq!([verdict(8, 3, 1, 1), verdict(8, 3, 0, 2)], [Some(Verdict::Worse); 2]);
        assert_eq!(verdict(0, 0, 0, 0), None);
    }
}
