//! Stages, cards and their Markdown, and the lineage strip, on the result of a run with real processes.

use crate::house::{House, until};
use domain::{
    card::Origin,
    endpoint::{AdapterState, EndpointState},
    lineage::{LineageStrip, Link, Target},
    model::Stage,
    problem::ProblemKind,
    run::RunState,
};
use platform::{endpoints::Deploy, lineage::At};

crate::on_each_database!(stages_cards_and_the_strip_follow_the_record);

fn texts(strip: &LineageStrip) -> Vec<String> {
    assert_eq!(strip.links.iter().map(|l| l.link).collect::<Vec<_>>(), Link::ALL);
    strip.links.iter().map(|l| format!("{}{}", if l.here { "> " } else { "" }, l.text)).collect()
}

async fn stages_cards_and_the_strip_follow_the_record(house: House) {
    let scope = house.owner().await;
    let p = &house.platform;
    let data = house.dataset(&scope, "facts", 20).await;
    assert_eq!(
        texts(&p.lineage_strip(&scope, At::DatasetVersion(data.id)).await.unwrap()),
        ["> facts v1", "no run yet", "no model yet", "not deployed", "nothing to call yet", "no requests, 7 d"]
    );
    let run = house.launch(&scope, "facts-1", 42).await;
    assert_eq!(
        texts(&p.lineage_strip(&scope, At::Run(run.id)).await.unwrap())[..4],
        ["facts v1", "> facts-1", "assistant, not yet registered", "not deployed"]
    );
    let _controller = house.controller("a");
    let run = house.run_until(&scope, &run, |r| r.state.is_final()).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let models = p.models(&scope);
    let version = models.version("assistant", None).await.unwrap();

    // The card: edited by people, never over a record, never over somebody else's newer words.
    let say = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    let edited = models.edit_card("assistant", 1, 1, say("intended_use", "Help | desk")).await.unwrap();
    assert_eq!(edited.card.revision, 2);
    let stale = models.edit_card("assistant", 1, 1, say("intended_use", "other")).await.unwrap_err();
    assert_eq!(stale.kind, ProblemKind::Conflict);
    let record = models.edit_card("assistant", 1, 2, say("digest", "forged")).await.unwrap_err();
    assert_eq!((record.kind, record.fields[0].field.as_str()), (ProblemKind::Invalid, "digest"));
    let licence = models.edit_card("assistant", 1, 2, say("licence", "proprietary")).await.unwrap();
    match &licence.card.get("licence").unwrap().origin {
        Origin::Person { replaced, name, .. } => assert_eq!((replaced.as_deref(), name.as_str()), (Some("Apache-2.0"), "mira")),
        other => panic!("{other:?}"),
    }
    let back = models.edit_card("assistant", 1, 3, say("licence", " ")).await.unwrap();
    assert_eq!(back.card.get("licence").unwrap().value, "Apache-2.0");
    let text = models.markdown("assistant", Some(1)).await.unwrap();
    for said in [
        "---\nbase_model: \"world\"\nlicense: apache-2.0\nlanguage:\n  - \"en\"\nlibrary_name: peft\npipeline_tag: text-generation\n",
        "datasets:\n  - \"facts\"\nmetrics:\n  - \"exact_match\"\n",
        "            value: 0.5000\n",
        "| Intended use | Help \\| desk | mira, ",
        "| Limits and risks | *not stated* | nobody yet |",
        "| Base model | 1 | 2 | 50.0 % |",
    ] {
        assert!(text.contains(said), "{said:?} is not in\n{text}");
    }

    // Stages; what is archived is not deployed.
    assert_eq!(models.set_stage("assistant", 1, Stage::Archived).await.unwrap().stage, Stage::Archived);
    let deploy = || Deploy { model: "assistant".into(), number: 1, endpoint: None };
    assert_eq!(p.endpoints(&scope).deploy(deploy()).await.unwrap_err().kind, ProblemKind::Conflict);
    models.set_stage("assistant", 1, Stage::Approved).await.unwrap();

    // The strip walks both ways, from the endpoint back to the dataset.
    let made = p.endpoints(&scope).deploy(deploy()).await.unwrap();
    until(|| async {
        let e = p.endpoints(&scope).get(made.name.as_str()).await.unwrap();
        if e.state == EndpointState::Ready && e.attachments[0].state == AdapterState::Ready { Ok(()) } else { Err(format!("{e:?}")) }
    })
    .await;
    assert_eq!(models.list(&Default::default(), &Default::default()).await.unwrap().rows[0].endpoints, std::slice::from_ref(&made.name));
    for at in [At::DatasetVersion(data.id), At::Run(run.id), At::ModelVersion(version.id), At::Endpoint(made.id)] {
        let strip = p.lineage_strip(&scope, at).await.unwrap();
        let targets: Vec<_> = strip.links.iter().filter_map(|l| l.target.clone()).collect();
        assert_eq!(
            targets,
            [
                Target::DatasetVersion { name: "facts".parse().unwrap(), number: 1 },
                Target::Run(run.id),
                Target::ModelVersion { name: "assistant".parse().unwrap(), number: 1 },
                Target::Endpoint(made.name.clone()),
                Target::Keys,
                Target::Usage,
            ],
            "{at:?}"
        );
        assert_eq!(strip.links.iter().filter(|l| l.here).count(), 1, "{at:?}");
    }
    let whole = p.lineage_strip(&scope, At::Usage).await.unwrap();
    assert_eq!(texts(&whole), ["1 dataset", "1 run", "1 model", "1 endpoint", "0 keys", "> no requests, 7 d"]);
}
