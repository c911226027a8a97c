//! The lineage strip: dataset version -> run -> model version -> endpoint -> keys -> usage, from wherever one stands.

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

/// One place of the strip. Without `href` the thing does not exist yet, and `text` says so ("not deployed").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageLink {
    pub link: Link,
    pub text: String,
    /// `text` is the name of one thing; otherwise it counts, or says that there is none.
    pub name: bool,
    pub href: Option<String>,
    /// Where one stands.
    pub here: bool,
}

/// Always all six, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageStrip {
    pub links: Vec<LineageLink>,
}
