//! The members of a tenant, and ending what one of them has open.

use super::{AppError, Wire};
#[cfg(feature = "ssr")]
use domain::page::Cursor;
use domain::{ids::PersonId, page::Page, people::Member, time::Timestamp};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberList {
    /// By name.
    pub members: Page<Member>,
    /// The member that a question on the page is about.
    pub asked: Option<Member>,
    pub me: PersonId,
    pub now: Timestamp,
    /// Why one may not end the access of members.
    pub end_refused: Option<String>,
}

/// `text` is part of name or address; `after`: see `domain::page::Cursor`; `asked` is the id of the person that a question is about, or empty.
#[server(prefix = "/rpc", endpoint = "members/list", output = Wire)]
pub async fn list_members(
    tenant: String,
    #[server(default)] text: String,
    #[server(default)] after: String,
    #[server(default)] asked: String,
) -> Result<MemberList, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let members = platform.members(&scope);
    // One who is gone is asked nothing of.
    let asked = match asked.parse() {
        Ok(person) => members.get(person).await.ok(),
        Err(_) => None,
    };
    Ok(MemberList {
        members: members.list(&text, &Cursor::from_text(after)).await?,
        asked,
        me: scope.person().id,
        now: platform.now(),
        end_refused: scope.why_not(domain::policy::Action::MemberEnd),
    })
}

/// Ends the sessions of a member, and the person's own keys in this tenant.
#[server(prefix = "/rpc", endpoint = "members/end", output = Wire)]
pub async fn member_end(tenant: String, person: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    scope.permit(domain::policy::Action::MemberEnd)?;
    platform.members(&scope).end_access(read(&person)?).await?;
    super::redirect(&crate::links::members(&scope.tenant().name));
    Ok(())
}

/// The id of a person as a form sends it.
#[cfg(feature = "ssr")]
pub(super) fn read(person: &str) -> Result<PersonId, domain::problem::Problem> {
    person.parse().map_err(|_| domain::problem::Problem::not_found("The member"))
}
