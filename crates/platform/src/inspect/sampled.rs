//! A map of numbers that were mixed well (hashes), of bounded size: when it is full, every second number is dropped, by the number
//! itself, and no such number is taken any more. So what remains is a fair sample, and equal numbers are kept or dropped together.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
};

pub(super) struct Sampled<V> {
    map: HashMap<u64, V, BuildHasherDefault<AsItIs>>,
    most: usize,
    /// A number is kept when it has none of these bits.
    without: u64,
}

/// The bits by which the sample is drawn, from here on; the map itself uses those at both ends.
const FIRST: u32 = 24;

impl<V: Copy> Sampled<V> {
    /// `most`: entries; 7/8 of a power of two uses the memory best (the value and 9 bytes each, rounded up to that power).
    pub fn new(most: usize) -> Self {
        Self { map: HashMap::default(), most, without: 0 }
    }

    /// Of how many numbers one is kept; 1 = all.
    pub fn one_of(&self) -> u64 {
        1 << self.without.count_ones()
    }

    /// What was kept of this number before, or `None` when it is new or not in the sample.
    pub fn put(&mut self, number: u64, value: V) -> Option<V> {
        if number & self.without != 0 {
            return None;
        }
        if self.map.len() >= self.most && !self.map.contains_key(&number) {
            self.without = self.without << 1 | 1 << FIRST;
            let without = self.without;
            self.map.retain(|n, _| n & without == 0);
            if number & without != 0 {
                return None;
            }
        }
        match self.map.entry(number) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(new) => {
                new.insert(value);
                None
            }
        }
    }
}

/// The numbers are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(i: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes())
    }

    #[test]
    fn up_to_its_size_it_knows_every_number_and_beyond_it_a_fair_sample() {
        let mut few = Sampled::new(1000);
        assert!((0..1000).all(|i| few.put(number(i), i).is_none()));
        assert_eq!((few.one_of(), (0..1000).filter(|i| few.put(number(*i), 0) == Some(*i)).count()), (1, 1000));
        let mut many = Sampled::new(1000);
        for i in 0..50_000 {
            many.put(number(i), i);
        }
        assert!(many.map.len() <= 1000 && many.one_of() >= 50, "{} of {}", many.map.len(), many.one_of());
        let known = (0..50_000).filter(|i| many.put(number(*i), 0) == Some(*i)).count();
        assert!((300..=1000).contains(&known), "{known}");
    }
}
