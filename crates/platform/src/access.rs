//! Who may do what, proven by types: a [`Caller`] (who, from a session) becomes a [`Scope`] (in which tenant, with which
//! role), and a scope gives a [`Permit`] (this one action). Use cases are functions of a scope, writes take a permit, and neither can
//! be made anywhere but here. What one may not see is "not found", in the words the caller used.

use crate::{Platform, problem::Doing};
use domain::{
    audit::{ActorKind, Detail, Entry},
    ids::SessionId,
    name::Name,
    people::{Person, PlatformRole, Role, Whoami},
    policy::{self, Action},
    problem::{Problem, ProblemKind},
    tenant::{Tenant, TenantState},
};

/// Where a request came from, for the audit record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub request_id: String,
    pub from_ip: String,
}

/// A person whose session or access token was proven. Only `sessions` and `by_token` make one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Caller {
    /// None: the person came with an access token.
    pub session: Option<SessionId>,
    pub person: Person,
    /// By tenant name; read from the database at this request.
    pub memberships: Vec<(Name, Role)>,
    pub groups: Vec<String>,
    pub origin: Origin,
}

impl Caller {
    pub(crate) fn proven(
        session: Option<SessionId>,
        person: Person,
        memberships: Vec<(Name, Role)>,
        groups: Vec<String>,
        origin: Origin,
    ) -> Self {
        Self { session, person, memberships, groups, origin }
    }

    pub fn whoami(&self) -> Whoami {
        Whoami {
            person: self.person.id,
            name: self.person.name.clone(),
            email: self.person.email.clone(),
            platform_role: self.person.platform_role,
            memberships: self.memberships.clone(),
            groups: self.groups.clone(),
        }
    }

    /// A handle on one tenant, for its members and the platform auditor; for everybody else it does not exist.
    pub async fn scope(&self, platform: &Platform, tenant: &str) -> Result<Scope, Problem> {
        let not_found = || Problem::not_found(format!("The tenant “{}”", shortened(tenant)));
        let name: Name = tenant.parse().map_err(|_| not_found())?;
        let role = self.memberships.iter().find(|(t, _)| *t == name).map(|(_, role)| *role);
        if !policy::allows(role, self.person.platform_role, Action::TenantRead) {
            return Err(not_found());
        }
        let found = platform.store().tenant(&name).await.doing("reading the tenant")?;
        // What is being taken away is gone for its members.
        let tenant = found.filter(|t| t.state != TenantState::Deleting).ok_or_else(not_found)?;
        Ok(Scope { platform: platform.clone(), tenant, role, person: self.person.clone(), origin: self.origin.clone() })
    }

    /// A handle on the platform itself, for its admin and auditor; for everybody else those pages do not exist.
    pub fn platform_scope(&self) -> Result<PlatformScope, Problem> {
        match self.person.platform_role {
            Some(role) => Ok(PlatformScope { who: Who::Person(Box::new(self.person.clone()), role), origin: self.origin.clone() }),
            None => Err(Problem::not_found("This page")),
        }
    }
}

/// One tenant, as one person may see it.
#[derive(Clone)]
pub struct Scope {
    platform: Platform,
    tenant: Tenant,
    role: Option<Role>,
    person: Person,
    origin: Origin,
}

impl Scope {
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }
    /// What store functions bind.
    pub fn tenant_name(&self) -> &Name {
        &self.tenant.name
    }
    /// None for the auditor, who is no member.
    pub fn role(&self) -> Option<Role> {
        self.role
    }
    pub fn person(&self) -> &Person {
        &self.person
    }
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
    pub(crate) fn platform(&self) -> &Platform {
        &self.platform
    }

    pub fn may(&self, action: Action) -> bool {
        policy::allows(self.role, self.person.platform_role, action)
    }

    /// Leave to do this one thing. A refusal is audited, because the person saw the thing and tried.
    pub fn permit(&self, action: Action) -> Result<Permit<'_>, Problem> {
        let permit = Permit { tenant: Some(&self.tenant.name), actor: Actor::person(&self.person), origin: &self.origin, action };
        if self.may(action) {
            return match self.why_suspended(action) {
                Some(why) => Err(Problem::conflict(why).next("Ask the platform admin to resume the tenant.")),
                None => Ok(permit),
            };
        }
        let sentence = format!("This needs {}.", policy::needed(action));
        let mut entry = permit.entry(self.platform.now(), action.word().split('.').next().unwrap_or_default(), "", "");
        entry.result = "refused".into();
        entry.detail = Detail::RoleMissing { action: action.word().to_owned() };
        self.platform.note_refusal(entry);
        Err(Problem::new(ProblemKind::Forbidden, sentence).next("Ask an owner of the tenant."))
    }

    /// Refuses a role that may not do this, as [`Self::permit`] does, and lets a suspended tenant pass: for what may turn out to be no change.
    pub fn allowed(&self, action: Action) -> Result<(), Problem> {
        if self.may(action) { Ok(()) } else { self.permit(action).map(drop) }
    }

    /// The sentence beside a button that is off; `None` when the action is allowed.
    pub fn why_not(&self, action: Action) -> Option<String> {
        if self.may(action) { self.why_suspended(action) } else { Some(format!("This needs {}.", policy::needed(action))) }
    }

    /// For actions that start or create something under an action that also stops things (endpoints, keys): refused while the
    /// tenant is suspended. `permit` asks this itself for actions that only ever start something.
    pub fn active(&self) -> Result<(), Problem> {
        match self.tenant.state {
            TenantState::Active => Ok(()),
            TenantState::Suspended | TenantState::Deleting => {
                Err(Problem::conflict(self.suspended_sentence()).next("Ask the platform admin to resume the tenant."))
            }
        }
    }

    fn why_suspended(&self, action: Action) -> Option<String> {
        let starts = matches!(action, Action::DatasetWrite | Action::RunLaunch | Action::RunRetry | Action::Infer);
        (starts && self.tenant.state == TenantState::Suspended).then(|| self.suspended_sentence())
    }

    fn suspended_sentence(&self) -> String {
        format!("The tenant “{}” is suspended: nothing new starts, what is stored stays.", self.tenant.name)
    }
}

/// The platform itself, as its admin, its auditor or the command line on the server may see it.
#[derive(Clone)]
pub struct PlatformScope {
    who: Who,
    origin: Origin,
}

#[derive(Clone)]
enum Who {
    Person(Box<Person>, PlatformRole),
    CommandLine,
}

impl PlatformScope {
    /// Whoever runs commands on the server itself has the database anyway; what they do is audited as `system`.
    pub fn command_line() -> Self {
        Self { who: Who::CommandLine, origin: Origin { request_id: String::new(), from_ip: String::new() } }
    }

    pub fn may(&self, action: Action) -> bool {
        match &self.who {
            Who::Person(_, role) => policy::allows(None, Some(*role), action),
            Who::CommandLine => true,
        }
    }

    pub fn why_not(&self, action: Action) -> Option<String> {
        (!self.may(action)).then(|| "This needs the platform admin role.".to_owned())
    }

    pub fn permit(&self, action: Action) -> Result<Permit<'_>, Problem> {
        if let Some(why) = self.why_not(action) {
            return Err(Problem::new(ProblemKind::Forbidden, why).next("Ask a platform admin."));
        }
        let actor = match &self.who {
            Who::Person(person, _) => Actor::person(person),
            Who::CommandLine => Actor::system(),
        };
        Ok(Permit { tenant: None, actor, origin: &self.origin, action })
    }
}

/// Who acts, as the audit record names them.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) kind: ActorKind,
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Actor {
    pub(crate) fn person(person: &Person) -> Self {
        Self { kind: ActorKind::Person, id: person.id.to_string(), name: person.name.clone() }
    }
    /// A controller or the command line.
    pub(crate) fn system() -> Self {
        Self { kind: ActorKind::System, id: "system".into(), name: "system".into() }
    }
}

/// Proof that this one action was allowed; functions that write take it, and it names them in the audit record.
#[derive(Clone)]
pub struct Permit<'a> {
    tenant: Option<&'a Name>,
    actor: Actor,
    origin: &'a Origin,
    action: Action,
}

impl Permit<'_> {
    pub fn action(&self) -> Action {
        self.action
    }

    /// The audit entry of what is done with this permit. `at` is the transaction's time.
    pub(crate) fn entry(&self, at: domain::time::Timestamp, object_kind: &str, object: impl ToString, object_name: impl ToString) -> Entry {
        Entry {
            at,
            actor_kind: self.actor.kind,
            actor: self.actor.id.clone(),
            actor_name: self.actor.name.clone(),
            tenant: self.tenant.cloned(),
            action: self.action.word().to_owned(),
            object_kind: object_kind.to_owned(),
            object: object.to_string(),
            object_name: object_name.to_string(),
            result: "done".into(),
            detail: Detail::None,
            request_id: self.origin.request_id.clone(),
            from_ip: self.origin.from_ip.clone(),
        }
    }
}

/// What a person typed, short enough to be said back.
pub(crate) fn shortened(text: &str) -> String {
    let mut out: String = text.chars().take(80).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}
