//! Numbers as people read them: thousands with a no-break space, sizes with one unit, minus as a minus.

/// `14 204 880`, with no-break spaces.
pub fn count(n: impl Into<u64>) -> String {
    let digits = n.into().to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{a0}');
        }
        out.push(c);
    }
    out
}

pub use domain::size::bytes;

/// `1 row`, `2 rows`.
pub fn some(n: u64, one: &str, many: &str) -> String {
    format!("{}\u{a0}{}", count(n), if n == 1 { one } else { many })
}

/// `run_01a2b3c4…9f0e`: enough to recognise an id; the whole one goes into the tooltip.
pub fn short_id(id: &str) -> String {
    match (id.split_once('_'), id.get(id.len().saturating_sub(4)..)) {
        (Some((kind, hex)), Some(tail)) if hex.len() > 16 => format!("{kind}_{}…{tail}", &hex[..8]),
        _ => id.to_owned(),
    }
}

/// A share of a whole in percent for `style`, between 0 and 100.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "0%".into() } else { format!("{:.1}%", (part as f64 / whole as f64 * 100.0).min(100.0)) }
}

/// A measured value with as many digits as say something: `0.118`, `3.62`, `1 492`.
pub fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => count(value.round() as u64),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        v if v >= 0.001 || v == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0u64, 999, 1_000, 14_204_880].map(count), ["0", "999", "1\u{a0}000", "14\u{a0}204\u{a0}880"]);
    }

    #[test]
    fn small_values_keep_three_digits_that_say_something() {
        assert_eq!([0.1182, 3.617, 1492.4, 0.0002].map(figure), ["0.118", "3.62", "1\u{a0}492", "2.0e-4"]);
    }
}
