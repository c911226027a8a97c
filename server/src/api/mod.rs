//! `/api/v1`: tenants, runs and endpoints as documents, for scripts, CI jobs and `atelier apply`. Thin: every change goes through the use
//! case that the pages use.

mod asked;
pub mod caller;
mod endpoints;
pub mod failure;
pub mod format;
mod runs;
mod schema;
mod tenants;

pub use asked::OUTCOME;

use crate::web::Web;
use asked::no_such_address;
use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode},
    response::Response,
    routing::{any, get},
};
use domain::problem::{Problem, ProblemKind};

const SCHEMA: &str = "/api/v1/schema/{file}";
const TENANTS: &str = "/api/v1/tenants";
const TENANT: &str = "/api/v1/tenants/{tenant}";
const RUNS: &str = "/api/v1/tenants/{tenant}/runs";
const RUN: &str = "/api/v1/tenants/{tenant}/runs/{name}";
const ENDPOINTS: &str = "/api/v1/tenants/{tenant}/endpoints";
const ENDPOINT: &str = "/api/v1/tenants/{tenant}/endpoints/{name}";

/// Method and path of everything that is for people with a token.
pub const ROUTES: [(Method, &str); 13] = [
    (Method::GET, TENANTS),
    (Method::POST, TENANTS),
    (Method::GET, TENANT),
    (Method::PUT, TENANT),
    (Method::DELETE, TENANT),
    (Method::GET, RUNS),
    (Method::GET, RUN),
    (Method::PUT, RUN),
    (Method::DELETE, RUN),
    (Method::GET, ENDPOINTS),
    (Method::GET, ENDPOINT),
    (Method::PUT, ENDPOINT),
    (Method::DELETE, ENDPOINT),
];

/// For people with a token: [`caller::find`] goes around it.
pub fn routes() -> Router<Web> {
    Router::new()
        .route(TENANTS, get(tenants::list).post(tenants::post))
        .route(TENANT, get(tenants::get).put(tenants::put).delete(tenants::delete))
        .route(RUNS, get(runs::list))
        .route(RUN, get(runs::get).put(runs::put).delete(runs::delete))
        .route(ENDPOINTS, get(endpoints::list))
        .route(ENDPOINT, get(endpoints::get).put(endpoints::put).delete(endpoints::delete))
        .method_not_allowed_fallback(other_method)
}

/// For editors, which have no token.
pub const OPEN_ROUTES: [(Method, &str); 1] = [(Method::GET, SCHEMA)];

/// What is for everybody, and what is at no address of the API is no page of the portal either.
pub fn open_routes() -> Router {
    Router::new().route(SCHEMA, get(schema::schema)).route("/api/{*rest}", any(nowhere))
}

async fn nowhere(request: Request) -> Response {
    failure::answer(&no_such_address(), format::asked(request.headers()))
}

async fn other_method(request: Request) -> Response {
    let problem = Problem::new(ProblemKind::Invalid, format!("This address does not take {}.", request.method()))
        .next("The documentation of the API lists what each address takes.");
    failure::answer_with(StatusCode::METHOD_NOT_ALLOWED, &problem, format::asked(request.headers()))
}
