//! The next free number of a name (`facts-7`), found with few questions however many are taken.

use std::collections::HashSet;

/// Numbers that are looked for at once.
const AT_ONCE: u32 = 50;

/// Looks for a number that is free: the first one among the next fifty; when those are all taken, one that comes right after a taken one,
/// by looking ever further ahead and then between. So ten thousand taken ones cost a handful of looks.
pub struct FreeNumber {
    from: u32,
    /// The furthest that is known to be taken.
    last: Option<u32>,
    /// Free, as far as was looked.
    free: Option<u32>,
}

impl FreeNumber {
    /// Numbers before this one are not looked for.
    pub fn from(from: u32) -> Self {
        Self { from, last: None, free: None }
    }

    /// Which numbers to look at next; none = it is found.
    pub fn look(&self) -> Vec<u32> {
        match (self.last, self.free) {
            (None, None) => (0..AT_ONCE).map_while(|n| self.from.checked_add(n)).collect(),
            (Some(_), None) => (0..26).map_while(|doubled| self.from.checked_add(AT_ONCE << doubled)).collect(),
            (Some(last), Some(free)) => {
                let step = ((free - last) / (AT_ONCE + 1)).max(1);
                (1..=AT_ONCE).map_while(|n| step.checked_mul(n)?.checked_add(last)).take_while(|n| *n < free).collect()
            }
            (None, Some(_)) => Vec::new(),
        }
    }

    /// The number, once there is nothing to look at any more.
    pub fn found(&self) -> Option<u32> {
        self.free
    }

    /// What was found of the numbers of a look: which of them are taken.
    pub fn saw(&mut self, looked: &[u32], taken: &HashSet<u32>) {
        let at = looked.iter().position(|n| !taken.contains(n));
        // Beyond what was looked at furthest there is the last of all.
        let beyond = self.free.or(self.last.map(|_| u32::MAX));
        self.last = looked[..at.unwrap_or(looked.len())].last().copied().or(self.last);
        self.free = at.and_then(|at| looked.get(at).copied()).or(beyond);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(from: u32, taken: impl Fn(u32) -> bool) -> (u32, u32) {
        let (mut search, mut looks) = (FreeNumber::from(from), 0);
        loop {
            let numbers = search.look();
            if numbers.is_empty() {
                return (search.found().unwrap(), looks);
            }
            assert!(numbers.len() <= AT_ONCE as usize && looks < 20, "{numbers:?}");
            looks += 1;
            search.saw(&numbers, &numbers.iter().copied().filter(|n| taken(*n)).collect());
        }
    }

    #[test]
    fn the_first_free_number_is_found_with_one_look_and_among_thousands_with_a_few() {
        assert_eq!(found(1, |_| false), (1, 1));
        assert_eq!(found(7, |n| n < 9), (9, 1));
        assert_eq!(found(1, |n| n % 10 != 0), (10, 1), "the first of several");
        let (free, looks) = found(1, |n| n <= 10_000);
        assert!(free == 10_001 && looks <= 5, "{free} after {looks} looks");
        let gaps = |n: u32| n <= 10_000 && n != 777;
        let (free, _) = found(1, gaps);
        assert!(!gaps(free) && gaps(free - 1), "{free}");
        assert_eq!(found(u32::MAX - 1, |n| n < u32::MAX).0, u32::MAX);
    }
}
