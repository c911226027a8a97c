//! What a row asks, by which it falls to one side of the split, and whether something much like it fell to the other.
//!
//! A row's prompt is its first question, without case, blanks and punctuation: every later context of the conversation begins with
//! it, so rows with the same prompt on one side means that no prompt stands on both.
//!
//! Likeness is that of the sets of three words in a row (Jaccard), by MinHash: four bands of four minima, so that prompts that share
//! nine tenths of them are found nearly always, and those that share half one time in five.

use super::sampled::Sampled;
use domain::inspect::rules::fast::Turn;
use xxhash_rust::xxh3::xxh3_64;

/// Bands that are remembered; 4 a prompt, 16 bytes and a little each.
const MOST: usize = 1 << 18;
const BANDS: usize = 4;
const MINIMA: usize = 16;
/// Words that count together.
const WORDS: usize = 3;
/// Of a long prompt the first so many sets of words count.
const SETS: usize = 128;
/// Bytes of a question that are looked at.
const READ: usize = 64 * 1024;

pub(super) struct Prompts {
    bands: Sampled<Seen>,
    /// The present prompt: words, one blank between them.
    key: Vec<u8>,
    /// Where each word starts in `key`.
    words: Vec<usize>,
    factors: [u64; MINIMA],
}

/// The first row of a band: its line, and its side.
#[derive(Clone, Copy)]
struct Seen {
    line: u64,
    held_out: bool,
}

impl Prompts {
    pub fn new() -> Self {
        let factors = std::array::from_fn(|i| xxh3_64(&[i as u8]) | 1);
        // Seven eighths: that much the map holds before it doubles.
        Self { bands: Sampled::new(MOST / 8 * 7), key: Vec::new(), words: Vec::new(), factors }
    }

    /// Where a row falls: a number that depends on its prompt alone, the same in every file and every version of this program.
    pub fn place(&mut self, turns: &[Turn<'_>]) -> u64 {
        self.key.clear();
        self.words.clear();
        let question = turns.iter().find(|t| t.role == "user").map_or("", |t| t.content.as_ref());
        let read = &question.as_bytes()[..question.len().min(READ)];
        let mut in_word = false;
        for byte in read {
            if byte.is_ascii_alphanumeric() || !byte.is_ascii() {
                if !in_word {
                    if !self.key.is_empty() {
                        self.key.push(b' ');
                    }
                    self.words.push(self.key.len());
                }
                self.key.push(byte.to_ascii_lowercase());
                in_word = true;
            } else {
                in_word = false;
            }
        }
        // A question of signs alone is what it is.
        if self.key.is_empty() { xxh3_64(question.as_bytes()) } else { xxh3_64(&self.key) }
    }

    /// The line of a row on the other side that asks much the same as the row of the last [`Prompts::place`].
    pub fn on_other_side(&mut self, line: u64, held_out: bool) -> Option<u64> {
        if self.words.len() < WORDS {
            return None;
        }
        let mut minima = [u64::MAX; MINIMA];
        for i in 0..=(self.words.len() - WORDS).min(SETS) {
            let end = self.words.get(i + WORDS).map_or(self.key.len(), |next| next - 1);
            let set = xxh3_64(&self.key[self.words[i]..end]);
            for (least, factor) in minima.iter_mut().zip(&self.factors) {
                *least = (*least).min(set.wrapping_mul(*factor));
            }
        }
        let mut other = None;
        for (band, part) in minima.chunks_exact(MINIMA / BANDS).enumerate() {
            let mut bytes = [0; 8 * MINIMA / BANDS + 1];
            for (to, least) in bytes.chunks_exact_mut(8).zip(part) {
                to.copy_from_slice(&least.to_le_bytes());
            }
            bytes[8 * MINIMA / BANDS] = band as u8;
            let seen = self.bands.put(xxh3_64(&bytes), Seen { line, held_out });
            other = other.or(seen.filter(|s| s.held_out != held_out).map(|s| s.line));
        }
        other
    }

    /// Of how many bands one was looked at; 1 = all.
    pub fn one_of(&self) -> u64 {
        self.bands.one_of()
    }
}
