//! Sizes of files and quotas as people read them: one unit, powers of 1000, everywhere.

/// Bytes of one GB, as quotas are typed and shown.
pub const GB: u64 = 1_000_000_000;

/// `812 B`, `6.1 kB`, `15.7 MB`, `1.2 GB`, with a no-break space.
pub fn bytes(n: u64) -> String {
    let mut value = n as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" || value >= 99.95 { format!("{value:.0}\u{a0}{unit}") } else { format!("{value:.1}\u{a0}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_one_unit_and_a_gb_is_the_one_that_was_typed() {
        assert_eq!([812, 6_100, 15_700_000, 999_960_000].map(bytes), ["812\u{a0}B", "6.1\u{a0}kB", "15.7\u{a0}MB", "1.0\u{a0}GB"]);
        assert_eq!(bytes(20 * GB), "20.0\u{a0}GB");
    }
}
