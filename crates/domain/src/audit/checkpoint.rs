//! The text of a checkpoint as C2SP has it (<https://c2sp.org/tlog-checkpoint>): origin, size, root; each on its line. The signature
//! around it is `platform`'s.

use super::tree::Hash;
use crate::time::Timestamp;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// The newest signed checkpoint, for pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCheckpoint {
    pub at: Timestamp,
    /// That it covers, in the chains that the page shows.
    pub records: u64,
}

/// What a log says of one of its chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Log and chain: `atelier/1f2e3d4c/tenants/acme`.
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// Three lines, each with its end.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Exactly what [`Checkpoint::text`] writes; extension lines are not ours and are refused.
    pub fn read(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let root: Hash = STANDARD.decode(root).ok()?.try_into().ok()?;
        let found = Self { origin: origin.to_owned(), size: size.parse().ok()?, root };
        (lines.next().is_none() && !origin.is_empty() && found.text() == text).then_some(found)
    }

    /// The chain, when the checkpoint is of this log.
    pub fn chain(&self, log: &str) -> Option<&str> {
        self.origin.strip_prefix(log)?.strip_prefix('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn a_checkpoint_is_read_as_it_is_written_and_nothing_else_is() {
        let read = Checkpoint::read(EXAMPLE).unwrap();
        assert_eq!((read.origin.as_str(), read.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(read.text(), EXAMPLE);
        assert_eq!((read.chain("example.com"), read.chain("example"), read.chain("other")), (Some("behind-the-sofa"), None, None));
        for wrong in [
            "",
            "a\n1\n",
            "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            "a\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
            "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\nextension\n",
            "a\n1\nAAAA\n",
        ] {
            assert_eq!(Checkpoint::read(wrong), None, "{wrong:?}");
        }
    }
}
