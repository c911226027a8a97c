//! What a check of isolation tries: chosen once for each check, of what there is then.

use super::{Halt, Leader};
use crate::problem::Doing;
use domain::{
    artefacts::ArtefactStore,
    isolation::{LeftOut, METADATA, Probe, Target, Way},
    name::Name,
};
use std::net::{IpAddr, SocketAddr};
use tokio::net::lookup_host;

pub(super) async fn of(leader: &Leader, tenant: &Name) -> Result<Vec<Target>, Halt> {
    let platform = &leader.platform;
    let others: Vec<Name> =
        platform.store().tenant_names().await.doing("reading the tenants")?.into_iter().filter(|name| name != tenant).collect();
    let mut out = Vec::new();
    for probe in Probe::ALL {
        let (what, way) = match probe {
            Probe::OtherEndpoint => other_endpoint(leader, tenant, &others).await?,
            Probe::OtherBucket => other_bucket(leader, &others).await?,
            Probe::ApiServer => place(platform.engine().api_server(), LeftOut::NoOutsideAddress).await,
            Probe::Database => place(platform.store().server(), LeftOut::DatabaseIsLocal).await,
            Probe::Metadata => place(Some(METADATA.to_owned()), LeftOut::NoOutsideAddress).await,
            Probe::Outside => place(platform.outside_host().map(str::to_owned), LeftOut::NoOutsideAddress).await,
            Probe::Dns => (String::new(), Ok(Way::Resolve { host: known_host(platform.location()) })),
            Probe::OwnBucket => (platform.location().bucket(tenant).unwrap_or_default(), Ok(Way::Write { tenant: tenant.clone() })),
        };
        // Whose pods are called, decides there; policies of this tenant's namespace decide where its own pods go.
        let allowed = match &way {
            Ok(Way::Connect { address }) if probe != Probe::OtherEndpoint => {
                address.parse::<SocketAddr>().is_ok_and(|at| platform.engine().lets_reach(at.ip()))
            }
            _ => false,
        };
        out.push(Target { probe, what, way, allowed });
    }
    Ok(out)
}

/// The first that takes calls now.
async fn other_endpoint(leader: &Leader, tenant: &Name, others: &[Name]) -> Result<(String, Result<Way, LeftOut>), Halt> {
    if others.is_empty() {
        return Ok((String::new(), Err(LeftOut::NoOtherTenant)));
    }
    let store = leader.platform.store();
    for (owner, id) in store.open_endpoints().await.doing("reading the endpoints")?.into_iter().filter(|(owner, _)| owner != tenant) {
        let Some(record) = store.endpoint(&owner, id).await.doing("reading an endpoint")? else { continue };
        let e = record.endpoint;
        if !e.capabilities().runs_here {
            continue;
        }
        let ready = e.replicas.iter().filter(|r| r.is_ready()).find_map(|r| r.address.as_deref());
        if let Some(address) = ready.map(|address| address.trim_start_matches("http://").to_owned()) {
            return Ok((format!("endpoint {} of {owner}", e.name), Ok(Way::Connect { address })));
        }
    }
    Ok((String::new(), Err(LeftOut::NoOtherEndpoint)))
}

/// The first that has one.
async fn other_bucket(leader: &Leader, others: &[Name]) -> Result<(String, Result<Way, LeftOut>), Halt> {
    let location = leader.platform.location();
    if matches!(location, ArtefactStore::Local { .. }) {
        return Ok((String::new(), Err(LeftOut::StoreIsFolder)));
    }
    for other in others {
        let key = leader.platform.store().sealed_store_key(other).await.doing("reading a tenant’s key of the store")?;
        if key.is_some() {
            return Ok((location.bucket(other).unwrap_or_default(), Ok(Way::List { tenant: other.clone() })));
        }
    }
    let why = if others.is_empty() { LeftOut::NoOtherTenant } else { LeftOut::NoOtherBucket };
    Ok((String::new(), Err(why)))
}

/// By its address: names of one namespace may mean something else, or nothing, in another. `without`: why there is nothing to try.
async fn place(named: Option<String>, without: LeftOut) -> (String, Result<Way, LeftOut>) {
    let Some(named) = named else { return (String::new(), Err(without)) };
    let found = lookup_host(&named).await.map(|mut all| all.next()).ok().flatten();
    let way = match found {
        // In a pod that would be the pod itself.
        Some(at) if at.ip().is_loopback() => Err(without),
        Some(at) => Ok(Way::Connect { address: at.to_string() }),
        None => Err(LeftOut::NoAddress { host: named.clone() }),
    };
    (named, way)
}

/// A name that every pod has to find: the store's, where that is a name.
fn known_host(location: &ArtefactStore) -> String {
    let of_store = match location {
        ArtefactStore::S3 { endpoint, .. } => {
            let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest).split('/').next().unwrap_or_default();
            host.rsplit_once(':').map_or(host, |(host, _)| host)
        }
        ArtefactStore::Local { .. } => "",
    };
    let is_name = !of_store.is_empty() && of_store.parse::<IpAddr>().is_err() && !of_store.starts_with('[');
    if is_name { of_store.to_owned() } else { "kubernetes.default.svc".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(endpoint: &str) -> ArtefactStore {
        ArtefactStore::S3 { endpoint: endpoint.into(), region: "r".into(), bucket_prefix: "a-".into(), path_style: true, ca: None }
    }

    #[test]
    fn the_name_that_must_be_found_is_the_stores_or_one_that_every_cluster_has() {
        assert_eq!(known_host(&s3("https://s3.example.org:9000")), "s3.example.org");
        assert_eq!(known_host(&s3("https://s3.example.org")), "s3.example.org");
        for address in ["http://10.1.2.3:3900", "http://[fd00::1]:3900"] {
            assert_eq!(known_host(&s3(address)), "kubernetes.default.svc");
        }
        assert_eq!(known_host(&ArtefactStore::Local { root: "/srv".into() }), "kubernetes.default.svc");
    }

    #[tokio::test]
    async fn what_is_on_the_portals_own_machine_or_has_no_address_is_not_tried() {
        let of = |named: &str| place(Some(named.to_owned()), LeftOut::DatabaseIsLocal);
        assert_eq!(of("127.0.0.1:5432").await.1, Err(LeftOut::DatabaseIsLocal));
        assert_eq!(place(None, LeftOut::DatabaseIsLocal).await.1, Err(LeftOut::DatabaseIsLocal));
        assert_eq!(of("nowhere.invalid:5432").await.1, Err(LeftOut::NoAddress { host: "nowhere.invalid:5432".into() }));
        assert_eq!(of("10.245.0.1:5432").await, ("10.245.0.1:5432".into(), Ok(Way::Connect { address: "10.245.0.1:5432".into() })));
    }
}
