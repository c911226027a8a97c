//! Rows come out the same, however the file is cut into pieces.

use super::*;
use proptest::prelude::*;

fn split(file: &[u8], piece: usize) -> (Vec<(u64, String)>, Result<Container, String>) {
    let mut rows = Vec::new();
    // Whatever the container, a row stands where it says.
    let mut take = |r: RawRow<'_>| {
        assert_eq!(r.bytes, &file[r.at as usize..][..r.bytes.len()], "at {}", r.at);
        rows.push((r.line, String::from_utf8_lossy(r.bytes).into_owned()));
    };
    let mut reader = RowReader::default();
    let pushed = file.chunks(piece).try_for_each(|p| reader.push(p, &mut take));
    let end = pushed.and_then(|()| reader.finish(&mut take)).map_err(|f| format!("{} {}", f.rule().id(), f.said()));
    (rows, end)
}

fn rows(file: &str) -> Vec<(u64, String)> {
    let (rows, end) = split(file.as_bytes(), 7);
    assert!(end.is_ok(), "{end:?}");
    rows
}

fn row(line: u64, text: &str) -> (u64, String) {
    (line, text.to_owned())
}

#[test]
fn lines_keep_their_numbers_with_a_mark_blank_lines_and_any_line_end() {
    let found = rows("\u{feff}{\"a\":1}\r\n\n  \n{\"b\":2}\n{\"c\":3}");
    assert_eq!(found, [row(1, "{\"a\":1}"), row(4, "{\"b\":2}"), row(5, "{\"c\":3}")]);
    // A mark alone, or only blank lines, are no rows.
    assert!(rows("\u{feff}\n \n").is_empty());
}

#[test]
fn elements_of_a_list_come_one_by_one_with_the_lines_they_start_in() {
    let file = "\n[\n {\"a\": [1, 2],\n  \"b\": \"]},{\\\"\"},\n\n {\"c\": {}} , 3\n, \"x\",\n]\n";
    let found = rows(file);
    assert_eq!(found, [row(3, "{\"a\": [1, 2],\n  \"b\": \"]},{\\\"\"}"), row(6, "{\"c\": {}}"), row(6, "3"), row(7, "\"x\"")]);
    assert_eq!(split(file.as_bytes(), 3).1, Ok(Container::Json));
    assert_eq!(split(b"[]", 1), (vec![], Ok(Container::Json)));
}

#[test]
fn a_forgotten_quote_costs_one_row() {
    let found = rows("[\n{\"a\": \"x},\n{\"b\": 2},\n{\"c\": 3}\n]");
    assert_eq!(found, [row(2, "{\"a\": \"x},"), row(3, "{\"b\": 2}"), row(4, "{\"c\": 3}")]);
}

#[test]
fn a_list_that_breaks_off_and_one_that_goes_on_are_refused_with_the_line() {
    let (found, end) = split(b"[\n{\"a\":1},\n{\"b\":", 5);
    assert_eq!(found, [row(2, "{\"a\":1}")]);
    let said = end.unwrap_err();
    assert!(said.starts_with("DS-FILE-BROKEN") && said.contains("starts in line 3"), "{said}");
    let said = split(b"[{}]\n[{}]", 5).1.unwrap_err();
    assert!(said.contains("ends in line 1, but line 2 goes on"), "{said}");
}

#[test]
fn what_is_no_text_is_refused_by_its_content() {
    for (head, says) in [
        (&b"PK\x03\x04rest"[..], "DS-FILE-KIND The file is a zip archive. Unpack it"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"PAR1....", "a Parquet file"),
        (b"\xff\xfe{\0", "DS-FILE-ENCODING"),
        (b"{\0\"\0", "UTF-16"),
        (b"\x01\x00\x02", "not a text"),
    ] {
        let said = split(head, 2).1.unwrap_err();
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_row_that_is_too_large_is_measured_but_not_kept() {
    let mut file = vec![b'{'; MOST_BYTES + 10];
    file.extend_from_slice(b"\n{\"a\":1}\n");
    for piece in [64 * 1024, file.len()] {
        let mut out = Vec::new();
        let mut take = |r: RawRow<'_>| out.push((r.line, r.size, r.bytes.to_vec()));
        let mut reader = RowReader::default();
        for piece in file.chunks(piece) {
            reader.push(piece, &mut take).unwrap();
        }
        reader.finish(&mut take).unwrap();
        assert_eq!((out[0].1, out[0].2.len() <= KEPT), (MOST_BYTES as u64 + 10, true));
        assert_eq!((out[1].0, out[1].2.as_slice()), (2, &b"{\"a\":1}"[..]));
    }
}

#[test]
fn a_nul_in_one_row_is_the_fault_of_that_row() {
    let file = format!("{{\"a\":\"x\0\"}}\n{}", "{\"b\":2}\n".repeat(9));
    assert_eq!(rows(&file).len(), 10);
}

proptest! {
    #[test]
    fn pieces_make_no_difference(file in "[\\[\\]{}\",:a\\\\ \n\r1]{0,60}", piece in 1usize..9) {
        prop_assert_eq!(split(file.as_bytes(), piece), split(file.as_bytes(), 1000));
    }

    #[test]
    fn every_element_of_a_valid_list_comes_out(values in prop::collection::vec("[a\"\\\\,\\[\\]{}\n ]{0,6}", 0..6), pretty: bool) {
        let list: Vec<serde_json::Value> = values.iter().map(|v| serde_json::json!({ "text": v, "list": [v, [v]] })).collect();
        let file = if pretty { serde_json::to_string_pretty(&list) } else { serde_json::to_string(&list) }.unwrap();
        let (found, end) = split(file.as_bytes(), 3);
        prop_assert_eq!(end, Ok(Container::Json));
        let back: Vec<serde_json::Value> = found.iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect();
        prop_assert_eq!(back, list);
    }

    #[test]
    fn no_bytes_make_it_panic(file in prop::collection::vec(any::<u8>(), 0..900), piece in 1usize..400) {
        let _ = split(&file, piece);
    }
}
