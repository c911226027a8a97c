//! The model's answer as it comes over the wire: `data:` lines of a server-sent stream, in pieces of any size.

/// Longest line that is kept; a longer one is an error of the other side.
const LINE: usize = 1024 * 1024;

/// Collects bytes and gives whole `data:` payloads.
#[derive(Default)]
pub struct DataLines {
    buffer: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

impl DataLines {
    /// What has become whole with these bytes, in order.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        self.buffer.extend_from_slice(bytes);
        let mut out = Vec::new();
        let mut from = 0;
        while let Some(end) = self.buffer[from..].iter().position(|b| *b == b'\n') {
            let line = &self.buffer[from..from + end];
            if let Some(data) = line.strip_prefix(b"data:") {
                let text = String::from_utf8_lossy(data);
                out.push(text.trim().to_owned());
            }
            from += end + 1;
        }
        self.buffer.drain(..from);
        if self.buffer.len() > LINE { Err(TooLong) } else { Ok(out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_wherever_they_were_cut() {
        let text = "data: {\"a\":\"ä\"}\r\n\r\n: comment\nevent: x\ndata:[DONE]\n\n";
        for cut in 0..text.len() {
            let mut lines = DataLines::default();
            let mut got = lines.push(&text.as_bytes()[..cut]).unwrap();
            got.extend(lines.push(&text.as_bytes()[cut..]).unwrap());
            assert_eq!(got, ["{\"a\":\"ä\"}", "[DONE]"], "cut at {cut}");
        }
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        assert_eq!(DataLines::default().push(&vec![b'x'; LINE + 1]), Err(TooLong));
    }
}
