//! What an audit record says beside who, what and on what: a code with its parameters. The sentence is made here, when it is shown, so that
//! records stay readable after a rewording, and scripts find what happened without reading sentences.

use crate::{
    call_rules::CallRules,
    counted::counted,
    deletion::WillGo,
    isolation::{Ending, Finding, Probe},
    name::Name,
    people::{PlatformRole, Role},
    policy::{self, Action},
    reason::{base_model::BaseModelReason, dataset::DatasetReason, endpoint::EndpointReason, failure::Cause},
    serving::ServingSettings,
    size::bytes as in_bytes,
    tenant::Quota,
    tenant_groups::GroupRole,
    tenant_objects::Repaired,
};
use serde::{Deserialize, Serialize};

/// Never holds a secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Detail {
    #[default]
    None,
    /// In words: of records that were written before there were codes, and of details that only a person could word.
    Told {
        text: String,
    },

    KeyCreated {
        hint: String,
    },
    ServiceKeyCreated {
        hint: String,
        responsible: String,
    },
    KeyRevoked {
        hint: String,
    },
    ResponsibleChanged {
        now: String,
        before: String,
    },

    AccessEnded {
        sessions: u64,
        keys: u64,
    },
    /// What a person may do from now on.
    Roles {
        memberships: Vec<(Name, Role)>,
        platform_role: Option<PlatformRole>,
    },
    SessionsEnded {
        sessions: u64,
    },
    SessionEnded {
        why: SessionEnd,
    },

    /// The role is missing that this action needs.
    RoleMissing {
        action: String,
    },
    /// So many refusals of one kind, from one address, within a minute.
    RefusedTimes {
        times: u64,
    },
    /// So many refusals of one person that came faster than they could be written one by one.
    OneOfRefusals {
        times: u64,
    },

    TenantCreated {
        quota: Quota,
    },
    TitleSet {
        title: String,
    },
    QuotaSet {
        quota: Quota,
    },
    CallRulesSet {
        rules: CallRules,
    },
    GroupsBound {
        groups: Vec<GroupRole>,
    },
    TenantSuspended,
    TenantResumed,
    TenantDeletionAsked {
        will_go: WillGo,
        /// That stopped working at once.
        keys: u64,
        sessions: u64,
    },
    TenantDeleted,
    /// Of a tenant's namespace, after somebody changed them outside the portal.
    ObjectsRepaired {
        objects: Vec<Repaired>,
    },
    IsolationCheckAsked,
    /// Whether a tenant's pods are apart from all that is not theirs.
    IsolationChecked {
        /// None = no pod has tried anything.
        finding: Option<Finding>,
        reached: Vec<Probe>,
        undecided: Vec<Probe>,
        ending: Ending,
    },
    /// Of the artefact store.
    StoreKeySet {
        access_key_id: String,
        /// Made by Garage for the portal, not given by a person.
        by_garage: bool,
    },
    /// A new key of the artefact store took the place of this one, which goes on until nothing works with it any more.
    StoreKeyRotated {
        access_key_id: String,
        replaced: String,
    },
    /// Garage knows it no more.
    StoreKeyEnded {
        access_key_id: String,
    },

    BaseModelAsked {
        architecture: String,
        folder: String,
    },
    BaseModelRegistered {
        files: u64,
        digest: String,
    },

    BaseModelBroken {
        reason: BaseModelReason,
    },

    DatasetUploaded {
        file: String,
        bytes: u64,
    },
    UploadAbandoned,
    DatasetAccepted {
        accepted: u64,
        rows: u64,
    },
    DatasetRejected {
        #[serde(deserialize_with = "DatasetReason::tolerant")]
        reason: DatasetReason,
    },
    DatasetDocumented {
        without: Vec<String>,
    },
    DatasetDeleted {
        file: String,
        bytes: u64,
        digest: Option<String>,
    },
    DatasetErased {
        file: String,
        bytes: u64,
        digest: Option<String>,
    },

    RunLaunched {
        base_model: Name,
        dataset: Name,
        version: u32,
        /// That trains in place of LLaMA-Factory.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<String>,
    },
    /// A failed or stopped step; `attempt` is which try follows, from 2 for one that had begun.
    StepTriedAgain {
        step: String,
        attempt: u32,
    },
    /// The first part of the plan that failed, and why.
    RunFailed {
        step: String,
        cause: Cause,
    },
    ModelPublished {
        run: Name,
        digest: String,
    },
    StageMoved {
        from: String,
        to: String,
    },
    CardEdited {
        fields: Vec<String>,
    },

    EndpointCreated {
        base_model: Name,
    },
    /// At a server that somebody else runs.
    ExternalAdded {
        address: String,
        with_key: bool,
    },
    /// The key of such a server was replaced, or taken away.
    ExternalKeySet {
        with_key: bool,
    },
    ExternalOffered {
        there: String,
        here: Name,
    },
    ExternalWithdrawn {
        there: String,
    },
    ExternalChecked,
    EndpointGivenUp {
        reason: EndpointReason,
    },
    Attached {
        model: Name,
        version: u32,
    },
    Served {
        model: Name,
        version: u32,
    },
    /// `what`: `facts v3`, or the version's id where it is attached no longer.
    Detached {
        what: String,
    },
    EndpointStarted,
    EndpointStopped,
    EndpointRemoved,
    ServingSet {
        settings: ServingSettings,
    },

    UsageRebuilt {
        sums: u64,
    },
    SetAsideTried {
        recorded: u64,
        refused: u64,
    },

    /// The one chain of before was closed, and each tenant has its own from here on.
    FirstSegmentClosed {
        records: i64,
        head: String,
        root: String,
        /// Whether it held when it was closed.
        whole: bool,
    },
    /// A key that signs checkpoints was made.
    CheckpointKeyMade {
        verifier: String,
    },
}

/// Why a session ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// Its tokens were sealed with a key that is no more.
    KeyGone,
    /// The identity provider does not let the person in any more.
    NotConfirmed,
    /// The identity provider ended the session there, and said so (back-channel logout).
    ProviderLogout,
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        if text.is_empty() { Self::None } else { Self::Told { text } }
    }
}

impl Detail {
    /// As it is stored and hashed; empty when there is nothing to say.
    pub fn stored(&self) -> String {
        match self {
            Self::None => String::new(),
            detail => serde_json::to_string(detail).unwrap_or_default(),
        }
    }

    /// A code that this version does not know is shown as it is stored.
    pub fn read(stored: &str) -> Self {
        serde_json::from_str(stored).unwrap_or_else(|_| Self::from(stored.to_owned()))
    }

    /// For people; empty when there is nothing to say.
    pub fn said(&self) -> String {
        let digest = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "unknown".into());
        match self {
            Self::None => String::new(),
            Self::Told { text } => text.clone(),
            Self::KeyCreated { hint } => format!("created {hint}…"),
            Self::ServiceKeyCreated { hint, responsible } => format!("created the service key {hint}…, responsible: {responsible}"),
            Self::KeyRevoked { hint } => format!("revoked {hint}…"),
            Self::ResponsibleChanged { now, before } => format!("responsible: {now}, formerly {before}"),
            Self::AccessEnded { sessions, keys } => {
                format!("{} and {} ended", counted(*sessions, "session", "sessions"), counted(*keys, "key", "keys"))
            }
            Self::Roles { memberships, platform_role } => roles(memberships, *platform_role),
            Self::SessionsEnded { sessions } => format!("{} ended from the command line", counted(*sessions, "session", "sessions")),
            Self::SessionEnded { why: SessionEnd::KeyGone } => "the key that its tokens were sealed with is gone".into(),
            Self::SessionEnded { why: SessionEnd::NotConfirmed } => "the identity provider does not confirm it any more".into(),
            Self::SessionEnded { why: SessionEnd::ProviderLogout } => "the session at the identity provider was ended".into(),
            Self::RoleMissing { action } => match Action::ALL.iter().find(|a| a.word() == action) {
                Some(action) => format!("This needs {}.", policy::needed(*action)),
                None => format!("This needs the right {action}."),
            },
            Self::RefusedTimes { times: 1 } => "Refused once within a minute.".into(),
            Self::RefusedTimes { times } => format!("Refused {times} times within a minute."),
            Self::OneOfRefusals { times } => format!("One of {times} refusals that came too fast to be written one by one."),
            Self::TenantCreated { quota } => format!("created, {}", in_words(quota)),
            Self::TitleSet { title } => format!("title: {title}"),
            Self::QuotaSet { quota } => format!("quota: {}", in_words(quota)),
            Self::CallRulesSet { rules } => format!("limits: {}", rules.said()),
            Self::GroupsBound { groups } if groups.is_empty() => "no groups of its own".into(),
            Self::GroupsBound { groups } => format!("groups: {}", groups.iter().map(GroupRole::said).collect::<Vec<_>>().join("; ")),
            Self::TenantSuspended => "suspended".into(),
            Self::TenantResumed => "resumed".into(),
            Self::TenantDeletionAsked { will_go: g, keys, sessions } => {
                let goes = [
                    counted(g.runs, "run", "runs"),
                    counted(g.endpoints, "endpoint", "endpoints"),
                    counted(g.models, "model", "models"),
                    counted(g.datasets, "dataset", "datasets"),
                    in_bytes(g.bytes),
                ];
                let ended = format!("{} and {} ended", counted(*keys, "key", "keys"), counted(*sessions, "session", "sessions"));
                format!("deletion asked for: {}; {ended}", goes.join(", "))
            }
            Self::TenantDeleted => "deleted: nothing is left but this log".into(),
            Self::ObjectsRepaired { objects } => {
                let said = objects.iter().map(|o| format!("{} {} ({})", o.kind, o.name, o.found.said()));
                format!("repaired: {}", said.collect::<Vec<_>>().join("; "))
            }
            Self::IsolationCheckAsked => "check of isolation asked for".into(),
            Self::IsolationChecked { finding: None, ending, .. } => format!("isolation not checked: {}", ending.said()),
            Self::IsolationChecked { finding: Some(finding), reached, undecided, ending } => {
                let word = match finding {
                    Finding::Apart => "apart",
                    Finding::NotApart => "NOT apart",
                    Finding::Unproven => "not proven",
                };
                let titles = |all: &[Probe]| all.iter().map(|p| p.title()).collect::<Vec<_>>().join("; ");
                let mut said = format!("isolation: {word}");
                for (what, all) in [("reached", reached), ("not decided", undecided)].into_iter().filter(|(_, all)| !all.is_empty()) {
                    said = format!("{said}; {what}: {}", titles(all));
                }
                [said, ending.said()].join(". ").trim_end_matches(['.', ' ']).to_owned()
            }
            Self::StoreKeySet { access_key_id, by_garage: true } => format!("key {access_key_id} of the artefact store, made by Garage"),
            Self::StoreKeySet { access_key_id, by_garage: false } => format!("key {access_key_id} of the artefact store, given by hand"),
            Self::StoreKeyRotated { access_key_id, replaced } => {
                format!("key {access_key_id} of the artefact store in the place of {replaced}, which ends when nothing works with it")
            }
            Self::StoreKeyEnded { access_key_id } => format!("key {access_key_id} of the artefact store ended"),
            Self::BaseModelAsked { architecture, folder } => format!("{architecture} from {folder}"),
            Self::BaseModelRegistered { files, digest } => format!("{}, digest {digest}", counted(*files, "file", "files")),
            Self::BaseModelBroken { reason } => reason.said(),
            Self::DatasetUploaded { file, bytes } => format!("uploaded “{file}”, {}", in_bytes(*bytes)),
            Self::UploadAbandoned => "the portal stopped while the file was arriving".into(),
            Self::DatasetAccepted { accepted, rows } => format!("{accepted} of {rows} rows accepted"),
            Self::DatasetRejected { reason } => format!("rejected: {}", reason.said()),
            Self::DatasetDocumented { without } if without.is_empty() => "documented".into(),
            Self::DatasetDocumented { without } => format!("documented, still without {}", without.join(", ")),
            Self::DatasetDeleted { file, bytes, digest: d } => {
                format!("deleted “{file}”, {}, digest {}", in_bytes(*bytes), digest(d))
            }
            Self::DatasetErased { file, bytes, digest: d } => {
                format!("erased “{file}”, {}, digest {}", in_bytes(*bytes), digest(d))
            }
            Self::RunLaunched { base_model, dataset, version, image } => {
                let by = image.as_ref().map(|image| format!(", by the image {image}")).unwrap_or_default();
                format!("{base_model} on {dataset} v{version}{by}")
            }
            Self::StepTriedAgain { step, attempt } => format!("step {step}, try {attempt}"),
            Self::RunFailed { step, cause } => format!("step {step}: {}", cause.said().sentence),
            Self::ModelPublished { run, digest } => format!("from run {run}, digest {digest}"),
            Self::StageMoved { from, to } => format!("{from} to {to}"),
            Self::CardEdited { fields } => format!("fields: {}", fields.join(", ")),
            Self::EndpointCreated { base_model } => format!("create on {base_model}"),
            Self::ExternalAdded { address, with_key } => {
                format!("add the external server {address}, {}", if *with_key { "with a key" } else { "without a key" })
            }
            Self::ExternalKeySet { with_key: true } => "replace the key".into(),
            Self::ExternalKeySet { with_key: false } => "take the key away".into(),
            Self::ExternalOffered { there, here } => format!("offer {there} as {here}"),
            Self::ExternalWithdrawn { there } => format!("stop offering {there}"),
            Self::ExternalChecked => "check now".into(),
            Self::EndpointGivenUp { reason } => reason.said(),
            Self::Attached { model, version } => format!("attach {model} v{version}"),
            Self::Served { model, version } => format!("serve {model} v{version}"),
            Self::Detached { what } => format!("detach {what}"),
            Self::EndpointStarted => "start".into(),
            Self::EndpointStopped => "stop".into(),
            Self::EndpointRemoved => "remove".into(),
            Self::ServingSet { settings } => format!("settings: {}", settings.said()),
            Self::UsageRebuilt { sums } => format!("rebuilt: {sums} sums"),
            Self::SetAsideTried { recorded, refused } => format!("tried again: {recorded} recorded, {refused} refused"),
            Self::FirstSegmentClosed { records, head, root: _, whole } => {
                let held = if *whole { "it held" } else { "it did not hold" };
                format!("the earlier log is closed at record {records}, hash {head}; {held}")
            }
            Self::CheckpointKeyMade { verifier } => format!("checkpoints are signed with the key {verifier} from now on"),
        }
    }
}

fn roles(memberships: &[(Name, Role)], platform_role: Option<PlatformRole>) -> String {
    let mut words: Vec<String> = memberships.iter().map(|(tenant, role)| format!("{} of {tenant}", role.word())).collect();
    words.extend(platform_role.map(|role| format!("platform {}", role.word())));
    if words.is_empty() { "without any role".into() } else { words.join(", ") }
}

fn in_words(q: &Quota) -> String {
    let (runs, endpoints) =
        (counted(q.concurrent_runs.into(), "concurrent run", "concurrent runs"), counted(q.endpoints.into(), "endpoint", "endpoints"));
    let held = [runs, format!("{} of storage", in_bytes(q.storage_bytes)), endpoints];
    held.into_iter().chain(q.compute.said()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compute::Compute, key::Limits, serving::ParserChoice};

    #[test]
    fn a_detail_is_stored_as_its_code_and_read_again() {
        for (detail, stored) in [
            (Detail::None, String::new()),
            (Detail::KeyRevoked { hint: "ak_1".into() }, r#"{"code":"key_revoked","hint":"ak_1"}"#.to_owned()),
            (Detail::TenantSuspended, r#"{"code":"tenant_suspended"}"#.to_owned()),
            (
                Detail::Roles { memberships: vec![("acme".parse().unwrap(), Role::Owner)], platform_role: None },
                r#"{"code":"roles","memberships":[["acme","owner"]],"platform_role":null}"#.to_owned(),
            ),
        ] {
            assert_eq!((detail.stored(), Detail::read(&stored)), (stored, detail));
        }
    }

    #[test]
    fn what_is_no_code_of_ours_is_shown_as_it_is() {
        assert_eq!(Detail::read("created, 2 runs").said(), "created, 2 runs");
        assert_eq!(Detail::read(r#"{"code":"of_tomorrow"}"#).said(), r#"{"code":"of_tomorrow"}"#);
        assert_eq!(Detail::read(r#"{"code":"told","text":"x"}"#), Detail::Told { text: "x".into() });
    }

    #[test]
    fn a_rejection_that_was_stored_in_words_is_shown_in_them() {
        let old = Detail::read(r#"{"code":"dataset_rejected","reason":"The file holds no rows."}"#);
        assert_eq!(old.said(), "rejected: The file holds no rows.");
        let new = Detail::DatasetRejected { reason: DatasetReason::CheckGivenUp };
        assert_eq!(
            (new.stored().as_str(), &Detail::read(&new.stored())),
            (r#"{"code":"dataset_rejected","reason":{"code":"check_given_up"}}"#, &new)
        );
    }

    #[test]
    fn a_refusal_names_the_role_that_is_missing() {
        assert_eq!(Detail::RoleMissing { action: "run.launch".into() }.said(), "This needs the engineer or owner role.");
    }
    #[test]
    fn sizes_and_rules_are_said_as_the_pages_say_them_and_never_as_bytes_or_json() {
        let (file, digest) = ("rows.jsonl".to_owned(), Some("d1".to_owned()));
        let deleted = Detail::DatasetDeleted { file: file.clone(), bytes: 15_700_000, digest: digest.clone() };
        assert_eq!(deleted.said(), "deleted “rows.jsonl”, 15.7\u{a0}MB, digest d1");
        let erased = Detail::DatasetErased { file: file.clone(), bytes: 15_700_000, digest };
        assert_eq!(erased.said(), "erased “rows.jsonl”, 15.7\u{a0}MB, digest d1");
        assert_eq!(Detail::DatasetUploaded { file, bytes: 812 }.said(), "uploaded “rows.jsonl”, 812\u{a0}B");
        let will_go = WillGo { runs: 41, endpoints: 1, bytes: 15_700_000, ..WillGo::default() };
        assert_eq!(
            Detail::TenantDeletionAsked { will_go, keys: 9, sessions: 1 }.said(),
            "deletion asked for: 41 runs, 1 endpoint, 0 models, 0 datasets, 15.7\u{a0}MB; 9 keys and 1 session ended"
        );
        let quota = Quota { concurrent_runs: 1, storage_bytes: 20 * crate::size::GB, ..Quota::default() };
        let before = r#"{"code":"quota_set","quota":{"concurrent_runs":1,"storage_bytes":20000000000,"endpoints":2}}"#;
        assert_eq!(Detail::QuotaSet { quota: quota.clone() }.stored(), before, "a chain that is checked anew has the same hash");
        assert_eq!(Detail::read(before).said(), "quota: 1 concurrent run, 20.0\u{a0}GB of storage, 2 endpoints");
        let compute = Compute { gpus: Some(1), cpu: Some(96), ..Compute::default() };
        let said = Detail::QuotaSet { quota: Quota { compute, ..quota } }.said();
        assert_eq!(said, "quota: 1 concurrent run, 20.0\u{a0}GB of storage, 2 endpoints, 1 GPU, 96 CPU cores");
        let rules = CallRules {
            limits: Limits { requests_per_minute: Some(60), tokens_per_minute: None, concurrent_calls: None },
            origins: vec!["https://chat.example.org".into()],
            ..CallRules::default()
        };
        assert_eq!(
            Detail::CallRulesSet { rules }.said(),
            "limits: 60 requests per minute, no limit of tokens; concurrent calls: 256, 128 per member, 64 per key; 32 answers per call; \
             browser origins: https://chat.example.org"
        );
        let settings = ServingSettings { tool_call_parser: ParserChoice::Named("hermes".into()), ..ServingSettings::default() };
        assert_eq!(
            Detail::ServingSet { settings }.said(),
            "settings: 1 replica; answers within 600 s; tool-call parser hermes; reasoning parser automatic; media hosts: none; allowed fields: none"
        );
    }
}
