//! A real Keycloak as identity provider: what it really sends, and what the portal makes of it. Each test has a realm of its own, made from
//! the realm file that is shipped.

#[path = "keycloak/admin.rs"]
mod admin;
#[path = "keycloak/away.rs"]
mod away;
#[path = "keycloak/bearer.rs"]
mod bearer;
#[path = "keycloak/doctor.rs"]
mod doctor;
#[path = "keycloak/leavers.rs"]
mod leavers;
#[path = "keycloak/logout.rs"]
mod logout;
mod portal;
#[path = "keycloak/realm_file.rs"]
mod realm_file;
#[path = "keycloak/sign_in.rs"]
mod sign_in;
mod tls;
#[path = "processes/wire.rs"]
#[allow(dead_code, reason = "others cut it, too")]
mod wire;

use admin::Realm;
use domain::time::Timestamp;
use portal::{Answer, Browser, TestPortal, encoded};
use std::{sync::OnceLock, time::Duration};
use testing::keycloak::{self, Keycloak};

/// Longest until something is so, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Shared {
    keycloak: Keycloak,
    /// The certificate authority of its https address, as PEM.
    house: String,
}

fn shared() -> Option<&'static Shared> {
    static SHARED: OnceLock<Option<Shared>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        let house = tls::Authority::new();
        let (certificate, key) = house.certificate("127.0.0.1");
        let keycloak = keycloak::start(Some((&certificate, &key)))?;
        Some(Shared { keycloak, house: house.pem })
    });
    if shared.is_none() {
        testing::skip("a real Keycloak: `cargo run -p xtask -- cluster up` fetches it, and ATELIER_KEYCLOAK names its folder");
    }
    shared.as_ref()
}

/// A realm of the test's own. None: skipped.
async fn realm() -> Option<Realm> {
    // Its start blocks for half a minute.
    let shared = tokio::task::spawn_blocking(shared).await.unwrap()?;
    Some(Realm::create(&shared.keycloak.address).await)
}

impl Realm {
    /// A portal with both tenants, whose people sign in here, and which this Keycloak tells of logouts.
    async fn portal(&self, flags: &[&str]) -> TestPortal {
        self.portal_at(&self.issuer(), flags).await
    }

    async fn portal_at(&self, issuer: &str, flags: &[&str]) -> TestPortal {
        self.portal_by(server::clock::now, issuer, flags).await
    }

    /// By another clock than the machine's.
    async fn portal_by(&self, clock: fn() -> Timestamp, issuer: &str, flags: &[&str]) -> TestPortal {
        let ours = ["--role", "web,gateway", "--issuer", issuer, "--client-secret", "atelier"];
        let often = ["--sign-ins-per-minute", "100000", "--refused-sign-ins-per-minute", "100000"];
        let portal = TestPortal::by(clock, &[&ours[..], &often, flags].concat()).await;
        let scope = platform::access::PlatformScope::command_line();
        for name in ["lumenta", "velkor"] {
            let new = platform::tenants::NewTenant { name: name.into(), title: name.into(), quota: Default::default() };
            portal.portal.platform.tenants(&scope).create(new).await.unwrap();
        }
        self.change_client(|client| {
            client["attributes"]["backchannel.logout.url"] = format!("{}/auth/backchannel-logout", portal.url).into();
        })
        .await;
        portal
    }
}

/// Signs in at Keycloak's own page, as a browser does; where the portal sends the person then.
async fn sign_in(browser: &mut Browser, login: &str, password: &str) -> Answer {
    let off = browser.get("/auth/login?return_to=/").await;
    assert_eq!(off.status, 303, "{}", off.body);
    let page = browser.get(off.location()).await;
    if page.status == 302 {
        // The session there goes on: nobody is asked.
        return browser.get(page.location()).await;
    }
    assert_eq!(page.status, 200, "{}", page.body);
    let answer = post_at_keycloak(browser, &form(&page), &[("username", login), ("password", password), ("credentialId", "")]).await;
    if answer.status != 302 {
        return answer;
    }
    browser.get(answer.location()).await
}

/// Where the form of one of Keycloak's pages leads.
fn form(page: &Answer) -> String {
    let action = page.body.split("action=\"").nth(1).unwrap_or_else(|| panic!("no form: {}", page.body));
    action.split('"').next().unwrap().replace("&amp;", "&")
}

async fn post_at_keycloak(browser: &mut Browser, to: &str, fields: &[(&str, &str)]) -> Answer {
    let portal = browser.origin.take();
    let answer = browser.post_form(to, fields).await;
    browser.origin = portal;
    answer
}

async fn signed_in(portal: &TestPortal, login: &str) -> Browser {
    let mut browser = portal.browser();
    let done = sign_in(&mut browser, login, "atelier").await;
    assert_eq!((done.status, done.location()), (303, "/"), "{}", done.body);
    browser
}

async fn who(browser: &mut Browser) -> serde_json::Value {
    browser.call("/rpc/whoami", "").await.json()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(std::time::Instant::now() < end, "it never came to be that {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
