//! A number and its noun, in what people read: reasons, audit details, cards, pages.

/// `1 row`, `41 208 rows`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(n), if n == 1 { one } else { many })
}

/// `a, b`, or `none`.
pub fn listed(all: &[String]) -> String {
    if all.is_empty() { "none".into() } else { all.join(", ") }
}

/// `41 208`, with thin spaces that do not break.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped_and_one_is_singular() {
        assert_eq!(
            [0, 1, 999, 1_000, 41_208, 1_234_567].map(grouped),
            ["0", "1", "999", "1\u{202f}000", "41\u{202f}208", "1\u{202f}234\u{202f}567"]
        );
        assert_eq!([1, 2].map(|n| counted(n, "row", "rows")), ["1 row", "2 rows"]);
    }
}
