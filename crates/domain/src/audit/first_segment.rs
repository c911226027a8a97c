//! The first segment: records of before each tenant had a chain of its own, one chain of the whole platform, closed. It is checked by
//! its own rule: SHA-256 over number (8 bytes, big endian), hash before, and the entry's JSON in the order of its fields; and each column
//! must say what that entry says.

use super::{ActorKind, Detail, row::Row};
use crate::{name::Name, time::Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The entry as it was then: in this order, with its detail in words.
#[derive(Serialize, Deserialize)]
struct FirstEntry {
    at: Timestamp,
    actor_kind: ActorKind,
    actor: String,
    actor_name: String,
    tenant: Option<Name>,
    action: String,
    object_kind: String,
    object: String,
    object_name: String,
    result: String,
    detail: String,
    request_id: String,
    from_ip: String,
}

fn hash(seq: i64, prev_hash: &str, entry: &FirstEntry) -> String {
    let mut h = Sha256::new();
    h.update(seq.to_be_bytes());
    h.update(prev_hash.as_bytes());
    h.update(serde_json::to_vec(entry).unwrap_or_default());
    hex::encode(h.finalize())
}

pub(super) fn is_as_written(row: &Row) -> bool {
    let Some(Ok(e)) = row.first_entry.as_deref().map(serde_json::from_str::<FirstEntry>) else { return false };
    let told = match Detail::read(&row.detail) {
        Detail::None => String::new(),
        Detail::Told { text } => text,
        _ => return false,
    };
    hash(row.seq, &row.prev_hash, &e) == row.hash
        && (e.at.0, e.actor_kind.word(), e.tenant.as_ref().map(Name::as_str), told.as_str())
            == (row.at, row.actor_kind.as_str(), row.tenant.as_deref(), e.detail.as_str())
        && [&e.actor, &e.actor_name, &e.action, &e.object_kind, &e.object, &e.object_name, &e.result, &e.request_id, &e.from_ip]
            == [
                &row.actor,
                &row.actor_name,
                &row.action,
                &row.object_kind,
                &row.object,
                &row.object_name,
                &row.result,
                &row.request_id,
                &row.from_ip,
            ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::{Checker, FIRST_PREV, FIRST_SEGMENT};

    /// A record as a program of before wrote it, computed apart from the code above.
    fn written_then() -> Row {
        let text = r#"{"at":1,"actor_kind":"system","actor":"system","actor_name":"system","tenant":"acme","action":"tenant.create","object_kind":"tenant","object":"acme","object_name":"acme","result":"done","detail":"created, “x”","request_id":"","from_ip":""}"#;
        let mut bytes = 1_i64.to_be_bytes().to_vec();
        bytes.extend_from_slice(FIRST_PREV.as_bytes());
        bytes.extend_from_slice(text.as_bytes());
        Row {
            chain: FIRST_SEGMENT.into(),
            seq: 1,
            at: 1,
            tenant: Some("acme".into()),
            actor_kind: "system".into(),
            actor: "system".into(),
            actor_name: "system".into(),
            action: "tenant.create".into(),
            object_kind: "tenant".into(),
            object: "acme".into(),
            object_name: "acme".into(),
            result: "done".into(),
            detail: r#"{"code":"told","text":"created, “x”"}"#.into(),
            prev_hash: FIRST_PREV.into(),
            hash: hex::encode(Sha256::digest(&bytes)),
            first_entry: Some(text.into()),
            ..Row::default()
        }
    }

    fn holds(row: &Row) -> bool {
        Checker::new(FIRST_SEGMENT, None).take(row)
    }

    #[test]
    fn a_record_of_before_holds_by_its_old_rule_and_each_column_must_say_what_it_says() {
        assert!(holds(&written_then()));
        let changes: [fn(&mut Row); 7] = [
            |r| r.actor_name = "x".into(),
            |r| r.at = 2,
            |r| r.tenant = None,
            |r| r.object = "x".into(),
            |r| r.detail = String::new(),
            |r| r.from_ip = "192.0.2.1".into(),
            |r| r.first_entry = r.first_entry.as_ref().map(|t| t.replace("created", "removed")),
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut row = written_then();
            change(&mut row);
            assert!(!holds(&row), "change {i} went unseen");
        }
    }
}
