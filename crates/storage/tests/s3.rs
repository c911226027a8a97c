//! Buckets of a real S3 store (Garage): who may read and write what, how each refusal is told, and what becomes of an upload when the store
//! goes away.

use bytes::Bytes;
use domain::{
    artefacts::{ArtefactStore, StoreKey},
    problem::Outage,
};
use object_store::{ObjectStoreExt, path::Path};
use std::time::{Duration, Instant};
use storage::{Error, GarageAdmin, OpenError, Patience, Storage, Writer};
use testing::garage::{self, Garage, Key, REGION};

/// Bytes of an object that goes in several parts.
const LARGE: usize = 20 * 1024 * 1024 + 5;
/// For a store that does not answer.
const SHORT: Patience =
    Patience { connect: Duration::from_secs(5), silence: Duration::from_secs(5), repeats: 1, within: Duration::from_secs(5) };

fn location(endpoint: &str) -> ArtefactStore {
    ArtefactStore::S3 { endpoint: endpoint.into(), region: REGION.into(), bucket_prefix: "house-".into(), path_style: true, ca: None }
}

fn open_with(garage: &Garage, key: &Key, patience: Patience) -> Storage {
    let key = StoreKey { access_key_id: key.0.clone(), secret_access_key: key.1.clone() };
    Storage::open(&location(&garage.endpoint), Some(&key), patience).unwrap()
}

fn open(garage: &Garage, key: &Key) -> Storage {
    open_with(garage, key, Patience::TASK)
}

/// A bucket of a tenant, with its key.
fn tenant(garage: &Garage, name: &str) -> Key {
    let (bucket, key) = (format!("house-{name}"), garage.key(name));
    garage.bucket(&bucket);
    garage.allow(&bucket, &key, &["--read", "--write"]);
    key
}

async fn put(storage: &Storage, path: &str, bytes: &[u8]) -> Result<(), Error> {
    let mut writer = storage.writer(&Path::from(path)).await?;
    writer.write(bytes).await?;
    writer.finish().await.map(drop)
}

async fn get(storage: &Storage, path: &str) -> Result<Bytes, Error> {
    storage.of(path)?.get(&Path::from(path)).await?.bytes().await
}

fn told<T>(result: Result<T, Error>) -> Outage {
    let Err(e) = result else { panic!("it should have been refused") };
    storage::outage(&e)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_key_opens_its_own_bucket_reads_the_platforms_and_nothing_else() {
    let Some(garage) = garage::start() else { return };
    let (a, b) = (tenant(&garage, "a"), tenant(&garage, "b"));
    let portal = tenant(&garage, "platform");
    garage.allow("house-platform", &a, &["--read"]);
    put(&open(&garage, &portal), "base-models/m/config.json", b"{}").await.unwrap();
    put(&open(&garage, &b), "t/b/secret", b"of b").await.unwrap();
    let a = open(&garage, &a);
    put(&a, "t/a/x", b"of a").await.unwrap();
    assert_eq!(get(&a, "t/a/x").await.unwrap().as_ref(), b"of a");
    assert_eq!(get(&a, "base-models/m/config.json").await.unwrap().as_ref(), b"{}");
    a.can_list("base-models").await.unwrap();
    a.probe("t/a").await.unwrap();
    assert_eq!(told(get(&a, "t/b/secret").await), Outage::StoreKeyRefused);
    assert_eq!(told(put(&a, "t/b/x", b"y").await), Outage::StoreKeyRefused);
    assert_eq!(told(put(&a, "t/b/large", &vec![7; LARGE]).await), Outage::StoreKeyRefused);
    assert_eq!(told(a.can_list("t/b").await), Outage::StoreKeyRefused);
    assert_eq!(told(put(&a, "base-models/m/config.json", b"[]").await), Outage::StoreKeyRefused);
    assert_eq!(told(a.of("t/b/secret").unwrap().delete(&Path::from("t/b/secret")).await), Outage::StoreKeyRefused);
    // Its own bucket does not hold the other's objects under their names either.
    let own = a.of("t/a/x").unwrap();
    assert!(matches!(own.get(&Path::from("t/b/secret")).await, Err(Error::NotFound { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_is_told_apart() {
    let Some(garage) = garage::start() else { return };
    let key = tenant(&garage, "a");
    let storage = open(&garage, &key);
    // A wrong secret, and a key that nobody knows.
    for wrong in [(key.0.clone(), "00".repeat(32)), ("GK000000000000000000000000".into(), key.1.clone())] {
        let wrong = open(&garage, &wrong);
        assert_eq!(told(put(&wrong, "t/a/x", b"x").await), Outage::StoreKeyRefused);
        assert_eq!(told(wrong.can_list("t/a").await), Outage::StoreKeyRefused);
    }
    assert_eq!(told(put(&storage, "t/nobody/x", b"x").await), Outage::StoreBucketMissing);
    assert_eq!(told(storage.can_list("t/nobody").await), Outage::StoreBucketMissing);
    let gone = get(&storage, "t/nobody/x").await.unwrap_err();
    assert!(!storage::is_missing(&gone) && storage::outage(&gone) == Outage::StoreBucketMissing, "{gone}");
    let missing = get(&storage, "t/a/none").await.unwrap_err();
    assert!(storage::is_missing(&missing), "{missing}");
    // Neither the address nor the words of an error hold the secret.
    assert!(!format!("{gone:?} {missing:?}").contains(&key.1));

    garage.told(&["bucket", "set-quotas", "--max-size", "10MiB", "house-a"]);
    put(&storage, "t/a/small", &vec![7; 1024 * 1024]).await.unwrap();
    assert_eq!(told(put(&storage, "t/a/large", &vec![7; LARGE]).await), Outage::StoreFull);
    assert!(storage::is_missing(&get(&storage, "t/a/large").await.unwrap_err()), "nothing is seen of what did not fit");

    let nowhere = Storage::open(&location("http://127.0.0.1:1"), Some(&StoreKey { access_key_id: key.0, secret_access_key: key.1 }), SHORT);
    assert_eq!(told(put(&nowhere.unwrap(), "t/a/x", b"x").await), Outage::StoreAway);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_says_nothing_is_given_up_in_time_and_one_that_comes_back_is_used_again() {
    let Some(garage) = garage::start() else { return };
    let key = tenant(&garage, "a");
    let storage = open_with(&garage, &key, SHORT);
    put(&storage, "t/a/x", b"x").await.unwrap();
    garage.freeze();
    let began = Instant::now();
    assert_eq!(told(put(&storage, "t/a/y", b"y").await), Outage::StoreAway);
    assert_eq!(told(get(&storage, "t/a/x").await), Outage::StoreAway);
    assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
    garage.thaw();
    put(&storage, "t/a/y", b"y").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_and_a_download_outlive_a_restart_of_the_store() {
    let Some(mut garage) = garage::start() else { return };
    let key = tenant(&garage, "a");
    let storage = open(&garage, &key);
    let bytes: Vec<u8> = (0..LARGE * 2).map(|i| (i % 251) as u8).collect();
    let (first, rest) = bytes.split_at(LARGE);
    let mut writer = storage.writer(&Path::from("t/a/large")).await.unwrap();
    writer.write(first).await.unwrap();
    garage.stop();
    let back = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        garage.run();
        garage
    });
    writer.write(rest).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), bytes.len() as u64);
    let garage = back.join().unwrap();
    assert!(get(&storage, "t/a/large").await.unwrap() == bytes);
    drop(garage);
}

/// As Garage counts uploads; it says nothing where there are none.
fn has_unfinished(garage: &Garage, bucket: &str) -> bool {
    garage.told(&["bucket", "info", bucket]).contains("Unfinished uploads:")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_seen_of_an_object_before_its_end_and_nothing_stays_of_one_that_has_none() {
    let Some(garage) = garage::start() else { return };
    let key = tenant(&garage, "a");
    let storage = open(&garage, &key);
    let begun = async |path: &str| -> Writer {
        let mut writer = storage.writer(&Path::from(path)).await.unwrap();
        writer.write(&vec![7; LARGE]).await.unwrap();
        writer
    };
    let whole = begun("t/a/whole").await;
    assert!(storage::is_missing(&get(&storage, "t/a/whole").await.unwrap_err()));
    assert!(has_unfinished(&garage, "house-a"));
    whole.finish().await.unwrap();
    assert_eq!(get(&storage, "t/a/whole").await.unwrap().len(), LARGE);
    // Of a writer that was killed only the store knows.
    std::mem::forget(begun("t/a/killed").await);
    let admin = GarageAdmin::new(&garage.admin, &garage.admin_token, None).unwrap();
    let bucket = admin.bucket("house-a").await.unwrap();
    assert_eq!(admin.remove_unfinished(&bucket, 3600).await.unwrap(), 0, "it may still be at work");
    assert_eq!(admin.remove_unfinished(&bucket, 0).await.unwrap(), 1);
    begun("t/a/aborted").await.abort().await;
    drop(begun("t/a/dropped").await);
    let deadline = Instant::now() + Duration::from_secs(30);
    while has_unfinished(&garage, "house-a") {
        assert!(Instant::now() < deadline, "{}", garage.told(&["bucket", "info", "house-a"]));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_and_keys_are_made_once_however_often_they_are_asked_for() {
    let Some(garage) = garage::start() else { return };
    let admin = GarageAdmin::new(&garage.admin, &garage.admin_token, None).unwrap();
    admin.answers().await.unwrap();
    let (bucket, key) = (admin.bucket("house-a").await.unwrap(), admin.key("house-a").await.unwrap());
    assert_eq!((&admin.bucket("house-a").await.unwrap(), &admin.key("house-a").await.unwrap()), (&bucket, &key));
    assert!(!key.secret_access_key.is_empty() && admin.key("house-b").await.unwrap() != key);
    let storage = Storage::open(&location(&garage.endpoint), Some(&key), Patience::TASK).unwrap();
    assert_eq!(told(put(&storage, "t/a/x", b"x").await), Outage::StoreKeyRefused);
    admin.allow(&bucket, &key.access_key_id, false).await.unwrap();
    storage.can_list("t/a").await.unwrap();
    assert_eq!(told(put(&storage, "t/a/x", b"x").await), Outage::StoreKeyRefused);
    admin.allow(&bucket, &key.access_key_id, true).await.unwrap();
    admin.allow(&bucket, &key.access_key_id, true).await.unwrap();
    put(&storage, "t/a/x", b"x").await.unwrap();
    let wrong = GarageAdmin::new(&garage.admin, "wrong", None).unwrap();
    assert!(matches!(wrong.answers().await, Err(storage::AdminError::TokenRefused)), "{:?}", wrong.answers().await);
    assert!(!format!("{admin:?}").contains(&garage.admin_token));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_behind_a_certificate_of_the_house_is_believed_with_its_authority_and_not_without() {
    let Some(garage) = garage::start() else { return };
    let key = tenant(&garage, "a");
    let key = StoreKey { access_key_id: key.0, secret_access_key: key.1 };
    let (endpoint, authority) = tls::before(&garage.endpoint).await;
    let with = |ca: Option<String>| {
        let ArtefactStore::S3 { region, bucket_prefix, path_style, .. } = location("") else { unreachable!() };
        ArtefactStore::S3 { endpoint: endpoint.clone(), region, bucket_prefix, path_style, ca }
    };
    let storage = Storage::open(&with(Some(authority)), Some(&key), Patience::TASK).unwrap();
    put(&storage, "t/a/large", &vec![7; LARGE]).await.unwrap();
    assert_eq!(get(&storage, "t/a/large").await.unwrap().len(), LARGE);
    let stranger = Storage::open(&with(None), Some(&key), SHORT).unwrap();
    assert_eq!(told(get(&stranger, "t/a/large").await), Outage::StoreAway);
    assert!(matches!(Storage::open(&with(Some("no PEM".into())), Some(&key), SHORT), Err(OpenError::BadAuthorities)));
    assert!(matches!(Storage::open(&with(None), None, SHORT), Err(OpenError::NoKey)));
}

mod tls {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use std::sync::Arc;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{ServerConfig, pki_types::PrivateKeyDer},
    };

    /// A listener with a certificate before a plain one: its address, and the authority that signed.
    pub async fn before(plain: &str) -> (String, String) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut house = CertificateParams::new(Vec::new()).unwrap();
        house.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let house = CertifiedIssuer::self_signed(house, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&key, &house).unwrap();
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![leaf.der().clone()], der).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let plain = plain.trim_start_matches("http://").to_owned();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, plain) = (acceptor.clone(), plain.clone());
                tokio::spawn(async move {
                    let Ok(mut outer) = acceptor.accept(stream).await else { return };
                    let mut inner = TcpStream::connect(plain).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        });
        (address, house.pem())
    }
}
