//! One record in the spool: `CRC32 JSON\n`, readable by a person with a pager. A line that was torn or changed does not pass for a
//! record, and the next one is found again at the next line end.

use domain::usage::Call;

pub(super) fn write(call: &Call) -> Vec<u8> {
    // Numbers, words and ids: there is nothing in a call that JSON cannot hold.
    let json = serde_json::to_vec(call).unwrap_or_default();
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    line
}

/// `line` without its end. `None` = it is not what was written.
pub(super) fn read(line: &[u8]) -> Option<Call> {
    let (sum, json) = line.split_at_checked(9)?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?.strip_suffix(' ')?, 16).ok()?;
    (sum == crc32fast::hash(json)).then(|| serde_json::from_slice(json).ok())?
}
