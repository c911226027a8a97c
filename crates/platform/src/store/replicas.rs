//! The replicas of a model server, in one column: JSON, with their addresses, which people are never shown.

use super::{Result, from_json, json};
use domain::replica::Replica;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(flatten)]
    replica: Replica,
    address: Option<String>,
}

/// Nothing is kept as NULL.
pub(super) fn column(replicas: &[Replica]) -> Option<String> {
    let rows: Vec<Row> = replicas.iter().map(|r| Row { replica: r.clone(), address: r.address.clone() }).collect();
    (!rows.is_empty()).then(|| json(&rows))
}

pub(super) fn of_column(column: Option<&str>) -> Result<Vec<Replica>> {
    let rows: Vec<Row> = column.map(from_json).transpose()?.unwrap_or_default();
    Ok(rows.into_iter().map(|row| Replica { address: row.address, ..row.replica }).collect())
}

/// What the gateway has to hear of: which adapters are where. Where calls go at all is in another column.
pub(super) fn loaded(replicas: &[Replica]) -> Vec<(Option<&str>, &[String])> {
    replicas.iter().map(|r| (r.address.as_deref(), r.adapters.as_slice())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::replica::ReplicaState;

    #[test]
    fn a_replica_comes_back_with_its_address_which_its_own_json_does_not_hold() {
        let replica = Replica {
            name: "ep-1-abc".into(),
            state: ReplicaState::Ready,
            node: "gpu-1".into(),
            since: None,
            restarts: 2,
            outdated: true,
            address: Some("http://10.0.0.1:8000".into()),
            adapters: vec!["mv_1".into()],
        };
        assert_eq!(of_column(column(std::slice::from_ref(&replica)).as_deref()).unwrap(), std::slice::from_ref(&replica));
        assert!(!json(&replica).contains("10.0.0.1"));
        assert_eq!((column(&[]), of_column(None).unwrap()), (None, Vec::new()));
    }
}
