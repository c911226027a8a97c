//! Text that PostgreSQL does not store: refused with a sentence wherever people send it, cleaned where it must be kept.

mod portal;
mod processes;

use portal::TestPortal;
use processes::postgres::Postgres;
use serde_json::json;
use server::rights::ROUTES;

const SENTENCE: &str = "holds a character that text cannot have";

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_is_refused_by_every_route_in_words() {
    let Some(database) = Postgres::start() else { return };
    let portal = TestPortal::with(&["--role", "web,gateway", "--database-url", &database.url]).await;
    let mut wrong = Vec::new();
    for who in ["mira", "admin"] {
        let mut browser = portal.signed_in(who).await;
        for (method, path, _) in
            ROUTES.iter().filter(|(_, p, _)| !p.starts_with("/dev-idp") && !p.starts_with("/pkg") && !p.ends_with("/events"))
        {
            let real = path.replace("{tenant}", "lumenta").replace("{name}", "none").replace("{id}", "none").replace("{chat}", "none");
            // In a field that every function has, in one that only some have, and in the name of a field.
            let mut answers = Vec::new();
            match *method {
                "GET" => {
                    answers.push(browser.get(&format!("{real}?q=a%00b")).await);
                    answers.push(browser.get(&format!("{real}?query%5Bactor%5D=%00")).await);
                }
                _ if path.ends_with("/datasets-upload") => {
                    answers.push(browser.upload("lumenta", "application/json", &[("name", "facts"), ("notes", "a\0b")], "x", b"x").await);
                }
                _ if path.ends_with("/playground/chat") => {
                    answers.push(browser.post_json(&real, json!({"models": ["x"], "question": "a\0b"})).await);
                    answers.push(browser.call(&real, "models=x&question=a%00b").await);
                }
                _ => {
                    for form in
                        ["tenant=lumenta&name=a%00b", "tenant=lumenta&form%5Blabel%5D=%00", "tenant=lumenta&said%5Bnotes%5D=x%00", "a%00=1"]
                    {
                        answers.push(browser.call(&real, form).await);
                    }
                }
            }
            for answer in answers {
                // Some are not for this person, whatever is sent.
                let hidden = [403, 404].contains(&answer.status) && path.ends_with("/datasets-upload") && who == "admin";
                // It speaks to the identity provider, in the words of its protocol, and takes nothing but one signed token.
                let protocol = *path == "/auth/backchannel-logout" && answer.status == 400;
                if !hidden && !protocol && (answer.status != 422 || !answer.body.contains(SENTENCE)) {
                    wrong.push(format!(
                        "{method} {path} for {who}: {} {}",
                        answer.status,
                        answer.body.chars().take(200).collect::<String>()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} answers:\n{}", wrong.len(), wrong.join("\n"));
    let mut mira = portal.signed_in("mira").await;
    assert_eq!(mira.get("/t/lumenta/datasets/a%00b").await.status, 404);
    assert_eq!(mira.call("/rpc/home", "tenant=lumenta").await.status, 200, "what has none is let through");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_in_the_name_of_a_model_is_a_404_and_the_call_is_counted_with_everybody_elses() {
    let Some(database) = Postgres::start() else { return };
    let portal = TestPortal::with(&["--role", "web,gateway", "--database-url", &database.url]).await;
    let mut jonas = portal.signed_in("jonas").await;
    let made = jonas.call("/rpc/keys/create", "tenant=lumenta&form[label]=nul&form[may]=all").await;
    let secret = made.json()["secret"].as_str().unwrap_or_else(|| panic!("{}", made.body)).to_owned();
    let http = reqwest::Client::new();
    let call = async |model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "a\0b"}]});
        let request = http.post(format!("{}/v1/chat/completions", portal.url)).bearer_auth(&secret);
        request.json(&body).send().await.unwrap().status().as_u16()
    };
    processes::within(std::time::Duration::from_secs(60), "the gateway knows the key", async || (call("first").await == 404).then_some(()))
        .await;
    for _ in 0..20 {
        assert_eq!(call("a\0b").await, 404);
        assert_eq!(call("plain").await, 404);
    }
    let pool = sqlx::PgPool::connect(&database.url).await.unwrap();
    processes::within(std::time::Duration::from_secs(60), "all of them are in the usage table", async || {
        // The character becomes one that can be stored.
        let sql = "SELECT model, COUNT(*) FROM calls WHERE model <> 'first' GROUP BY model ORDER BY model";
        let calls: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&pool).await.unwrap();
        (calls == [("a\u{fffd}b".to_owned(), 20), ("plain".to_owned(), 20)]).then_some(())
    })
    .await;
}
