//! Replicas are restarted one after the other while they are used, as an upgrade does it: two gateways, two webs and two controllers on one
//! PostgreSQL, behind balancers that know of a replica only what `/readyz` says. No call fails, no limit opens, and all is counted.

mod processes;

use futures::future::join_all;
use processes::{
    Portal, Setup,
    balancer::Balancer,
    free_port,
    house::{BASE, House, PATIENCE, TENANT, number},
    person::Person,
    postgres::Postgres,
    within,
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

const LIMIT: u32 = 60;
/// Of the limit, seconds.
const WINDOW: f64 = 60.0;
const ROUNDS: usize = 2;
/// Longer than a balancer needs to hear that a replica goes.
const DELAY: &str = "2";
/// Longer than the longest stream of this test.
const DRAIN: &str = "15";

/// One replica: how it is started, and its process.
struct Replica {
    setup: Setup,
    process: Option<Portal>,
}

impl Replica {
    async fn start(setup: Setup) -> Self {
        let process = Some(setup.start().await);
        Self { setup, process }
    }

    /// Told to stop, and started again at the same address when it has ended. The next one's turn comes when this one is used.
    async fn again(&mut self, balancer: Option<&Balancer>) {
        let told = Instant::now();
        assert!(self.process.take().unwrap().stop().await, "it did not end well");
        println!("{} ended after {:.1} s", self.setup.address, told.elapsed().as_secs_f32());
        self.process = Some(self.setup.start().await);
        if let Some(balancer) = balancer {
            balancer.knows(&self.setup.address).await;
        }
    }
}

/// What the clients met.
#[derive(Default)]
struct Met {
    /// Numbers of the requests that were answered, whole.
    answered: Mutex<BTreeSet<String>>,
    streams: AtomicU32,
    refused: AtomicU32,
    wrong: Mutex<Vec<String>>,
}

impl Met {
    fn goes_wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }
}

/// A client of the gateways; it keeps its connections, as clients do.
struct Client {
    http: reqwest::Client,
    address: String,
    key: String,
    /// `limited`, `plain` or `stream`.
    kind: &'static str,
    met: Arc<Met>,
}

impl Client {
    async fn call(&self, began: Instant) {
        let body = json!({"model": BASE, "stream": self.kind == "stream", "messages": [{"role": "user", "content": format!("counted {}", self.kind)}]});
        let sent = Instant::now();
        let at = || {
            format!(
                "{} sent {:.2} s after the beginning, {:.2} s ago",
                self.kind,
                (sent - began).as_secs_f32(),
                sent.elapsed().as_secs_f32()
            )
        };
        let request = self.http.post(format!("{}/v1/chat/completions", self.address)).bearer_auth(&self.key).json(&body);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(e) => return self.met.goes_wrong(format!("{}: {e:?}", at())),
        };
        let (status, id) = (answer.status().as_u16(), number(&answer));
        match (status, answer.text().await) {
            (429, Ok(_)) if self.kind == "limited" => drop(self.met.refused.fetch_add(1, Ordering::Relaxed)),
            (200, Ok(text)) if self.kind != "stream" || text.ends_with("data: [DONE]\n\n") => {
                self.met.answered.lock().unwrap().insert(id);
                if self.kind == "stream" {
                    self.met.streams.fetch_add(1, Ordering::Relaxed);
                }
            }
            (status, text) => self.met.goes_wrong(format!("{}: {status} {text:?}", at())),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_are_restarted_one_after_the_other_and_no_call_fails_and_no_limit_opens() {
    let Some(database) = Postgres::start() else { return };
    let mut house = House::start(Some(&database)).await;
    let jonas = Person::sign_in(&house.setup.address, "jonas").await;
    // From here on each role is a process of its own. The model server goes on meanwhile.
    assert!(house.portal.take().unwrap().stop().await);
    let ports = (free_port(), free_port());
    let setup = |role: &str, n: usize| {
        Setup::new(house.data.path(), &format!("{role}-{n}"))
            .with("--role", role)
            .with("--database-url", &database.url)
            .with("--vllm-python", house.programs.python().display())
            .with("--public-url", format!("http://127.0.0.1:{}", ports.0))
            .with("--gateway-url", format!("http://127.0.0.1:{}", ports.1))
            .with("--shutdown-delay", DELAY)
            .with("--drain-timeout", DRAIN)
    };
    let pair = async |role: &str| {
        let (one, two) = tokio::join!(Replica::start(setup(role, 1)), Replica::start(setup(role, 2)));
        [one, two]
    };
    let (mut webs, mut gateways, mut controllers) = tokio::join!(pair("web"), pair("gateway"), pair("controller"));
    let behind = |pair: &[Replica; 2]| [pair[0].setup.address.clone(), pair[1].setup.address.clone()];
    let (web, gateway) = (behind(&webs), behind(&gateways));
    let web = Balancer::before(ports.0, &web.each_ref().map(String::as_str)).await;
    let gateway = Balancer::before(ports.1, &gateway.each_ref().map(String::as_str)).await;
    for n in 0..2 {
        web.knows(&webs[n].setup.address).await;
        gateway.knows(&gateways[n].setup.address).await;
    }

    let new_key = async |label: &str, limit: &str| {
        let mut form = vec![("tenant", TENANT), ("form[label]", label), ("form[may]", "all"), ("form[expires_in_days]", "1")];
        form.extend([("form[requests_per_minute]", limit)].into_iter().filter(|(_, limit)| !limit.is_empty()));
        let made = jonas.did(&web.address, "keys/create", &form).await.body;
        (made["key"]["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
    };
    let (limited, free) = (new_key("limited", &LIMIT.to_string()).await, new_key("free", "").await);
    for replica in &gateways {
        for (_, key) in [&limited, &free] {
            within(PATIENCE, "the gateway knows the key", async || {
                let models = reqwest::Client::new().get(format!("{}/v1/models", replica.setup.address)).bearer_auth(key);
                models.send().await.is_ok_and(|a| a.status().is_success()).then_some(())
            })
            .await;
        }
    }

    let (met, over, began) = (Arc::new(Met::default()), Arc::new(AtomicBool::new(false)), Instant::now());
    let http = reqwest::Client::new();
    let clients: Vec<_> = ["plain"; 6].into_iter().chain(["stream"; 4]).chain(["limited"; 3]).collect();
    let clients = clients.into_iter().enumerate().map(|(n, kind)| {
        let key = if kind == "limited" { limited.1.clone() } else { free.1.clone() };
        // Some share their connections, some have their own.
        let http = if n % 3 == 0 { reqwest::Client::new() } else { http.clone() };
        let (client, over) = (Client { http, address: gateway.address.clone(), key, kind, met: met.clone() }, over.clone());
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                client.call(began).await;
                tokio::time::sleep(Duration::from_millis(if kind == "limited" { 150 } else { 30 })).await;
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    // Somebody at the pages reads and makes keys meanwhile: neither fails, and none is made twice.
    let at_the_pages = async {
        let mut made = 0;
        while !over.load(Ordering::Relaxed) {
            let form = [("tenant", TENANT), ("form[label]", "of the pages"), ("form[may]", "all"), ("form[expires_in_days]", "1")];
            match jonas.send(&web.address, "keys/create", &form).await {
                Ok(_) => made += 1,
                Err(no) => met.goes_wrong(format!("a key was not made: {no:?}")),
            }
            let endpoint = [("tenant", TENANT), ("name", "front")];
            match jonas.send(&web.address, "endpoints/get", &endpoint).await {
                Ok(page) if page.body["endpoint"]["state"] == "ready" => {}
                other => met.goes_wrong(format!("the endpoint's page: {other:?}")),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        made
    };
    let restarts = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        for _ in 0..ROUNDS {
            for n in 0..2 {
                tokio::join!(gateways[n].again(Some(&gateway)), webs[n].again(Some(&web)), controllers[n].again(None));
            }
        }
        over.store(true, Ordering::Relaxed);
    };
    let (made, ()) = tokio::join!(at_the_pages, restarts);
    for client in join_all(clients).await {
        client.unwrap();
    }
    let took = began.elapsed();

    let served = house.programs.served();
    let of_limit: Vec<f64> = served.iter().filter(|(_, kind)| kind == "limited").map(|(at, _)| *at).collect();
    let (answered, wrong) = (met.answered.lock().unwrap().clone(), met.wrong.lock().unwrap().clone());
    println!(
        "{:.1} s: {} calls answered, of them {} streams; {} of the limited key served, {} refused; {made} keys made",
        took.as_secs_f32(),
        answered.len(),
        met.streams.load(Ordering::Relaxed),
        of_limit.len(),
        met.refused.load(Ordering::Relaxed)
    );
    assert!(wrong.is_empty(), "{} went wrong, the first: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    for (n, at) in of_limit.iter().enumerate() {
        let in_window = of_limit[n..].iter().take_while(|later| **later - at < WINDOW).count();
        assert!(in_window <= LIMIT as usize, "{in_window} of {LIMIT} in a window");
    }
    assert!(of_limit.len() >= LIMIT as usize / 2 && met.refused.load(Ordering::Relaxed) > 0, "the limit was not met: {}", of_limit.len());
    assert!(met.streams.load(Ordering::Relaxed) >= 16, "streams were open at each restart");

    // What was served is what was answered and what is counted, call by call and in the sums.
    assert_eq!(served.len(), answered.len());
    house.counts_each_once(&answered).await;
    let pool = sqlx::PgPool::connect(&database.url).await.unwrap();
    let counted =
        async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).bind([&limited.0[..], &free.0[..]]).fetch_one(&pool).await.unwrap();
    let calls = counted("SELECT COUNT(*) FROM calls WHERE key_id = ANY($1) AND status = 200").await;
    let sums = counted("SELECT SUM(requests - errors)::bigint FROM usage_hours WHERE key_id = ANY($1)").await;
    assert_eq!((calls, sums), (served.len() as i64, served.len() as i64));
    let keys = counted("SELECT COUNT(*) FROM api_keys WHERE label = 'of the pages' AND NOT id = ANY($1)").await;
    assert_eq!(keys, made, "keys that were told to have been made");
}
