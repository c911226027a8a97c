//! Lists, a page at a time (decision 0025). Every list has an order by a key that no two of its rows share, an index that begins like that
//! order, and begins after a key: what is read is what is shown, and one row more that tells whether there is another page.

use domain::{
    name::Name,
    page::{Cursor, PAGE},
};
use sqlx::{Database, Encode, QueryBuilder, Type};

/// Rows that a list reads: the `LIMIT` of its statement.
pub(super) const READ: i64 = PAGE as i64 + 1;

/// Where a list begins that shows the newest first: before this time and id.
pub(super) fn newest(list: &str, after: &Cursor) -> (i64, String) {
    after.key(list).unwrap_or((i64::MAX, String::new()))
}

/// Where a list by name begins: after this one.
pub(super) fn by_name(list: &str, after: &Cursor) -> String {
    after.key(list).unwrap_or_default()
}

/// A text that people typed, as a pattern for `LIKE .. ESCAPE '!'` that matches it anywhere; empty = no filter. Both sides of the
/// comparison go through `LOWER`, since the databases differ in what that does to letters beyond ASCII.
pub(super) fn anywhere(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let mut out = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            out.push('!');
        }
        out.push(c);
    }
    out.push('%');
    out
}

/// What belongs to the rows of a page, in one statement: `select` ends before the value of the tenant, `column` before that of the ids,
/// `rest` comes after them. There must be an id.
pub(super) fn belonging<'a, DB: Database>(
    select: &'static str,
    tenant: &Name,
    column: &'static str,
    ids: &[String],
    rest: &'static str,
) -> QueryBuilder<DB>
where
    String: Encode<'a, DB> + Type<DB>,
{
    let mut q = QueryBuilder::new(select);
    q.push_bind(tenant.to_string()).push(column).push(" IN (");
    let mut list = q.separated(", ");
    for id in ids {
        list.push_bind(id.clone());
    }
    q.push(") ").push(rest);
    q
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_no_pattern() {
        assert_eq!([anywhere(" 100%_! "), anywhere("  ")], ["%100!%!_!!%".to_owned(), String::new()]);
    }
}
