//! What a provider says when it is asked again with a refresh token.

use super::{Behaviour, Double};
use domain::tenant::Quota;
use platform::{access::PlatformScope, tenants::NewTenant};
use serde_json::json;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_token_without_the_groups_claim_leaves_rights_as_they_were_and_one_with_no_groups_takes_them() {
    let double = Double::start().await;
    let behaves = |claims| double.now(Behaviour { refreshes: true, claims, ..Behaviour::default() });
    behaves(json!({}));
    let portal = double.portal(&["--confirm-seconds", "1"]).await;
    let scope = PlatformScope::command_line();
    let lumenta = NewTenant { name: "lumenta".into(), title: "Lumenta".into(), quota: Quota::default() };
    portal.portal.platform.tenants(&scope).create(lumenta).await.unwrap();
    let mut mira = portal.browser();
    assert_eq!(double.sign_in(&mut mira).await.status, 303);
    assert_eq!(mira.call("/rpc/home", "tenant=lumenta").await.status, 200);

    behaves(json!({ "groups": null }));
    let asked = double.asked("token");
    let end = Instant::now() + PATIENCE;
    while double.asked("token") < asked + 3 {
        assert!(Instant::now() < end, "the provider is not asked again");
        assert_eq!(mira.call("/rpc/home", "tenant=lumenta").await.status, 200, "rights went with a claim that was not sent");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    behaves(json!({ "groups": [] }));
    let end = Instant::now() + PATIENCE;
    while mira.call("/rpc/home", "tenant=lumenta").await.status == 200 {
        assert!(Instant::now() < end, "rights that were taken away are still there");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_in_no_team_is_told_the_group_as_this_portal_reads_it() {
    let double = Double::start().await;
    double.now(Behaviour { claims: json!({ "groups": ["elsewhere"] }), ..Behaviour::default() });
    let portal = double.portal(&["--tenant-group", "teams:{tenant}:{role}"]).await;
    let mut mira = portal.browser();
    assert_eq!(double.sign_in(&mut mira).await.status, 303);
    let page = mira.get("/no-access").await;
    assert!(page.status == 200 && page.body.contains("teams:&lt;tenant&gt;:&lt;role&gt;"), "{}", page.body);
    assert!(!page.body.contains("atelier/&lt;tenant&gt;"), "{}", page.body);
}
