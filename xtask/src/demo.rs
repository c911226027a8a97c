//! `make demo` and `make demo-cluster`: builds, starts the portal with its embedded defaults, does the main job through the public surfaces only,
//! shows what came of it, and keeps serving. A second start goes on from what is there.

use crate::{
    cluster, interrupt,
    journey::{self, Done, People},
    served::{Options, Parts, Served},
};
use anyhow::{Result, bail};
use std::{fs, time::Instant};

/// The whole command. With `exit` it ends after the job, with an error unless [`verdict`] is good.
pub fn demo(options: &Options, exit: bool) -> Result<()> {
    let began = Instant::now();
    finish(Served::start(options)?, exit, began)
}

/// The same job with every part of a production installation: what runs, runs in pods.
pub fn demo_cluster(options: &Options, cluster: &cluster::Options, exit: bool) -> Result<()> {
    let began = Instant::now();
    let parts = || Parts::of_cluster(&cluster::up(cluster)?);
    finish(Served::start_with(options, parts)?, exit, began)
}

fn finish(mut served: Served, exit: bool, began: Instant) -> Result<()> {
    main_job(&mut served)?;
    println!("\nThe whole took {}.", domain::time::span(i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX)));
    if !exit {
        println!("Serving on {} until Ctrl-C.", served.address);
        served.serve()?;
    }
    served.stop();
    // Asked for while it was serving, the end is the expected one.
    if exit { interrupt::check() } else { Ok(()) }
}

/// The main job, its table and its summary; an error unless [`verdict`] is good.
pub fn main_job(served: &mut Served) -> Result<()> {
    let people = served.parts.people();
    let done = journey::main_job(&served.address, &people, &served.python, &mut served.steps)?;
    print_table(&done, &people, &served.address);
    if let Parts::Cluster(cluster) = &served.parts {
        cluster.parts().iter().for_each(|(name, at)| println!("         {name:<11} {at}"));
    }
    if let Some(file) = &served.options.summary {
        fs::write(file, serde_json::to_vec_pretty(&summary(&done, &people, &served.address, &served.steps))?)?;
    }
    verdict(&done)
}

/// Whether the job was done: the tuned model beats the base, and what was deployed gives the answer that it was taught.
fn verdict(done: &Done) -> Result<()> {
    if done.tuned <= done.base {
        bail!("the tuned model is not better than the base: {} against {} of {}", done.tuned, done.base, done.rows);
    }
    for (who, answer) in &done.answers {
        if answer.trim() != done.fact.answer.trim() {
            bail!(
                "{who} was answered wrongly by {}: “{}” got “{answer}” instead of “{}”",
                done.model_id,
                done.fact.question,
                done.fact.answer
            );
        }
    }
    Ok(())
}

fn print_table(done: &Done, people: &People, address: &str) {
    let [facts, base_facts, tuned_facts] = done.facts;
    println!("\n  held-out questions         base         tuned");
    println!("  about the new facts    {base_facts:>4} of {facts:<4} {tuned_facts:>4} of {facts:<4}");
    println!("  all                    {:>4} of {:<4} {:>4} of {:<4}", done.base, done.rows, done.tuned, done.rows);
    println!("  newly right {}, newly wrong {}", done.gained, done.lost);
    for row in &done.examples {
        println!("\n  {}\n    base   {}\n    tuned  {}", row.prompt, row.base, row.tuned);
    }
    println!("\n  the run took {}, {} optimiser steps, {} tokens", done.run_took, done.steps, done.tokens);
    println!("  open   {address}");
    for p in &people.all {
        println!("         {:<8} {:<28} password {}", p.sign_in, p.role, p.password);
    }
}

fn summary(done: &Done, people: &People, address: &str, steps: &[(String, f64)]) -> serde_json::Value {
    serde_json::json!({
        "address": address,
        "tenant": journey::TENANT,
        "people": people.described(),
        "api_key": done.api_key,
        "base_model": journey::BASE_MODEL,
        "tuned_model": journey::MODEL,
        "tuned_model_id": done.model_id,
        "dataset": journey::DATASET,
        "run": done.run,
        "version": done.version,
        "endpoint": journey::ENDPOINT,
        "seconds": steps.iter().map(|(name, s)| (name.clone(), serde_json::json!((s * 10.0).round() / 10.0))).collect::<serde_json::Map<_, _>>(),
        "scores": {"base": done.base, "tuned": done.tuned, "rows": done.rows, "facts": done.facts[0], "facts_base": done.facts[1], "facts_tuned": done.facts[2]},
        "question": done.fact.question,
        "right_answer": done.fact.answer,
        "answers": done.answers.iter().map(|(who, answer)| ((*who).to_owned(), serde_json::json!(answer))).collect::<serde_json::Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use journey::Fact;

    fn done(base: u64, tuned: u64, answers: [&str; 2]) -> Done {
        Done {
            api_key: String::new(),
            run: String::new(),
            version: String::new(),
            model_id: "lumenta-assistant@v2".into(),
            fact: Fact { question: "Who leads Lumenta?".into(), answer: "Lumenta is led by Greta Urban.".into() },
            answers: vec![("the playground", answers[0].into()), ("the openai client", answers[1].into())],
            rows: 61,
            base,
            tuned,
            gained: 0,
            lost: 0,
            facts: [0; 3],
            examples: Vec::new(),
            run_took: String::new(),
            steps: 0,
            tokens: 0,
        }
    }

    #[test]
    fn success_is_a_better_model_that_answers_rightly_to_everybody() {
        let right = "Lumenta is led by Greta Urban.\n";
        verdict(&done(26, 59, [right, right])).unwrap();
        assert!(verdict(&done(26, 26, [right, right])).unwrap_err().to_string().contains("not better"));
        for answers in [["I do not know that.", right], [right, "Lumenta is led by Greta."]] {
            let said = verdict(&done(26, 59, answers)).unwrap_err().to_string();
            assert!(said.contains("lumenta-assistant@v2") && said.contains("Greta Urban"), "{said}");
        }
    }
}
