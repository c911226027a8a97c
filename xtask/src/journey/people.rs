//! Who does the main job: the people of the development provider, as `server/src/devprovider` has them, and the same people in the realm
//! `end2end/keycloak/realm.json`.

use super::TENANT;
use crate::visitor::Visitor;
use anyhow::{Context, Result};

pub struct Person {
    pub name: &'static str,
    pub role: &'static str,
    pub sign_in: &'static str,
    pub password: &'static str,
}

pub struct People {
    pub all: Vec<Person>,
    /// Of every tenant, somebody who may stop its work.
    pub stopping: &'static [(&'static str, &'static str)],
}

impl People {
    pub fn of_the_development_provider() -> Self {
        let person = |name, role, sign_in| Person { name, role, sign_in, password: "atelier" };
        Self {
            all: vec![
                person("Piotr Zeller", "platform admin", "admin"),
                person("Karin Weber", "auditor", "auditor"),
                person("Mira Castro", "owner of lumenta", "mira"),
                person("Jonas Lind", "engineer of lumenta", "jonas"),
                person("Vera Sand", "viewer of lumenta", "vera"),
                person("Otto Brandt", "owner of velkor", "otto"),
            ],
            stopping: &[(TENANT, "jonas"), ("velkor", "otto")],
        }
    }

    /// At Keycloak; there the demo makes its one tenant itself.
    pub fn of_the_realm() -> Self {
        Self { stopping: &[(TENANT, "jonas")], ..Self::of_the_development_provider() }
    }

    /// For the summary.
    pub fn described(&self) -> serde_json::Value {
        let described = |p: &Person| serde_json::json!({"name": p.name, "role": p.role, "sign_in": p.sign_in, "password": p.password});
        self.all.iter().map(described).collect()
    }

    pub fn sign_in(&self, address: &str, name: &str) -> Result<Visitor> {
        let p = self.all.iter().find(|p| p.sign_in == name).with_context(|| format!("nobody is called {name}"))?;
        Visitor::sign_in(address, p.sign_in, p.password)
    }
}
