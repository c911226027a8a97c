//! What somebody changed about the people of a development machine: who is disabled, which groups they have instead of their own, and
//! whether the provider plays being out of order. In a file of the data folder, so that every portal on it and a restart know it.

use super::people::{self, DevPerson};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    #[serde(default)]
    pub disabled: BTreeSet<String>,
    /// By login; who is not in here has the groups of [`people::PEOPLE`].
    #[serde(default)]
    pub groups: BTreeMap<String, Vec<String>>,
    /// The token endpoint answers 503.
    #[serde(default)]
    pub out_of_order: bool,
}

/// The file of the changes.
#[derive(Debug)]
pub struct Accounts {
    file: PathBuf,
}

impl Accounts {
    pub fn new(data: &Path) -> Self {
        Self { file: data.join("dev-people.json") }
    }

    /// A file that is not there, or cannot be read, changes nothing.
    pub fn changes(&self) -> Changes {
        fs::read(&self.file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    pub fn save(&self, changes: &Changes) -> std::io::Result<()> {
        let beside = self.file.with_extension("new");
        fs::write(&beside, serde_json::to_vec_pretty(changes)?)?;
        fs::rename(beside, &self.file)
    }

    /// None: nobody of that name, or disabled.
    pub fn active(&self, login: &str) -> Option<&'static DevPerson> {
        people::find(login).filter(|p| !self.changes().disabled.contains(p.login))
    }

    pub fn groups(&self, person: &DevPerson) -> Vec<String> {
        let own = || person.groups.iter().map(|g| (*g).to_owned()).collect();
        self.changes().groups.remove(person.login).unwrap_or_else(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_can_be_disabled_and_given_other_groups() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(folder.path());
        let jonas = accounts.active("jonas").unwrap();
        assert_eq!(accounts.groups(jonas), ["atelier/lumenta/engineer"]);
        let mut changes = Changes::default();
        changes.disabled.insert("jonas".into());
        changes.groups.insert("mira".into(), vec!["atelier/lumenta/viewer".into()]);
        accounts.save(&changes).unwrap();
        assert!(accounts.active("jonas").is_none() && accounts.active("nobody").is_none());
        assert_eq!(accounts.groups(accounts.active("mira").unwrap()), ["atelier/lumenta/viewer"]);
    }
}
