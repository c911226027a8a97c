//! People who may have left: the identity provider is asked about everybody who could do something here, with or without a session. So
//! keys of somebody who was disabled stop, though nobody signs in.

use crate::{
    Platform, audit,
    change::Change,
    confirm::{Confirmed, Profile, confirm},
    problem::Doing,
};
use domain::{
    audit::{Detail, Entry},
    ids::PersonId,
    name::Name,
    people::{PlatformRole, Role},
    problem::Problem,
    tenant::TenantState,
    tenant_groups::with_bound,
    time::{HOUR, Timestamp},
};

/// People that one process asks about at a time.
pub const BATCH: u32 = 100;
/// How old the confirmation of a membership may become before it is written anew: keys look at its day.
const CONFIRMED_ANEW: i64 = HOUR;

/// Somebody who has a session, or a key of their own in a tenant that they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToAsk {
    pub person: PersonId,
    pub issuer: String,
    pub subject: String,
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) platform_role: Option<PlatformRole>,
    pub(crate) last_seen_at: Timestamp,
}

/// What the provider says of somebody who is still there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolesNow {
    pub groups: Vec<String>,
    pub platform_role: Option<PlatformRole>,
    pub memberships: Vec<(Name, Role)>,
}

impl Platform {
    /// People of this issuer about whom nobody has asked for `every` milliseconds, [`BATCH`] at most; this process asks now, and others do
    /// not.
    pub async fn people_to_ask_about(&self, issuer: &str, every: i64) -> Result<Vec<ToAsk>, Problem> {
        let now = self.now();
        self.store().take_people_to_ask_about(issuer, now, now.plus(-every), i64::from(BATCH)).await.doing("finding whom to ask about")
    }

    /// The provider has no such person any more, or has disabled them: sessions end, and with the memberships go the person's own keys.
    pub async fn has_left(&self, who: &ToAsk) -> Result<(), Problem> {
        let doing = "ending the access of somebody who has left";
        let mut tx = Change::by_system(self).await?;
        let at = tx.at();
        for membership in tx.memberships(who.person).await.doing(doing)? {
            tx.delete_membership(&membership.tenant, who.person).await.doing(doing)?;
        }
        tx.take_platform_role(who.person).await.doing(doing)?;
        let sessions = tx.end_sessions_of(who.person).await.doing(doing)?;
        // Marks the person's streams and the directory, too.
        tx.end_passes(who.person, at).await.doing(doing)?;
        let entry = audit::by_system(at, None, "person.left", "person", who.person, &who.name);
        tx.commit(Entry { detail: Detail::AccessEnded { sessions, keys: 0 }, ..entry }).await.doing(doing)
    }

    /// The provider has the person in these groups. Writes only what is another than before; true when roles changed.
    pub async fn is_still_there(&self, who: &ToAsk, roles: RolesNow) -> Result<bool, Problem> {
        let doing = "confirming somebody's roles";
        let now = self.now();
        let held = self.store().memberships(who.person).await.doing(doing)?;
        let bound = self.store().bound_groups().await.doing(doing)?;
        let memberships = with_bound(&bound, &roles.groups, roles.memberships.clone());
        let mut same = who.platform_role == roles.platform_role
            && held.iter().all(|m| memberships.contains(&(m.tenant.clone(), m.role)) && now.since(m.confirmed_at) < CONFIRMED_ANEW);
        for (tenant, _) in memberships.iter().filter(|(tenant, _)| !held.iter().any(|m| m.tenant == *tenant)) {
            // A group may name a tenant that nobody has made yet, or one that is being deleted.
            same &= self.store().tenant(tenant).await.doing(doing)?.is_none_or(|t| t.state == TenantState::Deleting);
        }
        if same {
            return Ok(false);
        }
        let profile = Profile {
            issuer: who.issuer.clone(),
            subject: who.subject.clone(),
            name: who.name.clone(),
            email: who.email.clone(),
            groups: roles.groups,
            platform_role: roles.platform_role,
            memberships: roles.memberships,
            id_token: None,
            session: None,
            refresh_token: None,
        };
        let mut tx = Change::by_system(self).await?;
        let Confirmed { now, changed, .. } = confirm(&mut tx, who.person, &profile).await.doing(doing)?;
        // Nobody was here: the provider was asked about them.
        tx.seen_at(who.person, who.last_seen_at).await.doing(doing)?;
        if !changed {
            tx.commit_unaudited(crate::change::Unaudited::SessionConfirmed).await.doing(doing)?;
            return Ok(false);
        }
        let entry = audit::by_system(tx.at(), None, "person.roles", "person", who.person, &who.name);
        let detail = Detail::Roles { memberships: now, platform_role: profile.platform_role };
        tx.commit(Entry { detail, ..entry }).await.doing(doing)?;
        Ok(true)
    }
}
