//! Server-sent events as a model server may write them: any line end, several `data:` lines to one event, a byte order mark.

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Puts lines and events together from pieces of any size.
#[derive(Default)]
pub(crate) struct Events {
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The data of the event whose end has not come yet, one line end between its lines.
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return: a line feed right after it belongs to it.
    after_return: bool,
    /// Something of the stream was read already: a byte order mark is one at its very beginning only.
    begun: bool,
}

/// A line or an event is longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Events {
    /// Calls `take` with the data of every event that these bytes bring to its end, until it returns an error.
    pub(crate) fn push<E: From<TooLong>>(
        &mut self,
        bytes: &[u8],
        longest: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            let (line, ending) = (&rest[..end], rest[end]);
            rest = &rest[end + 1..];
            let fed = ending == b'\n' && line.is_empty() && self.after_return && self.line.is_empty();
            self.after_return = ending == b'\r';
            if fed {
                continue;
            }
            if !self.line.is_empty() {
                self.line.extend_from_slice(line);
                let mut whole = std::mem::take(&mut self.line);
                let done = self.take_line(&whole, false, &mut take);
                whole.clear();
                self.line = whole;
                done?;
            } else {
                // An event of one line, with its end right behind it, is taken as it lies there.
                let ends_here = !self.has_data && matches!((ending, rest.first()), (b'\n', Some(b'\n' | b'\r')));
                self.take_line(line, ends_here, &mut take)?;
            }
            if self.data.len() > longest {
                return Err(TooLong.into());
            }
        }
        if !rest.is_empty() {
            self.after_return = false;
        }
        if self.line.len() + self.data.len() + rest.len() > longest {
            return Err(TooLong.into());
        }
        self.line.extend_from_slice(rest);
        Ok(())
    }

    /// The stream has ended; what has come of a last event without its empty line is an event too.
    pub(crate) fn end<E>(&mut self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take_line(&line, false, &mut take)?;
        }
        self.take_line(b"", false, &mut take)
    }

    fn take_line<E>(&mut self, line: &[u8], ends_here: bool, take: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let line = if std::mem::replace(&mut self.begun, true) { line } else { line.strip_prefix(BOM).unwrap_or(line) };
        if line.is_empty() {
            if !std::mem::take(&mut self.has_data) {
                return Ok(());
            }
            let mut data = std::mem::take(&mut self.data);
            let done = take(data.trim_ascii());
            data.clear();
            self.data = data;
            return done;
        }
        // Comments, names and numbers of events are not part of OpenAI's streams.
        let Some(data) = line.strip_prefix(b"data").filter(|rest| matches!(rest.first(), Some(b':') | None)) else { return Ok(()) };
        let data = data.strip_prefix(b":").unwrap_or(data);
        if ends_here {
            return take(data.trim_ascii());
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], cuts: &[usize]) -> Vec<String> {
        let (mut events, mut out, mut from) = (Events::default(), Vec::new(), 0);
        let mut take = |data: &[u8]| {
            out.push(String::from_utf8(data.to_vec()).unwrap());
            Ok::<_, TooLong>(())
        };
        for cut in cuts.iter().copied().chain([text.len()]) {
            events.push(&text[from..cut], 1_000, &mut take).unwrap();
            from = cut;
        }
        events.end(&mut take).unwrap();
        out
    }

    #[test]
    fn every_legal_way_to_write_a_stream_reads_the_same_wherever_it_is_cut() {
        for text in [
            "data: {\"a\":1}\n\ndata: [DONE]\n\n",
            "data:{\"a\":1}\r\n\r\ndata:[DONE]\r\n\r\n",
            "data: {\"a\":1}\r\rdata: [DONE]\r\r",
            "\u{feff}data: {\"a\":1}\n\n: comment\n\nevent: x\nid: 7\ndata: [DONE]\n\n",
            "\u{feff}: hello\rdata: {\"a\":1}\r\n\ndata: [DONE]\r\r\n",
            "data\n\ndata: {\"a\":1}\n\nretry: 3\n\ndata: [DONE]",
        ] {
            let wanted: Vec<&str> = if text.starts_with("data\n") { vec!["", "{\"a\":1}", "[DONE]"] } else { vec!["{\"a\":1}", "[DONE]"] };
            for one in 0..=text.len() {
                for two in one..=text.len() {
                    assert_eq!(read(text.as_bytes(), &[one, two]), wanted, "{text:?} cut at {one} and {two}");
                }
            }
        }
        for cut in 0.."data: {\"a\":\ndata: 1}\n\n".len() {
            assert_eq!(read(b"data: {\"a\":\ndata: 1}\n\n", &[cut]), ["{\"a\":\n1}"]);
        }
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let mut events = Events::default();
        let mut take = |_: &[u8]| Ok::<_, TooLong>(());
        assert_eq!(events.push(&[b'x'; 900], 1_000, &mut take), Ok(()));
        assert_eq!(events.push(&[b'x'; 101], 1_000, &mut take), Err(TooLong));
        let mut events = Events::default();
        assert_eq!(events.push("data: 12345678\n".repeat(200).as_bytes(), 1_000, &mut take), Err(TooLong));
    }
}
