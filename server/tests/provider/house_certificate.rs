//! A provider whose certificate the house itself has signed.

use super::{Double, doctor::doctor};
use crate::{portal::says, tls::Authority};

/// The provider, and the certificate authority of its house as PEM.
async fn of_the_house(name: &str) -> (Double, String) {
    let house = Authority::new();
    let listener = house.listen(name, None).await;
    let origin = format!("https://{}", listener.address());
    (Double::serve(listener, origin).await, house.pem)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_house_is_believed_when_its_authority_is_named_and_else_said_to_be_the_reason() {
    let (double, root) = of_the_house("127.0.0.1").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("house.pem");
    std::fs::write(&file, root).unwrap();
    let named = ["--issuer-ca", file.to_str().unwrap()];

    let portal = double.portal(&named).await;
    assert_eq!(double.sign_in(&mut portal.browser()).await.status, 303);
    assert!(!doctor(&double.issuer, &[&named[..], &["--client-secret", super::SECRET]].concat()).await.contains("missing  sign-in"));

    let stranger = double.portal(&[]).await;
    let met = stranger.browser().get("/auth/login").await;
    assert!(met.status == 503 && says(&met, "does not answer"), "{}", met.body);
    let said = doctor(&double.issuer, &[]).await;
    assert!(said.contains("signed by nobody whom this machine trusts") && said.contains("--issuer-ca FILE"), "{said}");

    // The authority does not make every name right.
    let (other, root) = of_the_house("sso.example").await;
    std::fs::write(&file, root).unwrap();
    let said = doctor(&other.issuer, &named).await;
    assert!(said.contains("a certificate for another name"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_certificate_keeps_the_portal_from_starting_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("house.pem");
    for (content, words) in [(Some("hello"), "holds no certificate"), (None, "cannot be read")] {
        drop(std::fs::remove_file(&file));
        content.into_iter().for_each(|text| std::fs::write(&file, text).unwrap());
        let flags = ["--role", "web,gateway", "--issuer", "https://sso.example", "--issuer-ca", file.to_str().unwrap()];
        let refused = crate::portal::start(folder.path(), &flags).await.err().unwrap();
        let said = format!("{refused:#}");
        assert!(said.contains(words) && said.contains("house.pem") && said.contains("ATELIER_ISSUER_CA"), "{said}");
    }
}
