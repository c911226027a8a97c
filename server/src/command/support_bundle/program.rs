//! What is known of this program and its machine, what the portal beside it answers, and which secrets it was given.

use crate::config::{Locations, ServeArgs};
use openidconnect::url::Url;
use percent_encoding::percent_decode_str;
use platform::sealing::TokenKey;
use serde_json::{Value, json};
use std::{net::IpAddr, time::Duration};

const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Of what `/readyz` says, characters.
const SAID: usize = 2000;

/// The digest tells builds apart that have the same version.
pub fn version(at: &str) -> Value {
    let program = std::env::current_exe().ok();
    let digest = program.as_deref().and_then(|program| {
        let mut hasher = blake3::Hasher::new();
        std::io::copy(&mut std::fs::File::open(program).ok()?, &mut hasher).ok()?;
        Some(hasher.finalize().to_hex().to_string())
    });
    let line = |file: &str| std::fs::read_to_string(file).ok().and_then(|text| text.lines().next().map(str::to_owned));
    let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = system.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches('"').to_owned());
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "program": program.map(|p| p.display().to_string()),
        "program_blake3": digest,
        "made_at": at,
        "host": line("/proc/sys/kernel/hostname"),
        "kernel": line("/proc/version"),
        "system": system,
        "cpus": std::thread::available_parallelism().ok().map(usize::from),
        "uptime_and_idle_seconds": line("/proc/uptime"),
        "memory": std::fs::read_to_string("/proc/meminfo").ok().map(|text| text.lines().take(3).map(str::to_owned).collect::<Vec<_>>()),
    })
}

/// What the portal of these settings answers now. That nobody answers is an answer too: the command may run beside a portal that is down.
pub async fn ready(args: &ServeArgs) -> Value {
    let mut address = args.listen;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::from([127, 0, 0, 1]));
    }
    // By its name, where its certificate is for that.
    let base = match (&args.listener.tls_cert, &args.public_url) {
        (Some(_), Some(url)) => url.trim_end_matches('/').to_owned(),
        (Some(_), None) => format!("https://{address}"),
        (None, _) => format!("http://{address}"),
    };
    let url = format!("{base}/readyz");
    let asked = async {
        let client = reqwest::Client::builder().timeout(ANSWERS_WITHIN).no_proxy().build()?;
        let answer = client.get(&url).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    };
    match asked.await {
        Ok((status, said)) => json!({ "asked": url, "status": status, "said": said.chars().take(SAID).collect::<String>() }),
        Err(e) => {
            let e: reqwest::Error = e;
            json!({ "asked": url, "failed": domain::causes::in_words(&e.without_url()) })
        }
    }
}

/// Where it was made already: this command makes none.
pub fn token_key(locations: &Locations) -> Option<TokenKey> {
    let there = locations.token_key.is_some() || locations.data.join("token.key").is_file();
    there.then(|| locations.token_key().ok()).flatten()
}

/// All that this process was given, in every form in which it could be printed.
pub fn secrets(args: &ServeArgs, locations: &Locations) -> Vec<String> {
    let mut known: Vec<String> = args.client_secret.iter().cloned().collect();
    if let Some(password) = locations.database_url.as_deref().and_then(|url| Some(Url::parse(url).ok()?.password()?.to_owned())) {
        known.push(percent_decode_str(&password).decode_utf8_lossy().into_owned());
        known.push(password);
    }
    let files = [&locations.token_key, &Some(locations.data.join("token.key")), &locations.store.garage_admin_token];
    known.extend(files.into_iter().flatten().filter_map(|file| std::fs::read_to_string(file).ok()));
    known.extend(locations.store.own_key().into_iter().map(|key| key.secret_access_key));
    known
}
