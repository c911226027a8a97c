//! The gateway as clients meet it: over real sockets, in front of a double of a model server.

mod clients;
mod copies;
mod double;
mod limits;
mod metering;
mod models;
mod outside;
mod refusals;
mod streams;
mod under_way;
mod upstream;
mod world;
