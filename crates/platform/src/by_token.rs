//! People and programs that come with an access token of the identity provider, and without a session here.

use crate::{
    Platform, audit,
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
    time::Timestamp,
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

    /// By which the gateway knows a person whose token was checked, for ten minutes at most; it looks at the membership itself.
    pub fn pass_by_token(&self, token: &ByToken, tenant: &Name) -> String {
        let pass = Pass { tenant: tenant.clone(), person: token.person, expires_at: self.now().plus(PASS_LASTS) };
        pass.sign(&self.inner.pass_secret)
    }
}
