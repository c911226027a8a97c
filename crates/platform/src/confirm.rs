//! What the identity provider says of a person, written down: at sign-in, and whenever a session is confirmed again.

use crate::store::{self, Tx};
use domain::{
    ids::PersonId,
    name::Name,
    one_line::{self, one_line},
    people::{GROUP_CHARS, GROUPS_KEPT, Person, PlatformRole, Role},
    tenant_groups::with_bound,
    time::DAY,
};

/// Who signed in, as the identity provider says, with roles as the group rules make them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub issuer: String,
    pub subject: String,
    /// As sent; what may be drawn of it is kept, and the subject where that is nothing.
    pub name: String,
    /// As sent.
    pub email: Option<String>,
    /// As sent; the first of them are kept for the page that says why somebody has no tenant.
    pub groups: Vec<String>,
    pub platform_role: Option<PlatformRole>,
    /// Replaces what was before, with what the tenants' own groups add; tenants that do not exist are passed over.
    pub memberships: Vec<(Name, Role)>,
    /// For signing out at the identity provider too.
    pub id_token: Option<String>,
    /// The session at the provider (`sid`); none = it does not name them.
    pub session: Option<String>,
    /// By which the provider is asked again; none = the session is believed until it ends.
    pub refresh_token: Option<String>,
}

/// A person as confirmed now, with the roles of now.
pub(crate) struct Confirmed {
    pub person: Person,
    pub now: Vec<(Name, Role)>,
    /// The role in a tenant or on the platform is another one than before; false for somebody new.
    pub changed: bool,
}

/// Replaces name, groups and memberships by what the profile says; each membership that stays counts as confirmed now.
/// `fresh` is the id of a person who was never here.
pub(crate) async fn confirm(tx: &mut Tx, fresh: PersonId, profile: &Profile) -> store::Result<Confirmed> {
    let at = tx.at();
    let known = tx.person_of(&profile.issuer, &profile.subject).await?;
    // As it may be drawn; NUL, which PostgreSQL does not store, goes too and keeps nobody out.
    let name = [&profile.name, &profile.subject].into_iter().map(|name| one_line(name, one_line::NAME)).find(|name| !name.is_empty());
    let email = profile.email.as_deref().map(|email| one_line(email, one_line::EMAIL)).filter(|email| !email.is_empty());
    let mut person = Person {
        id: fresh,
        issuer: profile.issuer.clone(),
        subject: profile.subject.clone(),
        name: name.unwrap_or_else(|| fresh.to_string()),
        email,
        platform_role: profile.platform_role,
        last_seen_at: at,
    };
    let groups: Vec<String> = profile.groups.iter().take(GROUPS_KEPT).map(|group| one_line(group, GROUP_CHARS)).collect();
    person.id = tx.put_person(&person, &groups).await?;

    tx.asked_about(person.id, at).await?;
    let bound = tx.bound_groups().await?;
    let memberships = with_bound(&bound, &profile.groups, profile.memberships.clone());
    let before = tx.memberships(person.id).await?;
    for had in before.iter().filter(|had| !memberships.iter().any(|(tenant, _)| *tenant == had.tenant)) {
        tx.delete_membership(&had.tenant, person.id).await?;
    }
    for (tenant, role) in &memberships {
        tx.put_membership(tenant, person.id, *role, at).await?;
    }
    let oldest = before.iter().map(|m| m.confirmed_at).min().unwrap_or(at);
    let roles = |all: Vec<store::Membership>| all.into_iter().map(|m| (m.tenant, m.role)).collect::<Vec<_>>();
    let (before, now) = (roles(before), roles(tx.memberships(person.id).await?));
    // The directory tells until when keys are confirmed; by the day is enough, or every page that is open would make it anew.
    if before != now || oldest.0.div_euclid(DAY) != at.0.div_euclid(DAY) {
        tx.directory_changed();
    }
    let changed = known.is_some_and(|(_, platform_role)| before != now || platform_role != profile.platform_role);
    if changed {
        tx.rights_changed(person.id);
    }
    Ok(Confirmed { person, now, changed })
}

/// The provider confirmed the person without a word on roles: they stay.
pub(crate) async fn confirm_as_before(tx: &mut Tx, person: PersonId) -> store::Result<()> {
    let at = tx.at();
    let oldest = tx.memberships(person).await?.iter().map(|m| m.confirmed_at).min().unwrap_or(at);
    tx.confirm_memberships(person, at).await?;
    if oldest.0.div_euclid(DAY) != at.0.div_euclid(DAY) {
        tx.directory_changed();
    }
    Ok(())
}
