//! The gateway as clients meet it: over real sockets, in front of a double of a model server.

mod double;
mod limits;
mod metering;
mod models;
mod refusals;
mod streams;
mod upstream;
mod world;
