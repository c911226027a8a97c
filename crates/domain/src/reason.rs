//! Why something is as it is: codes with parameters. They are stored as JSON; the sentence is made when it is shown, from the code
//! only, so that scripts get codes and a reworded sentence rewords the past too.

pub mod base_model;
pub mod dataset;
pub mod endpoint;
pub mod failure;
pub mod run;
pub mod store_key;
pub mod task;
pub mod usage;
