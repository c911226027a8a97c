//! Cuts a file into rows, whatever the pieces it arrives in: one row a line, or the elements of one JSON list. The content
//! decides, never the name. Memory is bounded by one row.

use domain::{
    dataset::Container,
    inspect::{
        Finding,
        rules::{MOST_BYTES, Rule},
    },
};

/// A row as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawRow {
    /// Where it starts, from 1.
    pub line: u64,
    pub bytes: Vec<u8>,
    /// Bytes that it has in the file; more than `bytes` holds when it was too large to keep.
    pub size: u64,
}

/// Kept of a row that is too large, for the report.
const KEPT: usize = 16 * 1024;
/// The head of the file by which its kind is told.
const HEAD: usize = 512;

#[derive(Default)]
pub(crate) struct Splitter {
    state: State,
    line: u64,
    row: Vec<u8>,
    /// Bytes of the present row, kept or not.
    size: u64,
    row_line: u64,
}

enum State {
    /// The first bytes, until there are enough to tell the kind.
    Head(Vec<u8>),
    Lines,
    List(List),
    /// After the list's last bracket.
    Closed {
        line: u64,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

#[derive(Clone, Copy, Default)]
struct List {
    opened: bool,
    depth: u32,
    in_string: bool,
    escaped: bool,
    in_row: bool,
}

impl Splitter {
    /// Takes the next piece; gives every row that ends in it to `out`. An error refuses the whole file.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<RawRow>) -> Result<(), Finding> {
        if let State::Head(head) = &mut self.state {
            head.extend_from_slice(piece);
            if head.len() < HEAD {
                return Ok(());
            }
            let head = std::mem::take(head);
            return self.begin(&head, out);
        }
        self.cut(piece, out)
    }

    /// The end of the file.
    pub fn finish(mut self, out: &mut Vec<RawRow>) -> Result<Container, Finding> {
        if let State::Head(head) = &mut self.state {
            let head = std::mem::take(head);
            self.begin(&head, out)?;
        }
        match self.state {
            State::Head(_) => Err(Rule::FileEmpty.finding("The file holds no rows.")),
            State::Lines => {
                self.end_line(out);
                Ok(Container::Jsonl)
            }
            State::Closed { .. } => Ok(Container::Json),
            State::List(list) => {
                let place = if list.in_row {
                    format!("the row that starts in line {} is not finished", self.row_line)
                } else {
                    "its last bracket is missing".to_owned()
                };
                Err(Rule::FileBroken
                    .finding(format!("The JSON list breaks off in line {}: {place}. The file is probably cut off.", self.line)))
            }
        }
    }

    fn begin(&mut self, head: &[u8], out: &mut Vec<RawRow>) -> Result<(), Finding> {
        self.line = 1;
        self.row_line = 1;
        let rest = known_kind(head)?;
        self.state = match rest.iter().find(|b| !b.is_ascii_whitespace()) {
            Some(b'[') => State::List(List::default()),
            _ => State::Lines,
        };
        self.cut(rest, out)
    }

    fn cut(&mut self, piece: &[u8], out: &mut Vec<RawRow>) -> Result<(), Finding> {
        match self.state {
            State::List(_) | State::Closed { .. } => piece.iter().try_for_each(|b| self.list_byte(*b, out)),
            State::Head(_) | State::Lines => {
                let mut lines = piece.split(|b| *b == b'\n').peekable();
                while let Some(part) = lines.next() {
                    self.keep(part);
                    if lines.peek().is_some() {
                        self.end_line(out);
                    }
                }
                Ok(())
            }
        }
    }

    fn keep(&mut self, part: &[u8]) {
        self.size += part.len() as u64;
        if self.size <= MOST_BYTES as u64 {
            self.row.extend_from_slice(part);
        } else {
            let room = KEPT.saturating_sub(self.row.len()).min(part.len());
            self.row.extend_from_slice(&part[..room]);
            self.row.truncate(KEPT);
            self.row.shrink_to_fit();
        }
    }

    fn end_line(&mut self, out: &mut Vec<RawRow>) {
        if self.row.last() == Some(&b'\r') {
            self.row.pop();
            self.size -= 1;
        }
        let blank = self.size == self.row.len() as u64 && self.row.iter().all(u8::is_ascii_whitespace);
        if blank {
            self.row.clear();
            self.size = 0;
        } else {
            self.row_line = self.line;
            self.end_row(out);
        }
        self.line += 1;
    }

    fn end_row(&mut self, out: &mut Vec<RawRow>) {
        out.push(RawRow { line: self.row_line, bytes: std::mem::take(&mut self.row), size: std::mem::take(&mut self.size) });
    }

    fn list_byte(&mut self, byte: u8, out: &mut Vec<RawRow>) -> Result<(), Finding> {
        let line = self.line;
        if byte == b'\n' {
            self.line += 1;
        }
        let State::List(list) = &mut self.state else {
            let State::Closed { line: closed } = self.state else { return Ok(()) };
            if byte.is_ascii_whitespace() {
                return Ok(());
            }
            return Err(Rule::FileBroken.finding(format!(
                "The JSON list ends in line {closed}, but line {line} goes on. A file is either one list, or one row a line."
            )));
        };
        if !list.opened {
            // Only white space comes before the bracket; `begin` saw to it.
            list.opened = byte == b'[';
            return Ok(());
        }
        if list.in_string {
            match byte {
                _ if list.escaped && byte != b'\n' => list.escaped = false,
                b'\\' => list.escaped = true,
                b'"' => list.in_string = false,
                // No JSON text runs over a line's end. Here its quote was forgotten, and with it the brackets that follow:
                // the row ends here, so that the rows after it do not suffer.
                b'\n' => {
                    *list = List { opened: true, ..List::default() };
                    self.end_row(out);
                    return Ok(());
                }
                _ => {}
            }
            self.keep(&[byte]);
            return Ok(());
        }
        match byte {
            b',' | b']' if list.depth == 0 => {
                let ends = std::mem::take(&mut list.in_row);
                if byte == b']' {
                    self.state = State::Closed { line };
                }
                if ends {
                    while self.row.last().is_some_and(u8::is_ascii_whitespace) {
                        self.row.pop();
                        self.size -= 1;
                    }
                    self.end_row(out);
                }
                return Ok(());
            }
            b if b.is_ascii_whitespace() && !list.in_row => return Ok(()),
            b'"' => list.in_string = true,
            b'{' | b'[' => list.depth += 1,
            b'}' | b']' => list.depth = list.depth.saturating_sub(1),
            _ => {}
        }
        if !list.in_row {
            list.in_row = true;
            self.row_line = line;
        }
        self.keep(&[byte]);
        Ok(())
    }
}

/// The head without a byte order mark, or what the file is instead of rows.
fn known_kind(head: &[u8]) -> Result<&[u8], Finding> {
    let kinds: [(&[u8], &str); 9] = [
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive"),
        (b"BZh", "a bzip2 archive"),
        (b"\xfd7zXZ", "an xz archive"),
        (b"7z\xbc\xaf", "a 7z archive"),
        (b"PAR1", "a Parquet file"),
        (b"ARROW1", "an Arrow file"),
        (b"%PDF", "a PDF"),
    ];
    if let Some((_, kind)) = kinds.iter().find(|(magic, _)| head.starts_with(magic)) {
        let next =
            if kind.ends_with("archive") { "Unpack it and upload the JSON or JSONL file itself." } else { "Upload it as JSON or JSONL." };
        return Err(Rule::FileKind.finding(format!("The file is {kind}. {next}")));
    }
    let utf16 =
        head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") || matches!(head, [0, b'{' | b'[', ..] | [b'{' | b'[', 0, ..]);
    if utf16 {
        return Err(Rule::FileEncoding.finding("The file is written in UTF-16 (line 1, byte 1). Save it as UTF-8."));
    }
    if head.contains(&0) {
        return Err(Rule::FileKind.finding("The file is not a text. Upload JSON or JSONL."));
    }
    Ok(head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head))
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
