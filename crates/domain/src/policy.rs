//! The rights matrix: who may do what. One match, printed to `docs/rights.txt`, reviewed as a diff.
//! Closed by default: an action that is not granted here is refused.

use crate::people::{PlatformRole, Role};

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        /// Everything that can be asked for. A route or server function names the one it needs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Action { $($(#[$doc])* $name),* }
        impl Action {
            pub const ALL: &'static [Action] = &[$(Action::$name),*];
            pub const fn word(self) -> &'static str {
                match self { $(Action::$name => $word),* }
            }
        }
    };
}

actions! {
    TenantRead = "tenant.read",
    DatasetRead = "dataset.read",
    DatasetWrite = "dataset.write",
    /// Delete versions and datasets, erase their rows.
    DatasetDelete = "dataset.delete",
    RunRead = "run.read",
    RunLaunch = "run.launch",
    RunCancel = "run.cancel",
    /// Have a failed or stopped step tried again.
    RunRetry = "run.retry",
    ModelRead = "model.read",
    CardEdit = "card.edit",
    ModelStage = "model.stage",
    EndpointRead = "endpoint.read",
    EndpointWrite = "endpoint.write",
    /// Add a server that somebody else runs, and choose which of its models answer.
    ExternalWrite = "endpoint.add_external",
    /// Chat with the tenant's models.
    Infer = "infer",
    KeyRead = "key.read",
    /// Create keys, and revoke one's own.
    KeyWrite = "key.write",
    /// Revoke anybody's key.
    KeyRevokeAny = "key.revoke_any",
    /// Create keys that belong to the tenant, and say who answers for them.
    ServiceKeyWrite = "key.write_service",
    /// See who belongs to the tenant, with their sessions and keys.
    MemberRead = "member.read",
    /// End the sessions and keys of a member.
    MemberEnd = "member.end_access",
    UsageReadOwn = "usage.read_own",
    UsageRead = "usage.read",
    AuditRead = "audit.read",
    BaseModelRead = "base_model.read",
    /// Platform: list tenants, their members and holdings.
    PlatformTenantsRead = "platform.tenants.read",
    PlatformTenantsWrite = "platform.tenants.write",
    /// Platform: end the sessions and keys of a person, in every tenant.
    PlatformPeopleEnd = "platform.people.end_access",
    PlatformBaseModelsWrite = "platform.base_models.write",
    PlatformAuditRead = "platform.audit.read",
    /// Calls that could not be recorded.
    PlatformUsageRead = "platform.usage.read",
    PlatformUsageWrite = "platform.usage.write",
}

/// May somebody with this role in the tenant do this there? `platform` counts for the platform's own actions,
/// and lets the auditor read every tenant.
pub fn allows(role: Option<Role>, platform: Option<PlatformRole>, action: Action) -> bool {
    use Action as A;
    let auditor = platform == Some(PlatformRole::Auditor);
    let admin = platform == Some(PlatformRole::Admin);
    match action {
        A::TenantRead | A::DatasetRead | A::RunRead | A::ModelRead | A::EndpointRead => role >= Some(Role::Viewer) || auditor,
        A::BaseModelRead => role >= Some(Role::Viewer) || auditor || admin,
        A::Infer | A::UsageReadOwn => role >= Some(Role::Viewer),
        A::DatasetWrite | A::DatasetDelete | A::RunLaunch | A::RunCancel | A::RunRetry | A::CardEdit | A::EndpointWrite | A::KeyWrite => {
            role >= Some(Role::Engineer)
        }
        A::KeyRead => role >= Some(Role::Engineer) || auditor,
        A::ModelStage | A::KeyRevokeAny | A::ServiceKeyWrite | A::MemberEnd | A::ExternalWrite => role >= Some(Role::Owner),
        A::UsageRead | A::AuditRead | A::MemberRead => role >= Some(Role::Owner) || auditor,
        A::PlatformTenantsRead | A::PlatformUsageRead => admin || auditor,
        A::PlatformTenantsWrite | A::PlatformPeopleEnd | A::PlatformBaseModelsWrite | A::PlatformUsageWrite => admin,
        A::PlatformAuditRead => auditor || admin,
    }
}

/// Which roles may, for the sentence beside a button that is off.
pub fn needed(action: Action) -> &'static str {
    if allows(Some(Role::Viewer), None, action) {
        "a member of the tenant"
    } else if allows(Some(Role::Engineer), None, action) {
        "the engineer or owner role"
    } else if allows(Some(Role::Owner), None, action) {
        "the owner role"
    } else {
        "the platform admin or auditor role"
    }
}

/// The matrix as text: one line an action, one column a role.
pub fn matrix() -> String {
    let columns: [(&str, Option<Role>, Option<PlatformRole>); 6] = [
        ("viewer", Some(Role::Viewer), None),
        ("engineer", Some(Role::Engineer), None),
        ("owner", Some(Role::Owner), None),
        ("auditor", None, Some(PlatformRole::Auditor)),
        ("admin", None, Some(PlatformRole::Admin)),
        ("stranger", None, None),
    ];
    let mut out = format!("{:<28}", "action");
    for (label, ..) in columns {
        out.push_str(&format!("{label:<10}"));
    }
    out = out.trim_end().to_owned() + "\n";
    for action in Action::ALL {
        let mut line = format!("{:<28}", action.word());
        for (_, role, platform) in columns {
            line.push_str(&format!("{:<10}", if allows(role, platform, *action) { "yes" } else { "-" }));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_may_nothing() {
        for action in Action::ALL {
            assert!(!allows(None, None, *action), "{action:?}");
        }
    }

    #[test]
    fn the_auditor_changes_nothing_and_the_admin_sees_no_tenants_data() {
        for action in Action::ALL {
            let word = action.word();
            let reads = word.ends_with(".read");
            assert!(reads || !allows(None, Some(PlatformRole::Auditor), *action), "{word}");
            assert!(
                word.starts_with("platform.") || word == "base_model.read" || !allows(None, Some(PlatformRole::Admin), *action),
                "{word}"
            );
        }
    }

    #[test]
    fn the_least_role_that_suffices_is_named() {
        for (action, words) in [
            (Action::RunRead, "a member of the tenant"),
            (Action::RunLaunch, "the engineer or owner role"),
            (Action::ModelStage, "the owner role"),
            (Action::PlatformTenantsWrite, "the platform admin or auditor role"),
        ] {
            assert_eq!(needed(action), words, "{action:?}");
        }
    }

    #[test]
    fn the_printed_matrix_is_fresh() {
        let committed = include_str!("../../../docs/rights.txt");
        assert_eq!(committed, matrix(), "docs/rights.txt is stale; write domain::policy::matrix() into it and review the diff");
    }
}
