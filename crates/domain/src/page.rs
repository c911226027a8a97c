//! Pages of a list (decision 0025). A list is in the order of a key that no two of its rows share, and a page begins after such a key,
//! wherever that row is by then: rows that come or go meanwhile show none twice, and skip none.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Rows of a page.
pub const PAGE: usize = 50;

/// Of the text of a cursor; the longest keys are names of people and tenants.
const LONGEST: usize = 2048;

/// Some rows of a list, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// Where the next page begins; none on the last one.
    pub next: Option<Cursor>,
}

/// Where a page begins, as an address holds it: after which key of which list. Empty = at the beginning of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// Whatever an address says; see [`Cursor::key`].
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// After the row with this key. `list` names the list and its order: what one list gave out, no other one takes.
    pub fn after(list: &str, key: &impl Serialize) -> Self {
        Self(serde_json::to_vec(&(list, key)).map(|json| URL_SAFE_NO_PAD.encode(json)).unwrap_or_default())
    }

    /// The key of the row after which the page begins. None for the beginning, and for every text that this list and order did not give
    /// out: an address that was cut short shows the first page.
    pub fn key<K: DeserializeOwned>(&self, list: &str) -> Option<K> {
        let json = Some(&self.0).filter(|text| text.len() <= LONGEST).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())?;
        // No database stores it, and behind this encoding nobody else sees it.
        crate::text::check_json(&json).ok()?;
        let (of, key): (String, K) = serde_json::from_slice(&json).ok()?;
        (of == list).then_some(key)
    }

    pub fn is_beginning(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T> Page<T> {
    /// From the rows that were read: those of the page, and one more where there is one.
    pub fn cut<K: Serialize>(rows: Vec<T>, list: &str, key: impl Fn(&T) -> K) -> Self {
        Self::cut_at(PAGE, rows, list, key)
    }

    /// The same of `size` rows.
    pub fn cut_at<K: Serialize>(size: usize, mut rows: Vec<T>, list: &str, key: impl Fn(&T) -> K) -> Self {
        let more = rows.len() > size;
        rows.truncate(size);
        let next = rows.last().filter(|_| more).map(|last| Cursor::after(list, &key(last)));
        Self { rows, next }
    }

    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { rows: self.rows.into_iter().map(change).collect(), next: self.next }
    }

    pub fn try_map<U, E>(self, change: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        Ok(Page { rows: self.rows.into_iter().map(change).collect::<Result<_, E>>()?, next: self.next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_where_the_next_one_begins_only_when_there_is_one() {
        let full = Page::cut((0..=PAGE as i64).collect(), "n", |n| *n);
        assert_eq!((full.rows.len(), full.next.and_then(|next| next.key::<i64>("n"))), (PAGE, Some(PAGE as i64 - 1)));
        assert_eq!(Page::cut((0..PAGE as i64).collect(), "n", |n| *n).next, None);
        assert_eq!(Page::cut(Vec::<i64>::new(), "n", |n| *n).next, None);
    }

    #[test]
    fn a_cursor_says_its_key_to_the_list_that_gave_it_out_and_nothing_else() {
        let key = (1_800_000_000_000_i64, "run_1 “ä/+?\"".to_owned());
        let cursor = Cursor::after("runs", &key);
        assert!(cursor.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')), "{cursor:?}");
        assert_eq!(Cursor::from_text(cursor.as_str()).key("runs"), Some(key));
        assert_eq!(cursor.key::<(i64, String)>("keys"), None, "of another list");
        assert_eq!(cursor.key::<(String, String)>("runs"), None, "of another order");
        let cut = &cursor.as_str()[..20];
        for text in ["", "x", "%00", cut, "e30", &"A".repeat(5000)] {
            assert_eq!(Cursor::from_text(text).key::<(i64, String)>("runs"), None, "{text}");
        }
        let nul = Cursor::after("runs", &(1_i64, "a\0b"));
        assert_eq!(nul.key::<(i64, String)>("runs"), None, "no database takes it");
    }
}
