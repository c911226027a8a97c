//! People and programs that come with an access token of the identity provider, and without a session here.

use crate::{
    Platform,
    access::{Caller, Origin},
    audit,
    change::{Change, Unaudited},
    confirm::{Confirmed, Profile, confirm, confirm_as_before},
    problem::Doing,
};
use domain::{
    audit::{Detail, Entry},
    directory::{PASS_LASTS, Pass},
    ids::PersonId,
    name::Name,
    problem::Problem,
    time::{HOUR, Timestamp},
};

/// Whose token it is, and where they belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByToken {
    pub person: PersonId,
    pub tenants: Vec<Name>,
}

/// What is known of a token that was checked.
#[derive(Clone, Debug)]
pub struct TokenProfile {
    pub profile: Profile,
    /// It says something of groups; else the roles of before hold.
    pub tells_groups: bool,
    pub issued: Timestamp,
}

impl Platform {
    /// Writes down what the token says, as a sign-in does. `None`: nothing is known of a person of whose groups the token does not tell, or
    /// the person's sessions were ended after it was issued.
    pub async fn person_by_token(&self, token: TokenProfile) -> Result<Option<ByToken>, Problem> {
        let doing = "reading an access token";
        let TokenProfile { profile, tells_groups, issued } = token;
        let mut tx = Change::by_system(self).await?;
        let known = tx.person_of(&profile.issuer, &profile.subject).await.doing(doing)?;
        if let Some((person, _)) = known
            && tx.passes_from(person).await.doing(doing)?.is_some_and(|ended| issued <= ended)
        {
            return Ok(None);
        }
        // What the provider has said since the token was issued counts more: an old token must not bring a group back.
        let told_since = match known {
            Some((person, _)) => tx.asked_at(person).await.doing(doing)?.is_some_and(|asked| asked > issued),
            None => false,
        };
        if !tells_groups || told_since {
            let Some((person, _)) = known else { return Ok(None) };
            confirm_as_before(&mut tx, person).await.doing(doing)?;
            let tenants = tx.memberships(person).await.doing(doing)?.into_iter().map(|m| m.tenant).collect();
            tx.commit_unaudited(Unaudited::SessionConfirmed).await.doing(doing)?;
            return Ok(Some(ByToken { person, tenants }));
        }
        let Confirmed { person, now, changed } = confirm(&mut tx, PersonId::from_uuid(self.fresh_uuid()), &profile).await.doing(doing)?;
        let found = ByToken { person: person.id, tenants: now.iter().map(|(tenant, _)| tenant.clone()).collect() };
        if known.is_some() && !changed {
            tx.commit_unaudited(Unaudited::SessionConfirmed).await.doing(doing)?;
        } else {
            let entry = audit::by_system(tx.at(), None, "person.roles", "person", person.id, &person.name);
            let detail = Detail::Roles { memberships: now, platform_role: profile.platform_role };
            tx.commit(Entry { detail, ..entry }).await.doing(doing)?;
        }
        Ok(Some(found))
    }

    /// Who asks with a token that was checked; rights are read from the database each time. `None`: the person's sessions were ended after it
    /// was issued.
    pub async fn caller_by_token(&self, token: &ByToken, issued: Timestamp, origin: Origin) -> Result<Option<Caller>, Problem> {
        let doing = "reading who an access token speaks of";
        let store = self.store();
        let Some((person, groups, ended)) = store.person(token.person).await.doing(doing)? else { return Ok(None) };
        if ended.is_some_and(|ended| issued <= ended) {
            return Ok(None);
        }
        // As for a session: what nobody confirmed for longer than one lasts gives no rights.
        let oldest = self.now().plus(-self.inner.session_hours.max(1) * HOUR);
        let memberships = store.memberships(person.id).await.doing(doing)?;
        let memberships = memberships.into_iter().filter(|m| m.confirmed_at >= oldest).map(|m| (m.tenant, m.role)).collect();
        Ok(Some(Caller::proven(None, person, memberships, groups, origin)))
    }

    /// By which the gateway knows a person whose token was checked, for ten minutes at most; it looks at the membership itself.
    pub fn pass_by_token(&self, token: &ByToken, tenant: &Name) -> String {
        let pass = Pass { tenant: tenant.clone(), person: token.person, expires_at: self.now().plus(PASS_LASTS) };
        pass.sign(&self.inner.pass_secret)
    }
}
