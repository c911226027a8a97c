//! The portal's program: configuration, command line, listener, sign-in, HTTP. It puts the parts together and decides nothing itself:
//! rules are in `domain`, use cases in `platform`, pages in `app`.

pub mod api;
mod built_files;
pub mod client;
pub mod clock;
pub mod command;
pub mod config;
pub mod devprovider;
pub mod documents;
pub mod finding;
pub mod http;
pub mod layers;
mod limit_shares;
pub mod listener;
pub mod metrics;
pub mod portal;
pub mod rights;
mod secret_file;
pub mod signin;
pub mod supervised;
pub mod traces;
mod usage_relay;
pub mod web;
