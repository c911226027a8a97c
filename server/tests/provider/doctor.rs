//! `atelier doctor --issuer`: what is wrong with a provider, in words with the next step.

use super::{Behaviour, Double, Reply, SECRET};
use std::{
    fs::File,
    process::{Child, Command},
    time::{Duration, Instant},
};

/// What the program prints about sign-in. Runs beside the double, so not on its thread.
pub async fn doctor(issuer: &str, flags: &[&str]) -> String {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_atelier"));
    command.args(["doctor", "--issuer", issuer, "--data"]).arg(data.path()).args(flags);
    // Nothing of the machine on which this runs.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let out = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let all = String::from_utf8(out.stdout).unwrap();
    let of_sign_in: Vec<&str> = all.split_inclusive('\n').skip_while(|line| !line.contains("sign-in")).collect();
    assert!(!of_sign_in.is_empty(), "{all} {}", String::from_utf8_lossy(&out.stderr));
    of_sign_in.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_set_up_well_is_found_good_in_every_part() {
    let double = Double::start().await;
    let said = doctor(&double.issuer, &["--client-secret", SECRET]).await;
    for good in [
        "answers and describes itself",
        "1 signing key",
        "“atelier” and its secret are accepted",
        "people are sent back to http://127.0.0.1:3000/auth/callback",
    ] {
        assert!(said.contains(good), "{good}: {said}");
    }
    assert!(!said.contains("missing  sign-in"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_provider_is_said_with_the_next_step() {
    let double = Double::start().await;
    let at = |path: &str| double.issuer.replace("/realms/house", path);
    let good = Behaviour::default;
    let wrong = [
        (
            "a slash at the end",
            at("/realms/house/"),
            good(),
            SECRET,
            "without a slash at the end",
            format!("Set ATELIER_ISSUER={}\n", double.issuer),
        ),
        ("another realm", at("/realms/House"), good(), SECRET, "has no realm “House”", "capitals count".into()),
        ("the path of old", at("/auth/realms/house"), good(), SECRET, "but one at", format!("Set ATELIER_ISSUER={}\n", double.issuer)),
        ("no realm at all", at(""), good(), SECRET, "is not there (404)", "ends in /realms/NAME".into()),
        (
            "the description's address",
            format!("{}/.well-known/openid-configuration", double.issuer),
            good(),
            SECRET,
            "and not the issuer",
            format!("Set ATELIER_ISSUER={}\n", double.issuer),
        ),
        ("a wrong secret", double.issuer.clone(), good(), "wrong", "the secret is not its secret", "ATELIER_CLIENT_SECRET".into()),
        (
            "a callback that nobody knows",
            double.issuer.clone(),
            Behaviour { callback_known: false, ..good() },
            SECRET,
            "refuses to send people back",
            "Register http://127.0.0.1:3000/auth/callback as redirect URI".into(),
        ),
        (
            "a redirect",
            double.issuer.clone(),
            Behaviour { description: Reply::Redirect, ..good() },
            SECRET,
            "follows no redirects",
            "ATELIER_ISSUER".into(),
        ),
        (
            "no answer",
            double.issuer.clone(),
            Behaviour { description: Reply::Silent, ..good() },
            SECRET,
            "does not answer in time",
            "firewall".into(),
        ),
        (
            "no end",
            double.issuer.clone(),
            Behaviour { description: Reply::Endless, ..good() },
            SECRET,
            "more than a description has",
            "/realms/NAME".into(),
        ),
        ("nothing there", "http://127.0.0.1:9/realms/house".into(), good(), SECRET, "nothing listens there", "Start the provider".into()),
        ("no TLS", double.issuer.replace("http:", "https:"), good(), SECRET, "does not speak TLS", "https wants".into()),
    ];
    let mut silent = Vec::new();
    for (what, issuer, behaviour, secret, sentence, next) in wrong {
        double.now(behaviour);
        let said = doctor(&issuer, &["--client-secret", secret]).await;
        if !said.contains("missing  sign-in") || !said.contains(sentence) || !said.contains(&next) {
            silent.push(format!("{what}: wanted {sentence:?} and {next:?}, and got\n{said}"));
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

/// Ended with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_says_at_its_start_what_is_wrong_with_its_provider() {
    let double = Double::start().await;
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("portal.log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_atelier"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--role", "web,gateway", "--client-secret", SECRET, "--data"]).arg(data.path());
    command.arg("--issuer").arg(double.issuer.replace("/realms/house", "/realms/House"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let file = File::create(&log).unwrap();
    let mut portal = Ends(command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap());
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let said = std::fs::read_to_string(&log).unwrap();
        if said.contains("has no realm “House”") && said.contains("capitals count") && said.contains("atelier doctor") {
            break;
        }
        assert!(Instant::now() < until && portal.0.try_wait().unwrap().is_none(), "{said}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
