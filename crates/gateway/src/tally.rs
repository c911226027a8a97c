//! What was generated so far, as the model server tells it while it answers, or as well as it can be known.

use crate::wire::{Seen, Usage};
use domain::ids::EndpointId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Answers of one call that are counted one by one; more than a tenant may allow.
const MOST_ANSWERS: usize = domain::call_rules::CallRules::MOST as usize;

/// Counts of one call.
#[derive(Default)]
pub(crate) struct Tally {
    /// Of the whole call.
    total: Option<Usage>,
    /// Of each answer until now, by its index.
    by_answer: Vec<Usage>,
    /// Chunks that said something.
    pieces: u32,
    pub finished: u32,
    pub finish_reason: Option<String>,
}

impl Tally {
    pub(crate) fn saw(&mut self, seen: Seen, is_whole: bool) {
        self.pieces = self.pieces.saturating_add(seen.pieces);
        self.finished = self.finished.saturating_add(seen.finished);
        self.finish_reason = seen.finish_reason.or_else(|| self.finish_reason.take());
        let Some(usage) = seen.usage else { return };
        if is_whole || seen.only_usage {
            self.total = Some(usage);
        } else if (seen.index as usize) < MOST_ANSWERS {
            let index = seen.index as usize;
            if self.by_answer.len() <= index {
                self.by_answer.resize(index + 1, Usage { prompt_tokens: 0, completion_tokens: 0 });
            }
            self.by_answer[index] = usage;
        }
    }

    /// What the model server counted; none when it counted nothing.
    pub(crate) fn counted(&self, prompts: u64, prompt_guess: u32) -> Option<Usage> {
        let until_now = || {
            let completion_tokens = self.by_answer.iter().fold(0_u32, |sum, u| sum.saturating_add(u.completion_tokens));
            // Each answer tells the length of its own prompt: of several prompts, those without a chunk yet would be missing.
            let prompt_tokens = if prompts == 1 { self.by_answer.iter().map(|u| u.prompt_tokens).max()? } else { prompt_guess };
            (!self.by_answer.is_empty()).then_some(Usage { prompt_tokens, completion_tokens })
        };
        self.total.or_else(until_now)
    }

    pub(crate) fn pieces(&self) -> u32 {
        self.pieces
    }
}

/// Tokens a second of one answer, by endpoint, learned from calls that came to their end.
#[derive(Default)]
pub(crate) struct Speeds(Mutex<HashMap<EndpointId, f64>>);

/// Until a first answer came to its end: what a slow machine does.
const UNKNOWN: f64 = 20.0;
/// How much the newest answer counts.
const WEIGHT: f64 = 0.2;

impl Speeds {
    fn learn(&self, endpoint: EndpointId, speed: f64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(endpoint).and_modify(|s| *s += WEIGHT * (speed - *s)).or_insert(speed);
    }
    fn of(&self, endpoint: EndpointId) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&endpoint).copied().unwrap_or(UNKNOWN)
    }
}

/// How fast a call that tells nothing until its end is being answered.
pub(crate) struct Pace {
    pub speeds: Arc<Speeds>,
    pub endpoint: EndpointId,
    pub since: Instant,
    pub answers: u64,
    /// Most tokens of one answer; none when only the model's context ends it.
    pub most: Option<u64>,
}

impl Pace {
    /// An answer came to its end.
    pub(crate) fn learn(&self, completion_tokens: u32) {
        let seconds = self.since.elapsed().as_secs_f64();
        if completion_tokens > 0 && seconds > 0.0 {
            self.speeds.learn(self.endpoint, f64::from(completion_tokens) / self.answers.max(1) as f64 / seconds);
        }
    }

    /// Tokens that were generated until now, about.
    pub(crate) fn generated(&self) -> u32 {
        self.after(self.since.elapsed())
    }

    fn after(&self, span: Duration) -> u32 {
        let each = (self.speeds.of(self.endpoint) * span.as_secs_f64()) as u64;
        let all = each.min(self.most.unwrap_or(u64::MAX)).saturating_mul(self.answers);
        u32::try_from(all).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn chunk(index: u32, completion_tokens: u32) -> Seen {
        Seen { usage: Some(Usage { prompt_tokens: 7, completion_tokens }), index, pieces: 1, ..Seen::default() }
    }

    #[test]
    fn what_each_answer_told_last_is_added_up_and_the_total_goes_before_it() {
        let mut tally = Tally::default();
        assert_eq!(tally.counted(1, 9), None);
        for (index, tokens) in [(0, 1), (2, 1), (0, 2), (2, 5), (0, 3)] {
            tally.saw(chunk(index, tokens), false);
        }
        assert_eq!(tally.counted(1, 9), Some(Usage { prompt_tokens: 7, completion_tokens: 8 }));
        assert_eq!(tally.counted(3, 9), Some(Usage { prompt_tokens: 9, completion_tokens: 8 }));
        tally.saw(Seen { only_usage: true, ..chunk(0, 11) }, false);
        assert_eq!(tally.counted(1, 9), Some(Usage { prompt_tokens: 7, completion_tokens: 11 }));
    }

    #[test]
    fn an_answer_without_counts_is_as_long_as_its_endpoint_is_fast() {
        let pace = Pace {
            speeds: Arc::default(),
            endpoint: EndpointId::from_uuid(Uuid::from_u128(1)),
            since: Instant::now(),
            answers: 2,
            most: Some(100),
        };
        assert_eq!(pace.after(Duration::from_secs(3)), 2 * 3 * UNKNOWN as u32);
        pace.speeds.learn(pace.endpoint, 5.0);
        assert_eq!(pace.after(Duration::from_secs(3)), 30);
        assert_eq!(pace.after(Duration::from_secs(3_600)), 200, "no answer is longer than it was allowed to be");
    }
}
