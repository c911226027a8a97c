//! Where the copies of a model server are, in one column: separated by a space, which no address holds. A version of this program that
//! knew of one copy only wrote the same for it, and reads what this one writes for one.

/// Nothing is kept as NULL.
pub(super) fn column(addresses: &[String]) -> Option<String> {
    (!addresses.is_empty()).then(|| addresses.join(" "))
}

pub(super) fn of_column(column: Option<&str>) -> Vec<String> {
    column.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_addresses_come_back_as_they_were_and_one_as_the_version_before_wrote_it() {
        let two = ["http://10.0.0.1:8000".to_owned(), "http://[fd00::2]:8000".to_owned()];
        for addresses in [&two[..], &two[..1], &[]] {
            assert_eq!(of_column(column(addresses).as_deref()), addresses);
        }
        assert_eq!(column(&two[..1]).as_deref(), Some("http://10.0.0.1:8000"));
        assert_eq!(column(&[]), None);
    }
}
