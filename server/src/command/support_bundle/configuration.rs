//! The settings as this process has them: each with its name, where it came from, and its value unless that is secret.

use clap::{ArgMatches, Command, parser::ValueSource};
use platform::redaction::{TAKEN_OUT, names_a_secret};
use serde_json::{Value, json};
use std::{collections::BTreeSet, ffi::OsString};

/// `command`: the program's; `given`: what it was called with; `environment`: all of it, of which only what is ours or changes how we reach
/// others is told.
pub fn of(command: &Command, given: &ArgMatches, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Value {
    let mut command = command.clone();
    // Brings the settings of every command into each.
    command.build();
    let (mut settings, mut known) = (Vec::new(), BTreeSet::new());
    let ours = given.subcommand().and_then(|(name, given)| Some((command.find_subcommand(name)?, given)));
    for (argument, given) in ours.iter().flat_map(|(command, given)| command.get_arguments().map(move |a| (a, *given))) {
        let Some(variable) = argument.get_env() else { continue };
        let variable = variable.to_string_lossy().into_owned();
        let id = argument.get_id().as_str();
        let values = given.try_get_raw(id).ok().flatten().map(|values| values.map(|v| v.to_string_lossy()).collect::<Vec<_>>().join(","));
        let from = match given.try_contains_id(id).ok().and_then(|_| given.value_source(id)) {
            Some(ValueSource::CommandLine) => "command line",
            Some(ValueSource::EnvVariable) => "environment",
            _ => "default",
        };
        let value = values.map(|value| shown(argument.is_hide_env_values_set(), value));
        settings.push(json!({ "name": variable, "value": value, "from": from }));
        known.insert(variable);
    }
    let mut others: Vec<_> = environment
        .into_iter()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| is_told(name) && !known.contains(name))
        .collect();
    others.sort();
    settings.extend(others.into_iter().map(|(name, value)| {
        let secret = names_a_secret(&name) || name.ends_with("_HEADERS");
        json!({ "name": name, "value": shown(secret, value), "from": "environment" })
    }));
    settings.into()
}

/// Of a secret that is an address, where it leads helps, and the redaction takes the rest out of it.
fn shown(secret: bool, value: String) -> String {
    if secret && !value.contains("://") && !value.starts_with("sqlite:") { TAKEN_OUT.to_owned() } else { value }
}

fn is_told(name: &str) -> bool {
    name.starts_with("ATELIER_") || name.starts_with("OTEL_") || name.to_ascii_uppercase().ends_with("_PROXY")
}
