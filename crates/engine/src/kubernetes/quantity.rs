//! Amounts as Kubernetes writes them: `2`, `500m`, `16Gi`, `1e3`.

/// In thousandths; `None` = not an amount. Rounded down, and at most `u128::MAX`.
fn thousandths(text: &str) -> Option<u128> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let mut value = if whole.is_empty() && !part.is_empty() { 0 } else { whole.parse::<u128>().ok()? }.checked_mul(1000)?;
    let mut worth = 100;
    for digit in part.chars().take(3) {
        value = value.checked_add(u128::from(digit.to_digit(10)?) * worth)?;
        worth /= 10;
    }
    let times = |n: u128| value.checked_mul(n);
    match unit {
        "" => Some(value),
        "n" => Some(value / 1_000_000_000),
        "u" => Some(value / 1_000_000),
        "m" => Some(value / 1000),
        "k" => times(1000),
        "M" => times(1_000_000),
        "G" => times(1_000_000_000),
        "T" => times(1_000_000_000_000),
        "P" => times(1_000_000_000_000_000),
        "E" => times(1_000_000_000_000_000_000),
        "Ki" => times(1 << 10),
        "Mi" => times(1 << 20),
        "Gi" => times(1 << 30),
        "Ti" => times(1 << 40),
        "Pi" => times(1 << 50),
        "Ei" => times(1 << 60),
        _ => {
            let exponent: u32 = unit.strip_prefix(['e', 'E'])?.parse().ok()?;
            times(10_u128.checked_pow(exponent)?)
        }
    }
}

/// Bytes, pieces.
pub fn whole(text: &str) -> Option<u64> {
    u64::try_from(thousandths(text)? / 1000).ok()
}

/// Thousandths of a core.
pub fn milli(text: &str) -> Option<u64> {
    u64::try_from(thousandths(text)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_kubernetes_writes_them() {
        assert_eq!(
            ["2", "16Gi", "36028797018963968", "1e3", "1.5Ki", "129M"].map(|t| whole(t).unwrap()),
            [2, 16 << 30, 1 << 55, 1000, 1536, 129_000_000]
        );
        assert_eq!(["2", "500m", "0.1", "1.5"].map(|t| milli(t).unwrap()), [2000, 500, 100, 1500]);
        for bad in ["", "x", "1Gib", "-1", "."] {
            assert_eq!(whole(bad), None, "{bad}");
        }
    }
}
