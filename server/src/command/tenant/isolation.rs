//! `atelier tenant check-isolation`: asks, waits, and prints what was found.

use super::said;
use domain::isolation::{Check, Finding, Judgement, advice};
use platform::tenants::Tenants;
use std::{process::ExitCode, time::Duration};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Something was reached that must not be.
const NOT_APART: u8 = 1;
/// Nothing could be proven.
const UNPROVEN: u8 = 3;

pub async fn check(tenants: &Tenants<'_>, name: &str) -> anyhow::Result<ExitCode> {
    let mut check = tenants.check_isolation(name).await.map_err(said)?;
    let mut told = String::new();
    while !check.is_over() {
        let doing = check.doing();
        if doing != told {
            eprintln!("{doing}");
            told = doing;
        }
        tokio::time::sleep(LOOK).await;
        check = tenants.isolation_check(&check).await.map_err(said)?;
    }
    print(&check);
    Ok(match check.finding() {
        Some(Finding::Apart) => ExitCode::SUCCESS,
        Some(Finding::NotApart) => NOT_APART.into(),
        Some(Finding::Unproven) | None => UNPROVEN.into(),
    })
}

fn print(check: &Check) {
    for line in check.lines() {
        let mark = match line.judgement() {
            Judgement::AsExpected => "ok  ",
            Judgement::NotAsExpected => "NOT ",
            Judgement::Undecided => "?   ",
        };
        let what = if line.target.what.is_empty() { String::new() } else { format!(" ({})", line.target.what) };
        println!("{mark} {}{what}: {}", line.target.probe.title(), line.said(true));
    }
    let ending = check.ending().map(|ending| ending.said()).filter(|said| !said.is_empty());
    for sentence in ending.into_iter().chain(advice(check.lines())) {
        println!("{sentence}");
    }
}
