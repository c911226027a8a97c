//! Times until the first token, counted in steps of about a tenth: enough to tell which time 95 of 100 calls kept within, without keeping
//! each of them.

/// The longest time that is told apart, milliseconds.
const LONGEST: u32 = 600_000;

/// Upper ends of the steps, milliseconds: 1, 2 ... 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22 ... Stored counts refer to them by
/// number, so they never change.
fn ends() -> impl Iterator<Item = u32> {
    std::iter::successors(Some(1_u32), |end| (*end < LONGEST).then(|| (end + (end / 10).max(1)).min(LONGEST)))
}

/// Number of the step that a time belongs to.
pub fn step(milliseconds: u32) -> u32 {
    ends().take_while(|end| *end < milliseconds.min(LONGEST)).count() as u32
}

/// The time within which `percent` of the calls were, milliseconds; none without calls. `counts`: steps in ascending order, with how many
/// calls belong to each.
pub fn percentile(percent: u64, counts: &[(u32, u64)]) -> Option<u32> {
    let all: u64 = counts.iter().map(|(_, calls)| calls).sum();
    let wanted = (all * percent).div_ceil(100).max(1);
    let mut so_far = 0;
    let (step, _) = counts.iter().find(|(_, calls)| {
        so_far += calls;
        so_far >= wanted
    })?;
    ends().nth(usize::try_from(*step).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_to_a_tenth() {
        for ms in [1, 2, 10, 11, 99, 100, 340, 1_234, 59_000, 599_999, 600_000] {
            let told = percentile(95, &[(step(ms), 1)]).unwrap();
            assert!(told >= ms && told <= ms + ms / 10 + 1, "{ms} is told as {told}");
        }
        assert_eq!((step(0), step(1), step(u32::MAX)), (0, 0, step(LONGEST)));
    }

    #[test]
    fn five_slow_calls_of_a_hundred_do_not_count_and_six_do() {
        let counts = |slow| [(step(100), 100 - slow), (step(9_000), slow)];
        assert!(percentile(95, &counts(5)).unwrap() <= 110);
        assert!(percentile(95, &counts(6)).unwrap() >= 9_000);
        assert_eq!(percentile(95, &[]), None);
    }
}
