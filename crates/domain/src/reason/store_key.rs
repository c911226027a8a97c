//! Why a tenant has no key of the artefact store, so that nothing of it can start.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum NoStoreKey {
    /// The portal makes it now.
    BeingMade,
    /// The portal makes none here, and nobody has given one.
    NotGiven,
    /// The sealed one cannot be read by this portal any more.
    Lost,
    /// What makes keys does not answer.
    MakerAway,
    /// It does not accept the portal's token.
    MakerRefusesToken,
    /// It said no, in its own words.
    MakerRefuses { message: String },
    /// No bucket can be called like this tenant.
    Name { sentence: String },
}

impl NoStoreKey {
    /// Two sentences: what is so, and the next step.
    pub fn said(&self) -> String {
        const ADMIN: &str = "Whoever runs this portal has to look at it; “atelier doctor” says more.";
        match self {
            Self::BeingMade => "Waits for the tenant’s bucket and key in the artefact store, which are being made.".into(),
            Self::NotGiven => "Waits for the tenant’s key of the artefact store. Whoever runs this portal has to give it one with \
                               “atelier tenant store-key”."
                .into(),
            Self::Lost => {
                "The tenant’s key of the artefact store was sealed with another token key than this portal has. Whoever runs this \
                           portal has to give it a new one with “atelier tenant store-key”."
                    .into()
            }
            Self::MakerAway => format!("The tenant’s bucket and key cannot be made: Garage’s admin API does not answer. {ADMIN}"),
            Self::MakerRefusesToken => {
                format!("The tenant’s bucket and key cannot be made: Garage’s admin API does not accept the portal’s token. {ADMIN}")
            }
            Self::MakerRefuses { message } => format!("The tenant’s bucket and key cannot be made: Garage says “{message}”. {ADMIN}"),
            Self::Name { sentence } => format!("The tenant can have no bucket. {sentence}"),
        }
    }
}
