//! The output of a task: the log of its pod, read through the API server.
//!
//! The API knows no offsets, only times of lines. So a cursor is the time of the last line that was read, and how many lines of exactly
//! that time were read: lines of one time are neither lost nor doubled, and a portal that was restarted reads on.
//! What can be missed: lines that a node stamped earlier than those before them (its clock was set back), and what a node has rotated away
//! (10 MiB of log) before it was read. The log and the verdict that the task itself puts into the store are whole.

use super::{failed, is_not_found, names::MAIN, observe};
use crate::{Cursor, Error, Output};
use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{Api, api::LogParams};
use std::{collections::BTreeMap, pin::pin};

/// How far a log was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Nanoseconds since 1970.
    at: i128,
    /// Lines of this very time that were read.
    lines: u32,
}

impl Place {
    const START: Self = Self { at: i128::MIN, lines: 0 };

    fn of(cursor: &Cursor) -> Option<Self> {
        match cursor.as_str() {
            "" => Some(Self::START),
            // What the local engine has left: a run's output is read by one engine from its beginning to its end.
            text => {
                let (at, lines) = text.split_once('+')?;
                Some(Self { at: at.parse().ok()?, lines: lines.parse().ok()? })
            }
        }
    }

    /// From when to ask: lines of this second come again, and are passed over. The API server takes whole seconds only, and the client would
    /// round half of them up, and lose what was said in between.
    fn second(self) -> Option<Timestamp> {
        let second = self.at.div_euclid(1_000_000_000);
        i64::try_from(second).ok().and_then(|s| Timestamp::from_second(s).ok())
    }

    fn cursor(self) -> Cursor {
        if self == Self::START { Cursor::start() } else { Cursor::from_text(format!("{}+{}", self.at, self.lines)) }
    }
}

/// `pod`: `None` = there is none yet, or none any more.
pub async fn read(pods: &Api<Pod>, name: &str, pod: Option<&Pod>, from: &Cursor, limit: usize) -> Result<Output, Error> {
    let place = Place::of(from).ok_or_else(|| Error::BadCursor(name.to_owned()))?;
    let (bytes, next) = match pod {
        Some(pod) => of_pod(pods, name, pod, place, limit).await?,
        None => (Vec::new(), place),
    };
    let next = if bytes.is_empty() { from.clone() } else { next.cursor() };
    Ok(Output { bytes, next })
}

/// The logs of all pods of a server, one after the other, each from its own place: `POD=PLACE`, separated by a space.
pub async fn read_each(api: &Api<Pod>, name: &str, pods: &[&Pod], from: &Cursor, limit: usize) -> Result<Output, Error> {
    let mut places = Places::of(from).ok_or_else(|| Error::BadCursor(name.to_owned()))?;
    let (mut bytes, share) = (Vec::new(), limit / pods.len().max(1));
    let names: Vec<&str> = pods.iter().filter_map(|p| p.metadata.name.as_deref()).collect();
    for pod in pods {
        let Some(pod_name) = pod.metadata.name.as_deref() else { continue };
        let (said, next) = of_pod(api, name, pod, places.place(pod_name), share).await?;
        if !said.is_empty() {
            bytes.extend(said);
            places.0.insert(pod_name.to_owned(), next);
        }
    }
    if bytes.is_empty() {
        return Ok(Output { bytes, next: from.clone() });
    }
    places.0.retain(|pod, _| names.contains(&pod.as_str()));
    Ok(Output { bytes, next: places.cursor() })
}

/// How far the log of each pod was read.
struct Places(BTreeMap<String, Place>);

impl Places {
    /// Behind the place of a version of this program that read one pod only.
    const ANY: &str = "";

    fn of(cursor: &Cursor) -> Option<Self> {
        let one = |piece: &str| {
            let (pod, place) = piece.split_once('=').unwrap_or((Self::ANY, piece));
            Some((pod.to_owned(), Place::of(&Cursor::from_text(place))?))
        };
        cursor.as_str().split_ascii_whitespace().map(one).collect::<Option<_>>().map(Self)
    }

    fn place(&self, pod: &str) -> Place {
        self.0.get(pod).or(self.0.get(Self::ANY)).copied().unwrap_or(Place::START)
    }

    fn cursor(&self) -> Cursor {
        let pieces: Vec<_> = self.0.iter().map(|(pod, place)| format!("{pod}={}", place.cursor().as_str())).collect();
        Cursor::from_text(pieces.join(" "))
    }
}

/// What the container said after this place: first the one that the cluster has restarted since, then the one that runs.
async fn of_pod(pods: &Api<Pod>, name: &str, pod: &Pod, from: Place, limit: usize) -> Result<(Vec<u8>, Place), Error> {
    let (Some(pod_name), Some(status)) = (pod.metadata.name.as_deref(), observe::main_status(pod)) else {
        return Ok((Vec::new(), from));
    };
    if status.restart_count > 0 {
        let (bytes, next) = of_container(pods, name, pod_name, from, limit, true).await?;
        if !bytes.is_empty() {
            return Ok((bytes, next));
        }
    }
    of_container(pods, name, pod_name, from, limit, false).await
}

async fn of_container(
    pods: &Api<Pod>,
    name: &str,
    pod_name: &str,
    place: Place,
    limit: usize,
    previous: bool,
) -> Result<(Vec<u8>, Place), Error> {
    let params = LogParams { container: Some(MAIN.into()), timestamps: true, previous, since_time: place.second(), ..LogParams::default() };
    match pods.log_stream(pod_name, &params).await {
        Ok(stream) => lines_after(pin!(stream), place, limit)
            .await
            .map_err(|e| Error::Away { doing: format!("reading the output of {name}"), said: e.to_string() }),
        // The container has not started yet, or what was there before it is forgotten (400), or its pod is gone.
        Err(kube::Error::Api(status)) if status.code == 400 => Ok((Vec::new(), place)),
        Err(e) if is_not_found(&e) => Ok((Vec::new(), place)),
        Err(e) => Err(failed(format!("reading the output of {name}"))(e)),
    }
}

/// Whole lines, at most `limit` bytes of them; one that is longer is returned alone, else it would block the rest for ever.
async fn lines_after(mut log: impl AsyncBufRead + Unpin, from: Place, limit: usize) -> std::io::Result<(Vec<u8>, Place)> {
    let (mut out, mut place) = (Vec::new(), from);
    let mut passed = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = match log.read_until(b'\n', &mut line).await {
            // Cut off in the middle: what came before counts, or a long log would be begun anew each time.
            Err(_) if !out.is_empty() => 0,
            read => read?,
        };
        if read == 0 || line.last() != Some(&b'\n') {
            return Ok((out, place));
        }
        let Some((at, text)) = split(&line) else { continue };
        if at < from.at {
            continue;
        }
        if at == from.at && passed < from.lines {
            passed += 1;
            continue;
        }
        if !out.is_empty() && out.len() + text.len() > limit {
            return Ok((out, place));
        }
        out.extend_from_slice(text);
        place = match at.cmp(&place.at) {
            std::cmp::Ordering::Greater => Place { at, lines: 1 },
            std::cmp::Ordering::Equal => Place { at, lines: place.lines + 1 },
            // The clock was set back: read now, since there is no way to come back to it.
            std::cmp::Ordering::Less => place,
        };
        if out.len() >= limit {
            return Ok((out, place));
        }
    }
}

/// `2026-11-22T07:30:01.123456789Z text`
fn split(line: &[u8]) -> Option<(i128, &[u8])> {
    let blank = line.iter().position(|b| *b == b' ')?;
    let at: Timestamp = std::str::from_utf8(&line[..blank]).ok()?.parse().ok()?;
    Some((at.as_nanosecond(), &line[blank + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the API server sends: the lines from the second of the cursor on.
    fn sent<'a>(log: &'a str, from: &Cursor) -> Vec<&'a str> {
        let second = Place::of(from).unwrap().at.div_euclid(1_000_000_000);
        log.split_inclusive('\n').filter(|l| split(l.as_bytes()).is_none_or(|(at, _)| at.div_euclid(1_000_000_000) >= second)).collect()
    }

    fn read_all(log: &str, limit: usize) -> Vec<String> {
        let (mut cursor, mut pieces) = (Cursor::start(), Vec::new());
        loop {
            let text = sent(log, &cursor).concat();
            // Stored and read again in between.
            let from = Place::of(&Cursor::from_text(cursor.as_str())).unwrap();
            let (bytes, next) = futures::executor::block_on(lines_after(text.as_bytes(), from, limit)).unwrap();
            if bytes.is_empty() {
                assert_eq!(next.cursor(), cursor, "a cursor moves exactly with what was read");
                return pieces;
            }
            pieces.push(String::from_utf8(bytes).unwrap());
            cursor = next.cursor();
        }
    }

    const LOG: &str = "2026-11-22T07:30:01.100000000Z a\n2026-11-22T07:30:01.100000000Z b\n2026-11-22T07:30:01.100000000Z b\n\
                       2026-11-22T07:30:01.900000000Z c c\n2026-11-22T07:30:02.000000000Z \n2026-11-22T08:30:02.100000000+01:00 d\n";

    #[test]
    fn lines_of_one_time_are_neither_lost_nor_doubled_wherever_the_reading_stops() {
        for limit in 1..20 {
            assert_eq!(read_all(LOG, limit).concat(), "a\nb\nb\nc c\n\nd\n", "{limit} bytes at a time");
        }
        assert_eq!(read_all(LOG, 4), ["a\nb\n", "b\n", "c c\n", "\nd\n"]);
        assert_eq!(read_all(LOG, 1), ["a\n", "b\n", "b\n", "c c\n", "\n", "d\n"], "a line that is too long comes alone");
    }

    #[test]
    fn the_second_of_the_last_line_is_asked_for_again_from_its_beginning() {
        let asked = |cursor: &str| Place::of(&Cursor::from_text(cursor)).unwrap().second().map(|t| t.to_string());
        assert_eq!(asked("1795332605999999999+1").as_deref(), Some("2026-11-22T07:30:05Z"));
        assert_eq!(asked(""), None);
    }

    #[test]
    fn half_a_line_is_left_for_the_next_time() {
        assert_eq!(read_all(&format!("{LOG}2026-11-22T07:30:09.100000000Z half"), 100), ["a\nb\nb\nc c\n\nd\n"]);
    }

    #[test]
    fn what_came_before_a_stream_was_cut_off_is_not_read_again() {
        /// Gives some bytes, then an error.
        struct Cut<'a>(&'a [u8]);
        impl futures::AsyncRead for Cut<'_> {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                into: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                if self.0.is_empty() {
                    return std::task::Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
                }
                let n = self.0.len().min(into.len());
                into[..n].copy_from_slice(&self.0[..n]);
                self.0 = &self.0[n..];
                std::task::Poll::Ready(Ok(n))
            }
        }
        let cut_after = |bytes: usize| {
            let log = futures::io::BufReader::new(Cut(&LOG.as_bytes()[..bytes]));
            futures::executor::block_on(lines_after(log, Place::START, 1 << 20))
        };
        let (bytes, next) = cut_after(80).unwrap();
        assert_eq!(bytes, b"a\nb\n", "whole lines only");
        let rest = sent(LOG, &next.cursor()).concat();
        let (bytes, _) = futures::executor::block_on(lines_after(rest.as_bytes(), next, 1 << 20)).unwrap();
        assert_eq!(bytes, b"b\nc c\n\nd\n");
        assert!(cut_after(20).is_err(), "nothing came");
    }

    #[test]
    fn each_pod_of_a_server_has_a_place_of_its_own() {
        let places = Places::of(&Cursor::from_text("a=5+1 b=-7+2")).unwrap();
        assert_eq!((places.place("a"), places.place("b")), (Place { at: 5, lines: 1 }, Place { at: -7, lines: 2 }));
        assert_eq!(places.place("c"), Place::START, "a new one is read from its beginning");
        assert_eq!(places.cursor().as_str(), "a=5+1 b=-7+2");
        let earlier = Places::of(&Cursor::from_text("5+1")).unwrap();
        assert_eq!(earlier.place("a"), Place { at: 5, lines: 1 }, "what a version noted that read one pod only");
        assert!(Places::of(&Cursor::from_text("4711")).is_none() && Places::of(&Cursor::start()).unwrap().0.is_empty());
    }

    #[test]
    fn a_cursor_of_another_engine_is_none() {
        assert_eq!(Place::of(&Cursor::from_text("4711")), None);
        assert_eq!(Place::of(&Cursor::from_text("-5+2")), Some(Place { at: -5, lines: 2 }));
    }
}
