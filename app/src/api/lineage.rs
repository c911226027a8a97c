//! The whole lineage of a tenant: from every dataset version to every key that calls what was made of it.

use super::{AppError, Wire};
#[cfg(feature = "ssr")]
use crate::ui::number::some;
use domain::lineage::Link;
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Id of the thing.
    pub id: String,
    /// In which column it stands; never `Usage`, which is said in the note of a key.
    pub link: Link,
    pub title: String,
    pub note: String,
    pub href: String,
    /// Ids of what it was made from or is fed by, one column to the left.
    pub from: Vec<String>,
}

/// Sorted by column, within a column newest first: the newest page of each column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    pub nodes: Vec<Node>,
    /// Some column has older ones.
    pub more: bool,
}

impl Lineage {
    pub fn column(&self, link: Link) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |n| n.link == link)
    }
    pub fn get(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.id == id)
    }
    /// What was made directly from `id`.
    pub fn after(&self, id: &str) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |n| n.from.iter().any(|f| f == id))
    }
    /// What `node` was made directly from.
    pub fn before<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Node> {
        node.from.iter().filter_map(|id| self.get(id))
    }
}

#[server(prefix = "/rpc", endpoint = "lineage/get", output = Wire)]
pub async fn lineage_get(tenant: String) -> Result<Lineage, AppError> {
    use crate::links;
    use domain::{page::Cursor, policy::Action};
    let (platform, scope) = super::scope(&tenant).await?;
    let t = &scope.tenant().name;
    let newest = Cursor::default();
    let versions = platform.datasets(&scope).newest_versions().await?;
    let mut more = versions.next.is_some();
    let data = versions.rows.into_iter().map(|v| Node {
        id: v.id.to_string(),
        link: Link::Dataset,
        title: format!("{} v{}", v.dataset_name, v.number),
        note: v.report.as_ref().map_or_else(|| v.state.word().to_owned(), |r| some(r.accepted, "row", "rows")),
        href: links::dataset_version(t, &v.dataset_name, v.number),
        from: Vec::new(),
    });
    let mut nodes: Vec<Node> = data.collect();
    let runs = platform.runs(&scope).list(&Default::default(), &newest).await?;
    more |= runs.next.is_some();
    for run in runs.rows {
        nodes.push(Node {
            id: run.id.to_string(),
            link: Link::Run,
            title: run.name.to_string(),
            note: crate::ui::Status::from(run.state).word.to_lowercase(),
            href: links::run(t, &run.id),
            from: vec![run.dataset_version.to_string()],
        });
    }
    let versions = platform.models(&scope).newest_versions(None).await?;
    more |= versions.next.is_some();
    nodes.extend(versions.rows.into_iter().map(|v| Node {
        id: v.id.to_string(),
        link: Link::Model,
        title: format!("{} v{}", v.model_name, v.number),
        note: v.stage.word().to_owned(),
        href: links::model_version(t, &v.model_name, v.number),
        from: vec![v.run.to_string()],
    }));
    let endpoints = platform.endpoints(&scope).list(&newest).await?;
    more |= endpoints.next.is_some();
    let served = platform.endpoints(&scope).served_by(endpoints.rows).await?;
    let mut callable = Vec::new();
    for e in &served.endpoints {
        callable.push((e.id.to_string(), served.model_ids(e)));
        let versions = e.attachments.iter().map(|a| a.version).chain(e.merged_version);
        nodes.push(Node {
            id: e.id.to_string(),
            link: Link::Endpoint,
            title: e.name.to_string(),
            note: format!("{}, {}", e.state.word(), e.source()),
            href: links::endpoint(t, &e.name),
            from: versions.map(|v| v.to_string()).collect(),
        });
    }
    if scope.may(Action::KeyRead) {
        let keys = platform.keys(&scope).list(&domain::filter::KeyFilter { working: true, ..Default::default() }, &newest).await?;
        more |= keys.next.is_some();
        let ids: Vec<_> = keys.rows.iter().map(|key| key.id).collect();
        let used = platform.usage(&scope).of_keys(&ids, 7).await?;
        for key in keys.rows {
            let id = key.id.to_string();
            let may_call = |ids: &[String]| key.models.as_ref().is_none_or(|allowed| allowed.iter().any(|id| ids.contains(id)));
            nodes.push(Node {
                link: Link::Keys,
                title: key.label.clone(),
                note: used
                    .get(&key.id)
                    .map_or_else(|| "no call, 7 d".to_owned(), |calls| format!("{}, 7 d", some(*calls, "call", "calls"))),
                href: links::keys(t),
                from: callable.iter().filter(|(_, ids)| may_call(ids)).map(|(id, _)| id.clone()).collect(),
                id,
            });
        }
    }
    Ok(Lineage { nodes, more })
}
