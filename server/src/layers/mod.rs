//! What every request of the web role passes on its way in and out, from the outside: number and log, headers, foreign sites, who asks.

pub mod caller;
pub mod foreign;
pub mod headers;
pub mod request;
