//! Every route and server function of the portal, and what it asks of whoever calls it: one table. A route that is not in it fails a test.

use domain::policy::Action;

/// What a route asks for before it does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: signing in, files of the page, health.
    Open,
    /// A session, whoever it is.
    Session,
    /// A place in the tenant of the address (or of the call) with this right.
    Tenant(Action),
    /// The same, with one of two rights: the second sees more behind it.
    TenantEither(Action, Action),
    /// This right on the platform.
    Platform(Action),
    /// An API key or a session pass; cookies are not looked at.
    Key,
}

use Action as A;
use Needs::{Key, Open, Platform, Session, Tenant, TenantEither};

/// Method, path as axum writes it, and what is needed. Sorted by path, then method.
pub const ROUTES: &[(&str, &str, Needs)] = &[
    ("GET", "/", Session),
    ("GET", "/admin/audit", Platform(A::PlatformAuditRead)),
    ("GET", "/admin/base-models", Platform(A::PlatformTenantsRead)),
    // Where there is one.
    ("GET", "/admin/cluster", Platform(A::PlatformTenantsRead)),
    ("GET", "/admin/tenants", Platform(A::PlatformTenantsRead)),
    ("GET", "/admin/tenants-new", Platform(A::PlatformTenantsRead)),
    ("GET", "/admin/tenants/{name}", Platform(A::PlatformTenantsRead)),
    ("GET", "/admin/usage", Platform(A::PlatformUsageRead)),
    ("GET", "/admin/usage/set-aside.jsonl", Platform(A::PlatformUsageRead)),
    ("GET", "/api/v1/schema/{file}", Open),
    // Of /api/v1: with an access token, never with a session.
    ("GET", "/api/v1/tenants", Platform(A::PlatformTenantsRead)),
    ("POST", "/api/v1/tenants", Platform(A::PlatformTenantsWrite)),
    ("DELETE", "/api/v1/tenants/{tenant}", Platform(A::PlatformTenantsWrite)),
    ("GET", "/api/v1/tenants/{tenant}", Platform(A::PlatformTenantsRead)),
    ("PUT", "/api/v1/tenants/{tenant}", Platform(A::PlatformTenantsWrite)),
    ("GET", "/api/v1/tenants/{tenant}/endpoints", Tenant(A::EndpointRead)),
    // Of a server that somebody else runs: endpoint.add_external.
    ("DELETE", "/api/v1/tenants/{tenant}/endpoints/{name}", Tenant(A::EndpointWrite)),
    ("GET", "/api/v1/tenants/{tenant}/endpoints/{name}", Tenant(A::EndpointRead)),
    ("PUT", "/api/v1/tenants/{tenant}/endpoints/{name}", Tenant(A::EndpointWrite)),
    ("GET", "/api/v1/tenants/{tenant}/runs", Tenant(A::RunRead)),
    ("DELETE", "/api/v1/tenants/{tenant}/runs/{name}", Tenant(A::RunCancel)),
    ("GET", "/api/v1/tenants/{tenant}/runs/{name}", Tenant(A::RunRead)),
    ("PUT", "/api/v1/tenants/{tenant}/runs/{name}", Tenant(A::RunLaunch)),
    // A token that the identity provider has signed; no session.
    ("POST", "/auth/backchannel-logout", Open),
    ("GET", "/auth/callback", Open),
    ("GET", "/auth/login", Open),
    ("POST", "/auth/logout", Open),
    ("GET", "/dev-idp/.well-known/openid-configuration", Open),
    ("GET", "/dev-idp/authorize", Open),
    ("POST", "/dev-idp/authorize", Open),
    ("GET", "/dev-idp/jwks", Open),
    ("GET", "/dev-idp/logout", Open),
    ("GET", "/dev-idp/people", Open),
    ("POST", "/dev-idp/people", Open),
    ("POST", "/dev-idp/token", Open),
    ("GET", "/login", Open),
    ("GET", "/no-access", Session),
    ("GET", "/pkg/{*path}", Open),
    ("POST", "/rpc/admin/audit", Platform(A::PlatformAuditRead)),
    ("POST", "/rpc/admin/base-model-register", Platform(A::PlatformBaseModelsWrite)),
    ("POST", "/rpc/admin/base-models", Platform(A::PlatformTenantsRead)),
    ("POST", "/rpc/admin/cluster", Platform(A::PlatformTenantsRead)),
    ("POST", "/rpc/admin/member-end", Platform(A::PlatformPeopleEnd)),
    ("POST", "/rpc/admin/tenant", Platform(A::PlatformTenantsRead)),
    ("POST", "/rpc/admin/tenant-calls", Platform(A::PlatformTenantsWrite)),
    ("POST", "/rpc/admin/tenant-create", Platform(A::PlatformTenantsWrite)),
    ("POST", "/rpc/admin/tenant-delete", Platform(A::PlatformTenantsWrite)),
    ("POST", "/rpc/admin/tenant-groups", Platform(A::PlatformTenantsWrite)),
    ("POST", "/rpc/admin/tenant-isolation", Platform(A::PlatformTenantsRead)),
    ("POST", "/rpc/admin/tenant-isolation-check", Platform(A::PlatformTenantsWrite)),
    ("POST", "/rpc/admin/tenant-objects", Platform(A::PlatformTenantsRead)),
    ("POST", "/rpc/admin/tenant-quota", Platform(A::PlatformTenantsWrite)),
    ("POST", "/rpc/admin/tenant-resume", Platform(A::PlatformTenantsWrite)),
    ("POST", "/rpc/admin/tenant-suspend", Platform(A::PlatformTenantsWrite)),
    ("POST", "/rpc/admin/tenants", Platform(A::PlatformTenantsRead)),
    ("POST", "/rpc/admin/usage", Platform(A::PlatformUsageRead)),
    ("POST", "/rpc/admin/usage-try-again", Platform(A::PlatformUsageWrite)),
    ("POST", "/rpc/audit/page", Tenant(A::AuditRead)),
    ("POST", "/rpc/base_models/list", Tenant(A::BaseModelRead)),
    ("POST", "/rpc/chain", Tenant(A::TenantRead)),
    ("POST", "/rpc/datasets/delete", Tenant(A::DatasetDelete)),
    ("POST", "/rpc/datasets/document", Tenant(A::DatasetWrite)),
    ("POST", "/rpc/datasets/erase", Tenant(A::DatasetDelete)),
    ("POST", "/rpc/datasets/get", Tenant(A::DatasetRead)),
    ("POST", "/rpc/datasets/list", Tenant(A::DatasetRead)),
    ("POST", "/rpc/datasets/rows", Tenant(A::DatasetRead)),
    ("POST", "/rpc/datasets/upload_form", Tenant(A::DatasetRead)),
    ("POST", "/rpc/endpoints/attach", Tenant(A::EndpointWrite)),
    ("POST", "/rpc/endpoints/check", Tenant(A::ExternalWrite)),
    ("POST", "/rpc/endpoints/choices", Tenant(A::EndpointRead)),
    ("POST", "/rpc/endpoints/create", Tenant(A::EndpointWrite)),
    ("POST", "/rpc/endpoints/deploy", Tenant(A::EndpointWrite)),
    ("POST", "/rpc/endpoints/detach", Tenant(A::EndpointWrite)),
    ("POST", "/rpc/endpoints/external", Tenant(A::ExternalWrite)),
    ("POST", "/rpc/endpoints/external_key", Tenant(A::ExternalWrite)),
    ("POST", "/rpc/endpoints/get", Tenant(A::EndpointRead)),
    ("POST", "/rpc/endpoints/list", Tenant(A::EndpointRead)),
    ("POST", "/rpc/endpoints/offer", Tenant(A::ExternalWrite)),
    // Of a server that somebody else runs: endpoint.add_external.
    ("POST", "/rpc/endpoints/remove", Tenant(A::EndpointWrite)),
    ("POST", "/rpc/endpoints/settings", Tenant(A::EndpointWrite)),
    ("POST", "/rpc/endpoints/start", Tenant(A::EndpointWrite)),
    ("POST", "/rpc/endpoints/stop", Tenant(A::EndpointWrite)),
    // Without a tenant (top bar of the platform's pages): a session.
    ("POST", "/rpc/frame", Tenant(A::TenantRead)),
    ("POST", "/rpc/home", Tenant(A::TenantRead)),
    ("POST", "/rpc/keys/choices", Tenant(A::KeyWrite)),
    ("POST", "/rpc/keys/create", Tenant(A::KeyWrite)),
    ("POST", "/rpc/keys/list", Tenant(A::KeyRead)),
    ("POST", "/rpc/keys/members", Tenant(A::ServiceKeyWrite)),
    ("POST", "/rpc/keys/responsible", Tenant(A::ServiceKeyWrite)),
    // One's own key, or anybody's.
    ("POST", "/rpc/keys/revoke", TenantEither(A::KeyWrite, A::KeyRevokeAny)),
    ("POST", "/rpc/lineage/get", Tenant(A::TenantRead)),
    ("POST", "/rpc/members/end", Tenant(A::MemberEnd)),
    ("POST", "/rpc/members/list", Tenant(A::MemberRead)),
    ("POST", "/rpc/models/card", Tenant(A::ModelRead)),
    ("POST", "/rpc/models/card-edit", Tenant(A::CardEdit)),
    ("POST", "/rpc/models/get", Tenant(A::ModelRead)),
    ("POST", "/rpc/models/list", Tenant(A::ModelRead)),
    ("POST", "/rpc/models/stage", Tenant(A::ModelStage)),
    ("POST", "/rpc/no-access", Session),
    ("POST", "/rpc/playground/delete", Tenant(A::Infer)),
    ("POST", "/rpc/playground/get", Tenant(A::EndpointRead)),
    ("POST", "/rpc/runs/cancel", Tenant(A::RunCancel)),
    ("POST", "/rpc/runs/choices", Tenant(A::RunRead)),
    ("POST", "/rpc/runs/draft", Tenant(A::RunRead)),
    ("POST", "/rpc/runs/evaluated", Tenant(A::RunRead)),
    ("POST", "/rpc/runs/get", Tenant(A::RunRead)),
    ("POST", "/rpc/runs/launch", Tenant(A::RunLaunch)),
    ("POST", "/rpc/runs/list", Tenant(A::RunRead)),
    ("POST", "/rpc/runs/log", Tenant(A::RunRead)),
    ("POST", "/rpc/runs/metrics", Tenant(A::RunRead)),
    ("POST", "/rpc/runs/name", Tenant(A::RunRead)),
    ("POST", "/rpc/runs/try-again", Tenant(A::RunRetry)),
    ("POST", "/rpc/settings/catalogue", Tenant(A::RunRead)),
    ("POST", "/rpc/settings/differences", Tenant(A::RunRead)),
    ("POST", "/rpc/usage/get", TenantEither(A::UsageReadOwn, A::UsageRead)),
    ("POST", "/rpc/whoami", Open),
    ("GET", "/t/{tenant}", Tenant(A::TenantRead)),
    ("GET", "/t/{tenant}/audit", Tenant(A::AuditRead)),
    ("GET", "/t/{tenant}/base-models", Tenant(A::BaseModelRead)),
    ("GET", "/t/{tenant}/datasets", Tenant(A::DatasetRead)),
    ("GET", "/t/{tenant}/datasets-new", Tenant(A::DatasetRead)),
    ("POST", "/t/{tenant}/datasets-upload", Tenant(A::DatasetWrite)),
    ("GET", "/t/{tenant}/datasets/{name}", Tenant(A::DatasetRead)),
    ("GET", "/t/{tenant}/datasets/{name}/files/{file}", Tenant(A::DatasetRead)),
    ("GET", "/t/{tenant}/endpoints", Tenant(A::EndpointRead)),
    ("GET", "/t/{tenant}/endpoints-external", Tenant(A::EndpointRead)),
    ("GET", "/t/{tenant}/endpoints-new", Tenant(A::EndpointRead)),
    ("GET", "/t/{tenant}/endpoints/{name}", Tenant(A::EndpointRead)),
    ("GET", "/t/{tenant}/events", Tenant(A::TenantRead)),
    ("GET", "/t/{tenant}/keys", Tenant(A::KeyRead)),
    ("GET", "/t/{tenant}/keys-new", Tenant(A::KeyWrite)),
    ("POST", "/t/{tenant}/keys-new", Tenant(A::KeyWrite)),
    ("GET", "/t/{tenant}/lineage", Tenant(A::TenantRead)),
    ("GET", "/t/{tenant}/members", Tenant(A::MemberRead)),
    ("GET", "/t/{tenant}/models", Tenant(A::ModelRead)),
    ("GET", "/t/{tenant}/models/{name}", Tenant(A::ModelRead)),
    ("GET", "/t/{tenant}/models/{name}/card.md", Tenant(A::ModelRead)),
    ("GET", "/t/{tenant}/models/{name}/card/edit", Tenant(A::ModelRead)),
    ("GET", "/t/{tenant}/playground", Tenant(A::EndpointRead)),
    ("POST", "/t/{tenant}/playground/chat", Tenant(A::Infer)),
    ("GET", "/t/{tenant}/playground/{chat}", Tenant(A::EndpointRead)),
    ("GET", "/t/{tenant}/runs", Tenant(A::RunRead)),
    ("POST", "/t/{tenant}/runs-file", Tenant(A::RunRead)),
    ("POST", "/t/{tenant}/runs-file-open", Tenant(A::RunRead)),
    ("GET", "/t/{tenant}/runs-new", Tenant(A::RunRead)),
    ("GET", "/t/{tenant}/runs/{id}", Tenant(A::RunRead)),
    ("GET", "/t/{tenant}/usage", TenantEither(A::UsageReadOwn, A::UsageRead)),
];

/// The routes that are not the web role's: health, and the gateway's two prefixes with everything below them, any method. And what no
/// address of the API is.
pub const ELSEWHERE: &[(&str, Needs)] =
    &[("/api/{*rest}", Open), ("/healthz", Open), ("/readyz", Open), ("/v1/{*rest}", Key), ("/t/{tenant}/v1/{*rest}", Key)];

/// None = a route that nobody has thought about.
pub fn needs(method: &str, path: &str) -> Option<Needs> {
    ROUTES.iter().find(|(m, p, _)| *m == method && *p == path).map(|(_, _, needs)| *needs)
}
