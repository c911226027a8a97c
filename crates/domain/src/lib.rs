//! The nouns of Atelier: their states, their rules, and who may do what to them.
//!
//! Pure Rust that also runs in the browser: no I/O, no clock, no randomness. Time and ids are arguments.
//! Every struct here is plain data that pages, the database layer, the task runner and the gateway share.

#[macro_use]
mod words;

pub mod artefacts;
pub mod audit;
pub mod base_model;
pub mod call_rules;
pub mod card;
pub mod causes;
pub mod chat;
pub mod cluster;
pub mod compute;
pub mod confirmation;
pub mod counted;
pub mod dataset;
pub mod deletion;
pub mod directory;
pub mod endpoint;
pub mod endpoint_replicas;
pub mod environment;
pub mod event;
pub mod external;
pub mod filter;
pub mod format;
pub mod free_number;
pub mod ids;
pub mod inspect;
pub mod isolation;
pub mod key;
pub mod latency;
pub mod limit_shares;
pub mod lineage;
pub mod model;
pub mod model_server;
pub mod name;
pub mod one_line;
pub mod page;
pub mod people;
pub mod policy;
pub mod problem;
pub mod queue;
pub mod reason;
pub mod replica;
pub mod report;
#[cfg(not(target_arch = "wasm32"))]
pub mod resource;
pub mod resource_request;
pub mod run;
pub mod serving;
pub mod settings;
pub mod size;
pub mod supply;
pub mod task_spec;
pub mod tenant;
pub mod tenant_groups;
pub mod tenant_objects;
pub mod text;
pub mod time;
pub mod traces;
pub mod usage;
