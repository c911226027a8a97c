//! The settings as a YAML text that somebody edits: one `key: value` a line, comments and empty lines between them. Changing one value
//! changes that value and no other letter of the text.
//!
//! Ours, because it also runs in the browser and must stay small there: YAML in general (anchors, nested maps, several documents) is
//! more than what the trainer's file needs, and is named with its line instead of being read in half.

use std::ops::Range;

/// A text of settings. Any text can be held; what cannot be read is told by [`Document::unread`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// With their line ends.
    lines: Vec<String>,
}

/// A key that stands in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// From 1.
    pub line: usize,
    pub key: String,
    /// None = `null`, `~` or nothing: not set.
    pub value: Option<String>,
}

/// What a piece of a line is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Plain,
    Key,
    Value,
    Comment,
}

enum Line {
    Empty,
    Pair {
        key: Range<usize>,
        /// The value with its quotes; without a value the place where one belongs.
        place: Range<usize>,
        value: Option<String>,
    },
    /// Why it cannot be read.
    Unread(&'static str),
}

impl Document {
    pub fn new(text: &str) -> Self {
        Self { lines: text.split_inclusive('\n').map(str::to_owned).collect() }
    }

    pub fn text(&self) -> String {
        self.lines.concat()
    }

    /// All keys that stand in it, from above.
    pub fn pairs(&self) -> Vec<Pair> {
        let read = |(i, line): (usize, &String)| match read(line) {
            Line::Pair { key, value, .. } => Some(Pair { line: i + 1, key: line[key].to_owned(), value }),
            _ => None,
        };
        self.lines.iter().enumerate().filter_map(read).collect()
    }

    /// Every line cut into pieces, without its line end and without losing a letter. One that cannot be read is one piece.
    pub fn pieces(&self) -> Vec<Vec<(Mark, &str)>> {
        self.lines.iter().map(|line| pieces(line)).collect()
    }

    /// Lines that cannot be read, and why.
    pub fn unread(&self) -> Vec<(usize, &'static str)> {
        let mut seen = std::collections::BTreeSet::new();
        let mut out = Vec::new();
        for (i, line) in self.lines.iter().enumerate() {
            match read(line) {
                Line::Unread(why) => out.push((i + 1, why)),
                Line::Pair { key, .. } if !seen.insert(&line[key.clone()]) => out.push((i + 1, "repeats a key that stands further up")),
                _ => {}
            }
        }
        out
    }

    /// The first value of this key; an empty text when it is not set.
    pub fn get(&self, key: &str) -> String {
        self.pairs().into_iter().find(|p| p.key == key).and_then(|p| p.value).unwrap_or_default()
    }

    /// Puts a value (one line, as typed) where this key stands, or below the last key. An empty value leaves the key without one.
    pub fn set(&mut self, key: &str, value: &str) {
        let value = value.replace(['\n', '\r'], " ");
        let found = self.lines.iter_mut().find_map(|line| match read(line) {
            Line::Pair { key: at, place, .. } if line[at.clone()] == *key => Some((line, place)),
            _ => None,
        });
        let Some((line, place)) = found else {
            if !value.is_empty() {
                self.add(key, &value);
            }
            return;
        };
        let (before, after) = (&line[..place.start], &line[place.end..]);
        let gap = if before.ends_with(':') && !value.is_empty() { " " } else { "" };
        let apart = if after.starts_with('#') { " " } else { "" };
        *line = format!("{before}{gap}{}{apart}{after}", written(&value));
    }

    /// Takes the key's lines out.
    pub fn remove(&mut self, key: &str) {
        self.lines.retain(|line| !matches!(read(line), Line::Pair { key: at, .. } if line[at.clone()] == *key));
    }

    fn add(&mut self, key: &str, value: &str) {
        let at = self.lines.iter().rposition(|line| matches!(read(line), Line::Pair { .. })).map_or(self.lines.len(), |i| i + 1);
        if let Some(last) = at.checked_sub(1).and_then(|i| self.lines.get_mut(i))
            && !last.ends_with('\n')
        {
            last.push('\n');
        }
        self.lines.insert(at, format!("{key}: {}\n", written(value)));
    }
}

/// Plain where this reads back as it is, else in double quotes.
fn written(value: &str) -> String {
    let plain = format!("k: {value}");
    match read(&plain) {
        Line::Pair { value: Some(back), .. } if back == value => value.to_owned(),
        _ if value.is_empty() => String::new(),
        _ => serde_json::Value::from(value).to_string(),
    }
}

const ONE_A_LINE: &str = "is no “key: value”";
const PLAIN_ONLY: &str = "holds more than one value; write a number, a word, or names separated by commas";

fn read(line: &str) -> Line {
    let body = line.trim_end_matches(['\n', '\r']);
    let bare = body.trim();
    if bare.is_empty() || bare.starts_with('#') || bare == "---" {
        return Line::Empty;
    }
    if body.starts_with([' ', '\t']) {
        return Line::Unread("is indented, and settings have no parts");
    }
    let Some(colon) = body.find(':') else { return Line::Unread(ONE_A_LINE) };
    let key = 0..body[..colon].trim_end().len();
    let rest = &body[colon + 1..];
    let name = &body[key.clone()];
    if name.is_empty()
        || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        || !(rest.is_empty() || rest.starts_with([' ', '\t']))
    {
        return Line::Unread(ONE_A_LINE);
    }
    let start = body.len() - rest.trim_start_matches([' ', '\t']).len();
    let text = &body[start..];
    if text.is_empty() || text.starts_with('#') {
        let place = if rest.is_empty() { colon + 1 } else { colon + 2 };
        return Line::Pair { key, place: place..place, value: None };
    }
    let (length, value) = match text.as_bytes()[0] {
        b'"' | b'\'' => match quoted(text) {
            Some((length, value)) => (length, Some(value)),
            None => return Line::Unread("has a quote that does not end, or an escape that is not known"),
        },
        b'[' | b'{' | b'|' | b'>' | b'&' | b'*' | b'!' | b'%' | b'@' | b'`' | b'?' | b',' | b']' | b'}' => return Line::Unread(PLAIN_ONLY),
        _ => {
            let end = text.find(" #").into_iter().chain(text.find("\t#")).min().unwrap_or(text.len());
            let plain = text[..end].trim_end();
            if plain == "-" || plain.starts_with("- ") || plain.contains(": ") || plain.contains(":\t") || plain.ends_with(':') {
                return Line::Unread(PLAIN_ONLY);
            }
            (plain.len(), (!matches!(plain, "~" | "null" | "Null" | "NULL")).then(|| plain.to_owned()))
        }
    };
    let after = &text[length..];
    let comment = after.trim_start();
    if !comment.is_empty() && (comment.len() == after.len() || !comment.starts_with('#')) {
        return Line::Unread("has something behind the closing quote");
    }
    Line::Pair { key, place: start..start + length, value }
}

fn pieces(line: &str) -> Vec<(Mark, &str)> {
    let body = line.trim_end_matches(['\n', '\r']);
    let rest = |rest: &'_ str| {
        let (blank, comment) = rest.split_at(rest.len() - rest.trim_start().len());
        [(Mark::Plain, blank.len()), (if comment.starts_with('#') { Mark::Comment } else { Mark::Plain }, comment.len())]
    };
    let lengths = match read(line) {
        Line::Empty => rest(body).to_vec(),
        Line::Unread(_) => vec![(Mark::Plain, body.len())],
        Line::Pair { key, place, .. } => {
            let mut lengths = vec![(Mark::Key, key.len()), (Mark::Plain, place.start - key.end), (Mark::Value, place.len())];
            lengths.extend(rest(&body[place.end..]));
            lengths
        }
    };
    let mut from = 0;
    let mut out = Vec::new();
    for (mark, length) in lengths.into_iter().filter(|(_, length)| *length > 0) {
        out.push((mark, &body[from..from + length]));
        from += length;
    }
    out
}

/// Length with the quotes, and what is between them.
fn quoted(text: &str) -> Option<(usize, String)> {
    if text.starts_with('\'') {
        let (mut value, mut chars) = (String::new(), text.char_indices().skip(1).peekable());
        while let Some((i, c)) = chars.next() {
            match c {
                '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                    chars.next();
                    value.push('\'');
                }
                '\'' => return Some((i + 1, value)),
                c => value.push(c),
            }
        }
        return None;
    }
    let mut escaped = false;
    let end = text.bytes().enumerate().skip(1).find(|(_, b)| {
        let closes = *b == b'"' && !escaped;
        escaped = *b == b'\\' && !escaped;
        closes
    })?;
    serde_json::from_str(&text[..=end.0]).ok().map(|value| (end.0 + 1, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_cut_into_key_value_and_comment() {
        use Mark::{Comment, Key, Plain, Value};
        let pieces = |text: &str| Document::new(text).pieces().concat().into_iter().map(|(m, t)| (m, t.to_owned())).collect::<Vec<_>>();
        let all = |pieces: &[(Mark, &str)]| pieces.iter().map(|(m, t)| (*m, (*t).to_owned())).collect::<Vec<_>>();
        let line = "seed: 7  # lucky\r\n";
        assert_eq!(pieces(line), all(&[(Key, "seed"), (Plain, ": "), (Value, "7"), (Plain, "  "), (Comment, "# lucky")]));
        assert_eq!(pieces("a: \"x # y\"\n"), all(&[(Key, "a"), (Plain, ": "), (Value, "\"x # y\"")]));
        assert_eq!(pieces(" # alone"), all(&[(Plain, " "), (Comment, "# alone")]));
        assert_eq!(pieces("a:"), all(&[(Key, "a"), (Plain, ":")]));
        assert_eq!(pieces("a: [1]"), all(&[(Plain, "a: [1]")]));
    }

    const FILE: &str = "# tickets, second try\n\n### method\nfinetuning_type: lora\nlora_rank: 16   # 8 was too little\n\n### optimiser\nlearning_rate:  '2e-4'\nseed:\nwarmup_steps: ~ # none\n";

    #[test]
    fn one_field_is_changed_and_no_other_letter() {
        let mut doc = Document::new(FILE);
        assert_eq!(doc.unread(), []);
        assert_eq!([doc.get("lora_rank"), doc.get("learning_rate"), doc.get("seed"), doc.get("nothing")], ["16", "2e-4", "", ""]);
        doc.set("lora_rank", "32");
        doc.set("learning_rate", "1e-5");
        doc.set("seed", "7");
        doc.set("warmup_steps", "3");
        doc.set("weight_decay", "0.01");
        doc.set("packing", "");
        let expected = FILE.replace("16   #", "32   #").replace("'2e-4'", "1e-5").replace("seed:", "seed: 7").replace("~ #", "3 #");
        assert_eq!(doc.text(), expected + "weight_decay: 0.01\n");
        doc.remove("seed");
        assert!(!doc.text().contains("seed") && doc.text().contains("# 8 was too little"));
    }

    #[test]
    fn what_is_no_setting_is_named_with_its_line() {
        let lines = "a: 1\n  b: 2\nc: [1, 2]\nd\ne: \"open\na: 2\nf: x: y\ng:1\n- h\n";
        let unread: Vec<_> = Document::new(lines).unread().into_iter().map(|(line, _)| line).collect();
        assert_eq!(unread, [2, 3, 4, 5, 6, 7, 8, 9]);
    }

    fn key() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("lora_rank"), Just("learning_rate"), Just("optim"), Just("seed")]
    }
    fn value() -> impl Strategy<Value = String> {
        prop_oneof!["[ -~äß“#:'\"\\\\]{0,16}", "[0-9]{1,4}(\\.[0-9]{1,3})?(e-[1-9])?", Just("null".to_owned()), Just("true".to_owned())]
    }
    fn line() -> impl Strategy<Value = String> {
        let spaces = "[ \t]{1,3}";
        prop_oneof![
            (
                key(),
                spaces,
                value().prop_map(|v| written(&v)),
                prop_oneof![Just(String::new()), " {1,3}# [ -~]{0,12}"],
                prop_oneof!["\n", "\r\n"]
            )
                .prop_map(|(k, s, v, c, end)| format!("{k}:{s}{v}{c}{end}")),
            "( {0,3}#[ -~]{0,12})?\n",
        ]
    }

    proptest! {
        #[test]
        fn any_text_is_kept_as_it_is(text in "(?s).{0,200}") {
            let doc = Document::new(&text);
            doc.pairs();
            doc.unread();
            let cut: String = doc.pieces().concat().into_iter().map(|(_, piece)| piece).collect();
            prop_assert_eq!(cut, doc.lines.iter().map(|l| l.trim_end_matches(['\n', '\r'])).collect::<String>());
            prop_assert_eq!(doc.text(), text);
        }

        #[test]
        fn what_is_set_is_read_back_and_everything_else_stays(lines in prop::collection::vec(line(), 0..12), key in key(), value in value()) {
            let text = lines.concat();
            let mut doc = Document::new(&text);
            let at = doc.pairs().iter().find(|p| p.key == key).map(|p| p.line - 1);
            doc.set(key, &value);
            prop_assert_eq!(doc.get(key), value.clone());
            let mut after: Vec<_> = doc.text().split_inclusive('\n').map(str::to_owned).collect();
            match at {
                Some(at) => {
                    let (old, new) = (&lines[at], &after[at]);
                    let comment = |line: &str| match read(line) { Line::Pair { place, .. } => line[place.end..].trim_start().to_owned(), _ => String::new() };
                    prop_assert_eq!(comment(old), comment(new));
                    after[at].clone_from(old);
                }
                None if value.is_empty() => {}
                None => { let new = after.iter().position(|l| l.starts_with(key)).unwrap(); after.remove(new); }
            }
            prop_assert_eq!(after.concat(), text);
        }

        #[test]
        fn a_yaml_reader_reads_the_same(pairs in prop::collection::btree_map(key(), value(), 0..4)) {
            let mut doc = Document::default();
            for (key, value) in &pairs {
                doc.set(key, value);
            }
            let read: Option<std::collections::BTreeMap<String, serde_yaml_ng::Value>> = serde_yaml_ng::from_str(&doc.text()).unwrap();
            for (key, value) in read.unwrap_or_default() {
                if let serde_yaml_ng::Value::String(text) = value {
                    prop_assert_eq!(&text, &pairs[key.as_str()]);
                }
            }
        }
    }
}
