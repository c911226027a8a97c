//! Members: who belongs to a tenant, and ending what somebody has open here, at once on all replicas. Who may come in is decided at
//! the identity provider; this is for the moments when that is not soon enough.

use crate::{
    Platform,
    access::{PlatformScope, Scope, shortened},
    change::Change,
    problem::Doing,
    store::{self, Tx},
};
use domain::{
    audit::{Detail, Entry},
    event::Topic,
    ids::{KeyId, PersonId},
    name::Name,
    page::{Cursor, Page},
    people::Member,
    policy::Action,
    problem::Problem,
    time::{MINUTE, Timestamp},
};

/// What was ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub sessions: u64,
    pub keys: u64,
}

pub struct Members<'a> {
    scope: &'a Scope,
}

impl Platform {
    pub fn members<'a>(&self, scope: &'a Scope) -> Members<'a> {
        Members { scope }
    }

    /// Ends a member's sessions, and the person's own keys in every tenant. For the platform's admin.
    pub async fn end_access(&self, scope: &PlatformScope, tenant: &str, person: PersonId) -> Result<Ended, Problem> {
        let permit = scope.permit(Action::PlatformPeopleEnd)?;
        let doing = "ending the access of a person";
        let name: Name = tenant.parse().map_err(|_| Problem::not_found(format!("The tenant “{}”", shortened(tenant))))?;
        let mut tx = Change::begin(self, &permit).await?;
        let (person_name, _) = tx.member(&name, person).await.doing(doing)?.ok_or_else(not_a_member)?;
        let (ended, keys) = end(&mut tx, person, None).await.doing(doing)?;
        // Each tenant in which something ended, and the one from whose page it was done, has it in its own log.
        // In one order, as everybody who writes into several chains.
        let mut tenants: Vec<&Name> = keys.iter().map(|(tenant, _)| tenant).chain([&name]).collect();
        tenants.sort();
        tenants.dedup();
        let last = tenants.pop().unwrap_or(&name);
        let ended_in = |tx: &Change<'_>, tenant: &Name| {
            let there = keys.iter().filter(|(t, _)| t == tenant).count() as u64;
            let entry = tx.entry_about(tenant, "person", person, &person_name);
            Entry { detail: Detail::AccessEnded { sessions: ended.sessions, keys: there }, ..entry }
        };
        for tenant in tenants {
            tx.changed(tenant, Topic::Tenant, tenant);
            let entry = ended_in(&tx, tenant);
            tx.record(entry).await.doing(doing)?;
        }
        tx.changed(last, Topic::Tenant, last);
        let entry = ended_in(&tx, last);
        tx.commit(entry).await.doing(doing)?;
        Ok(ended)
    }

    /// For the platform's pages.
    pub(crate) async fn members_of(&self, tenant: &Name, text: &str, after: &Cursor) -> store::Result<Page<Member>> {
        let (now, idle_since) = self.sessions_are_counted_at();
        self.store().members(tenant, text, now, idle_since, after).await
    }

    pub(crate) async fn member_of(&self, tenant: &Name, person: PersonId) -> store::Result<Option<Member>> {
        let (now, idle_since) = self.sessions_are_counted_at();
        self.store().member(tenant, person, now, idle_since).await
    }

    /// Now, and the time after which a session must have been used to go on.
    fn sessions_are_counted_at(&self) -> (Timestamp, Timestamp) {
        let now = self.now();
        (now, now.plus(-self.inner.session_idle_minutes.max(1) * MINUTE))
    }
}

impl Members<'_> {
    /// By name; `text` is part of name or address, empty = all.
    pub async fn list(&self, text: &str, after: &Cursor) -> Result<Page<Member>, Problem> {
        self.scope.permit(Action::MemberRead)?;
        self.scope.platform().members_of(self.scope.tenant_name(), text, after).await.doing("reading the members")
    }

    pub async fn get(&self, person: PersonId) -> Result<Member, Problem> {
        self.scope.permit(Action::MemberRead)?;
        let found = self.scope.platform().member_of(self.scope.tenant_name(), person).await.doing("reading the member")?;
        found.ok_or_else(not_a_member)
    }

    /// Ends a member's sessions, and the person's own keys in this tenant. Sessions are not a tenant's: the person is signed out
    /// everywhere, and may sign in again while the identity provider lets them.
    pub async fn end_access(&self, person: PersonId) -> Result<Ended, Problem> {
        let permit = self.scope.permit(Action::MemberEnd)?;
        let doing = "ending the access of a member";
        let tenant = self.scope.tenant_name();
        let mut tx = Change::begin(self.scope.platform(), &permit).await?;
        let (person_name, _) = tx.member(tenant, person).await.doing(doing)?.ok_or_else(not_a_member)?;
        let (ended, _) = end(&mut tx, person, Some(tenant)).await.doing(doing)?;
        tx.changed(tenant, Topic::Tenant, tenant);
        let mut entry = tx.entry("person", person, person_name);
        entry.detail = Detail::AccessEnded { sessions: ended.sessions, keys: ended.keys };
        tx.commit(entry).await.doing(doing)?;
        Ok(ended)
    }
}

/// Sessions, passes, and the keys in one tenant or in all. Streams and gateways of every replica hear of it.
async fn end(tx: &mut Tx, person: PersonId, tenant: Option<&Name>) -> store::Result<(Ended, Vec<(Name, KeyId)>)> {
    let sessions = tx.end_sessions_of(person).await?;
    tx.end_passes(person, tx.at()).await?;
    let keys = tx.revoke_keys_of(person, tenant).await?;
    Ok((Ended { sessions, keys: keys.len() as u64 }, keys))
}

fn not_a_member() -> Problem {
    Problem::not_found("The member")
}
