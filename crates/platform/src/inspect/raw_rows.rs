//! Cuts a file into rows, whatever the pieces it arrives in: one row a line, or the elements of one JSON list. The content
//! decides, never the name. Memory is bounded by one row; a row that lies within a piece is not copied.

use domain::{
    dataset::Container,
    inspect::{FileFinding, ForeignFile, rules::MOST_BYTES},
};
use memchr::{memchr_iter, memchr3};

/// A row as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawRow<'a> {
    /// Line where it starts, from 1.
    pub line: u64,
    /// Byte where it starts, from 0.
    pub at: u64,
    pub bytes: &'a [u8],
    /// Bytes that it has in the file; more than `bytes` holds when it was too large to keep.
    pub size: u64,
}

/// Who takes the rows.
type Out<'o> = &'o mut dyn FnMut(RawRow<'_>);

/// Kept of a row that is too large, for the report.
const KEPT: usize = 16 * 1024;
/// The head of the file by which its kind is told.
const HEAD: usize = 512;
/// Room that the buffer of torn rows keeps; what a long row needed beyond that is given back.
const ROOM: usize = 64 * 1024;

#[derive(Default)]
pub(crate) struct RowReader {
    state: State,
    line: u64,
    /// Bytes of the file before the present piece.
    before: u64,
    /// What is kept of the present row, when it began in an earlier piece.
    row: Vec<u8>,
    /// Bytes of the present row, kept or not.
    size: u64,
    row_line: u64,
    row_at: u64,
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

impl RowReader {
    /// Takes the next piece; gives every row that ends in it to `out`. An error refuses the whole file.
    pub fn push(&mut self, piece: &[u8], out: Out<'_>) -> Result<(), FileFinding> {
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
    pub fn finish(mut self, out: Out<'_>) -> Result<Container, FileFinding> {
        if let State::Head(head) = &mut self.state {
            let head = std::mem::take(head);
            self.begin(&head, out)?;
        }
        match self.state {
            State::Head(_) => Err(FileFinding::Empty),
            State::Lines => {
                self.end_line(out);
                Ok(Container::Jsonl)
            }
            State::Closed { .. } => Ok(Container::Json),
            State::List(list) => Err(FileFinding::CutOff { line: self.line, row: list.in_row.then_some(self.row_line) }),
        }
    }

    fn begin(&mut self, head: &[u8], out: Out<'_>) -> Result<(), FileFinding> {
        self.line = 1;
        self.row_line = 1;
        let rest = known_kind(head)?;
        self.before = (head.len() - rest.len()) as u64;
        self.state = match rest.iter().find(|b| !b.is_ascii_whitespace()) {
            Some(b'[') => State::List(List::default()),
            _ => State::Lines,
        };
        self.cut(rest, out)
    }

    fn cut(&mut self, piece: &[u8], out: Out<'_>) -> Result<(), FileFinding> {
        match self.state {
            State::List(_) | State::Closed { .. } => self.cut_list(piece, out)?,
            State::Head(_) | State::Lines => self.cut_lines(piece, out),
        }
        self.before += piece.len() as u64;
        Ok(())
    }

    fn cut_lines(&mut self, piece: &[u8], out: Out<'_>) {
        let mut start = 0;
        for end in memchr_iter(b'\n', piece) {
            let part = &piece[start..end];
            if self.size == 0 {
                let line = part.strip_suffix(b"\r").unwrap_or(part);
                if !line.trim_ascii_start().is_empty() {
                    let kept = if line.len() > MOST_BYTES { &line[..KEPT] } else { line };
                    out(RawRow { line: self.line, at: self.before + start as u64, bytes: kept, size: line.len() as u64 });
                }
                self.line += 1;
            } else {
                self.keep(part);
                self.end_line(out);
            }
            start = end + 1;
        }
        if start < piece.len() {
            if self.size == 0 {
                self.row_at = self.before + start as u64;
            }
            self.keep(&piece[start..]);
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
        }
    }

    fn end_line(&mut self, out: Out<'_>) {
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

    fn end_row(&mut self, out: Out<'_>) {
        out(RawRow { line: self.row_line, at: self.row_at, bytes: &self.row, size: self.size });
        self.row.clear();
        self.row.shrink_to(ROOM);
        self.size = 0;
    }

    fn cut_list(&mut self, piece: &[u8], out: Out<'_>) -> Result<(), FileFinding> {
        // What of the present row is not kept yet begins here.
        let mut from = 0;
        let mut i = 0;
        while i < piece.len() {
            let State::List(list) = &mut self.state else { return self.after_list(&piece[i..]) };
            if list.in_string && !list.escaped {
                match memchr3(b'"', b'\\', b'\n', &piece[i..]) {
                    Some(n) => i += n,
                    None => break,
                }
            }
            let (byte, line, here) = (piece[i], self.line, i);
            i += 1;
            if byte == b'\n' {
                self.line += 1;
            }
            if !list.opened {
                // Only white space comes before the bracket; `begin` saw to it.
                list.opened = byte == b'[';
                continue;
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
                        self.keep(&piece[from..here]);
                        self.end_row(out);
                    }
                    _ => {}
                }
                continue;
            }
            match byte {
                b',' | b']' if list.depth == 0 => {
                    let ends = std::mem::take(&mut list.in_row);
                    if byte == b']' {
                        self.state = State::Closed { line };
                    }
                    if ends {
                        self.keep(&piece[from..here]);
                        while self.row.last().is_some_and(u8::is_ascii_whitespace) {
                            self.row.pop();
                            self.size -= 1;
                        }
                        self.end_row(out);
                    }
                    continue;
                }
                b if b.is_ascii_whitespace() && !list.in_row => continue,
                b'"' => list.in_string = true,
                b'{' | b'[' => list.depth += 1,
                b'}' | b']' => list.depth = list.depth.saturating_sub(1),
                _ => {}
            }
            if !list.in_row {
                list.in_row = true;
                self.row_line = line;
                self.row_at = self.before + here as u64;
                from = here;
            }
        }
        if let State::List(List { in_row: true, .. }) = self.state {
            self.keep(&piece[from..]);
        }
        Ok(())
    }

    /// Nothing but white space may follow the list.
    fn after_list(&mut self, rest: &[u8]) -> Result<(), FileFinding> {
        let State::Closed { line: closed } = self.state else { return Ok(()) };
        let more = rest.iter().position(|b| !b.is_ascii_whitespace());
        self.line += memchr_iter(b'\n', &rest[..more.unwrap_or(rest.len())]).count() as u64;
        match more {
            None => Ok(()),
            Some(_) => Err(FileFinding::GoesOnAfterList { ended: closed, line: self.line }),
        }
    }
}

/// The head without a byte order mark, or what the file is instead of rows.
fn known_kind(head: &[u8]) -> Result<&[u8], FileFinding> {
    let kinds: [(&[u8], ForeignFile); 9] = [
        (b"PK\x03\x04", ForeignFile::Zip),
        (b"\x1f\x8b", ForeignFile::Gzip),
        (b"\x28\xb5\x2f\xfd", ForeignFile::Zstd),
        (b"BZh", ForeignFile::Bzip2),
        (b"\xfd7zXZ", ForeignFile::Xz),
        (b"7z\xbc\xaf", ForeignFile::SevenZip),
        (b"PAR1", ForeignFile::Parquet),
        (b"ARROW1", ForeignFile::Arrow),
        (b"%PDF", ForeignFile::Pdf),
    ];
    if let Some((_, file)) = kinds.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(FileFinding::Foreign { file: *file });
    }
    let utf16 =
        head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") || matches!(head, [0, b'{' | b'[', ..] | [b'{' | b'[', 0, ..]);
    if utf16 {
        return Err(FileFinding::Utf16);
    }
    // One stray NUL is a fault of its row, which is told there.
    let control = head.iter().filter(|b| b.is_ascii_control() && !b.is_ascii_whitespace()).count();
    if head.contains(&0) && control * 20 > head.len() {
        return Err(FileFinding::NotText);
    }
    Ok(head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head))
}

#[cfg(test)]
#[path = "raw_rows_tests.rs"]
mod tests;
