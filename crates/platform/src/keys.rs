//! API keys: made, shown once, listed by what they are for, revoked.

use crate::{Platform, access::Scope, change::Change, problem::Doing, random, store::KeyRow};
use domain::{
    audit::Detail,
    filter::KeyFilter,
    ids::{KeyId, PersonId},
    key::{ApiKey, CreatedKey, NewKey, text},
    page::{Cursor, Page},
    policy::Action,
    problem::{FieldProblem, Problem},
    time::DAY,
};
use std::collections::HashMap;

pub struct Keys<'a> {
    scope: &'a Scope,
}

impl Platform {
    pub fn keys<'a>(&self, scope: &'a Scope) -> Keys<'a> {
        Keys { scope }
    }
}

impl Keys<'_> {
    /// Newest first, revoked ones included.
    pub async fn list(&self, filter: &KeyFilter, after: &Cursor) -> Result<Page<ApiKey>, Problem> {
        self.scope.permit(Action::KeyRead)?;
        let platform = self.scope.platform();
        platform.store().keys(self.scope.tenant_name(), filter, platform.now(), after).await.doing("reading the keys")
    }

    pub async fn get(&self, id: KeyId) -> Result<ApiKey, Problem> {
        self.scope.permit(Action::KeyRead)?;
        let found = self.scope.platform().store().key(self.scope.tenant_name(), id).await.doing("reading the key")?;
        found.ok_or_else(|| Problem::not_found(format!("The key {id}")))
    }

    /// Service keys that work and that nobody answers for, newest first: one page.
    pub async fn unanswered(&self) -> Result<Page<ApiKey>, Problem> {
        self.scope.permit(Action::KeyRead)?;
        let platform = self.scope.platform();
        platform.store().unanswered_keys(self.scope.tenant_name(), platform.now()).await.doing("reading the keys")
    }

    /// The newest of one's own keys that is neither revoked nor over; the others stop when it does.
    pub async fn own(&self) -> Result<Option<ApiKey>, Problem> {
        self.scope.permit(Action::KeyRead)?;
        let platform = self.scope.platform();
        platform.store().own_key(self.scope.tenant_name(), self.scope.person().id, platform.now()).await.doing("reading the keys")
    }

    /// What these keys are called; nothing for whoever may not read keys.
    pub async fn labels(&self, ids: &[KeyId]) -> Result<HashMap<KeyId, String>, Problem> {
        if !self.scope.may(Action::KeyRead) {
            return Ok(HashMap::new());
        }
        self.scope.platform().store().key_labels(self.scope.tenant_name(), ids).await.doing("reading the keys")
    }

    /// The secret is in the answer and nowhere else. A service key needs a right of its own.
    pub async fn create(&self, new: NewKey) -> Result<CreatedKey, Problem> {
        let permit = self.scope.permit(if new.responsible.is_some() { Action::ServiceKeyWrite } else { Action::KeyWrite })?;
        self.scope.active()?;
        let mut wrong = new.check();
        let models: Option<Vec<String>> = new.models.map(|m| m.iter().map(|m| m.trim().to_owned()).filter(|m| !m.is_empty()).collect());
        if models.as_ref().is_some_and(Vec::is_empty) {
            wrong.push(FieldProblem::new("models", "Choose at least one model, or allow all of them."));
        }
        if models.iter().flatten().any(|m| m.chars().count() > 200) {
            wrong.push(FieldProblem::new("models", "A model id has at most 200 characters."));
        }
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
        let doing = "creating the key";
        let made = text::make(random());
        let mut tx = Change::begin(self.scope.platform(), &permit).await?;
        let person = self.scope.person();
        let owner = new.responsible.unwrap_or(person.id);
        let member = tx.member(self.scope.tenant_name(), owner).await.doing(doing)?;
        let (owner_name, confirmed_at) = member.ok_or_else(|| no_member("responsible"))?;
        let key = ApiKey {
            id: KeyId::from_uuid(self.scope.platform().fresh_uuid()),
            tenant: self.scope.tenant_name().clone(),
            label: new.label.trim().to_owned(),
            hint: made.hint.clone(),
            service: new.responsible.is_some(),
            owner,
            owner_name,
            owner_confirmed_at: Some(confirmed_at),
            models,
            limits: new.limits,
            created_at: tx.at(),
            expires_at: new.expires_in_days.map(|days| tx.at().plus(i64::from(days) * DAY)),
            revoked_at: None,
            last_used_at: None,
        };
        tx.insert_key(&KeyRow { key: &key, digest: hex::encode(made.digest) }).await.doing(doing)?;
        let mut entry = tx.entry("key", key.id, &key.label);
        entry.detail = match key.service {
            true => Detail::ServiceKeyCreated { hint: key.hint.clone(), responsible: key.owner_name.clone() },
            false => Detail::KeyCreated { hint: key.hint.clone() },
        };
        tx.commit(entry).await.doing(doing)?;
        Ok(CreatedKey { key, secret: made.text })
    }

    /// One's own key with the right to make keys, anybody's with the owner role. A key that is revoked already stays so.
    pub async fn revoke(&self, id: KeyId) -> Result<ApiKey, Problem> {
        let doing = "revoking the key";
        let tenant = self.scope.tenant_name();
        // Whoever may not see keys learns nothing of this one.
        self.scope.permit(Action::KeyRead)?;
        let not_found = || Problem::not_found(format!("The key {id}"));
        let key = self.scope.platform().store().key(tenant, id).await.doing(doing)?.ok_or_else(not_found)?;
        // Whose it is never changes; who answers for a service key may, and that makes no difference here.
        let own = !key.service && key.owner == self.scope.person().id && self.scope.may(Action::KeyWrite);
        let permit = self.scope.permit(if own { Action::KeyWrite } else { Action::KeyRevokeAny })?;
        let mut tx = Change::begin(self.scope.platform(), &permit).await?;
        let mut key = tx.key(tenant, id).await.doing(doing)?.ok_or_else(not_found)?;
        if key.revoked_at.is_some() {
            return Ok(key);
        }
        let at = tx.at();
        key.revoked_at = Some(at);
        tx.revoke_key(tenant, id, at).await.doing(doing)?;
        let mut entry = tx.entry("key", key.id, &key.label);
        entry.action = "key.revoke".into();
        entry.detail = Detail::KeyRevoked { hint: key.hint.clone() };
        tx.commit(entry).await.doing(doing)?;
        Ok(key)
    }

    /// Another member answers for a service key.
    pub async fn set_responsible(&self, id: KeyId, person: PersonId) -> Result<ApiKey, Problem> {
        let permit = self.scope.permit(Action::ServiceKeyWrite)?;
        let doing = "naming who answers for a key";
        let tenant = self.scope.tenant_name();
        let mut tx = Change::begin(self.scope.platform(), &permit).await?;
        let not_found = || Problem::not_found(format!("The key {id}"));
        let key = tx.key(tenant, id).await.doing(doing)?.filter(|k| k.service).ok_or_else(not_found)?;
        let (owner_name, confirmed_at) = tx.member(tenant, person).await.doing(doing)?.ok_or_else(|| no_member("person"))?;
        tx.set_responsible(tenant, id, person).await.doing(doing)?;
        let mut entry = tx.entry("key", key.id, &key.label);
        entry.detail = Detail::ResponsibleChanged { now: owner_name.clone(), before: key.owner_name.clone() };
        tx.commit(entry).await.doing(doing)?;
        Ok(ApiKey { owner: person, owner_name, owner_confirmed_at: Some(confirmed_at), ..key })
    }
}

fn no_member(field: &str) -> Problem {
    Problem::field(field, "Choose a member of the tenant as the responsible member.")
}
