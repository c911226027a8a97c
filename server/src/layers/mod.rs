//! What every request of the web role passes on its way in and out, from the outside: number and log, headers, foreign sites, who asks,
//! and the one task that draws a page.

pub mod attempts;
pub mod body;
pub mod caller;
pub mod foreign;
pub mod headers;
pub mod host;
pub mod one_task;
pub mod proxies;
pub mod request;
pub mod returned;
pub mod text;
