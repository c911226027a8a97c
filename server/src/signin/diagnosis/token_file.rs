//! A token in a file: which roles would it give?

use crate::{
    finding::Finding,
    signin::claims::{GroupRules, at, mapper},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use std::path::Path;

/// What a token would give: a file with a token, or with its claims as JSON.
pub fn of_a_token(rules: &GroupRules, file: &Path) -> Finding {
    let claims = std::fs::read_to_string(file).map_err(|e| e.to_string()).and_then(|text| claims(text.trim()));
    let claims = match claims {
        Ok(claims) => claims,
        Err(why) => {
            let what = format!("{} holds no ID token: {why}", file.display());
            return Finding::Missing(what, "It must hold the token itself, or its claims as JSON".into());
        }
    };
    let (groups, problem) = rules.groups(&claims);
    if let Some(problem) = problem {
        let next = if at(&claims, &rules.claim).is_none() {
            mapper(&rules.claim)
        } else {
            "Name the claim that holds the list with ATELIER_GROUPS_CLAIM".into()
        };
        return Finding::Missing(problem.to_string(), next);
    }
    let rights = rules.rights(&groups);
    let mut roles: Vec<String> = rights.memberships.iter().map(|(tenant, role)| format!("{} of {tenant}", role.word())).collect();
    roles.extend(rights.platform_role.map(|role| format!("platform {}", role.word())));
    if roles.is_empty() {
        return Finding::Missing(
            format!(
                "none of the {} groups in the token gives a role: {}",
                groups.len(),
                groups.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
            ),
            "A group must look as ATELIER_TENANT_GROUP says (atelier/{tenant}/{role}), or be ATELIER_ADMIN_GROUP or ATELIER_AUDITOR_GROUP"
                .into(),
        );
    }
    Finding::Good(format!("this token makes somebody {}", roles.join(", ")))
}

fn claims(text: &str) -> Result<serde_json::Map<String, Value>, String> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|e| e.to_string());
    }
    let payload = text.split('.').nth(1).ok_or("it has no dots, as a token has")?;
    let bytes = URL_SAFE_NO_PAD.decode(payload).map_err(|e| e.to_string())?;
    serde_json::from_slice(&bytes).map_err(|e| e.to_string())
}
