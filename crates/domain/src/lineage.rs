//! The lineage strip: dataset version -> run -> model version -> endpoint -> keys -> usage, from wherever one stands.

use crate::{ids::RunId, name::Name};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    Dataset,
    Run,
    Model,
    Endpoint,
    Keys,
    Usage,
}

impl Link {
    pub const ALL: [Link; 6] = [Self::Dataset, Self::Run, Self::Model, Self::Endpoint, Self::Keys, Self::Usage];
    pub const fn label(self) -> &'static str {
        match self {
            Self::Dataset => "Dataset",
            Self::Run => "Run",
            Self::Model => "Model",
            Self::Endpoint => "Endpoint",
            Self::Keys => "Keys",
            Self::Usage => "Usage",
        }
    }
}

/// What a link of the strip leads to: a list, or one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Datasets,
    DatasetVersion { name: Name, number: u32 },
    Runs,
    Run(RunId),
    Models,
    ModelVersion { name: Name, number: u32 },
    Endpoints,
    Endpoint(Name),
    Keys,
    Usage,
}

impl Target {
    /// Whether it is one thing, not a list.
    pub const fn is_one(&self) -> bool {
        matches!(self, Self::DatasetVersion { .. } | Self::Run(_) | Self::ModelVersion { .. } | Self::Endpoint(_))
    }
}

/// One link of the strip. Without `target` the thing does not exist yet, and `text` says so ("not deployed").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageLink {
    pub link: Link,
    pub text: String,
    /// Where it is one thing, `text` is its name; otherwise `text` counts, or says that there is none.
    pub target: Option<Target>,
    /// Where one stands.
    pub here: bool,
}

/// Always all six, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageStrip {
    /// Whose all of it is.
    pub tenant: Name,
    pub links: Vec<LineageLink>,
}
