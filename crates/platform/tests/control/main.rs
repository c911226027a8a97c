//! Runs, models and endpoints with their controllers: real processes, on SQLite and on a real PostgreSQL.

mod deletion;
mod documents;
mod endpoints;
mod external;
mod house;
mod models_and_lineage;
mod resources;
mod runs;
mod s3;
mod steps;
mod strangers;

/// Not a test: this executable as the engine's supervisor.
#[test]
fn the_supervisor_itself() {
    house::supervise_if_asked();
}
