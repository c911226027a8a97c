//! What a store means by its refusals. Folders speak by kinds of errors, S3 by codes in XML, which compatible stores use a little
//! differently: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.

use domain::{causes::causes, problem::Outage};
use object_store::Error;
use std::io::ErrorKind::{QuotaExceeded, StorageFull};

/// `QuotaExceeded` is Ceph's, the `XMinio...` are MinIO's.
const FULL: [&str; 5] =
    ["QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "XMinioStorageQuotaExceeded"];

/// What it means for whoever asked: one of the outages of the store.
pub fn outage(error: &Error) -> Outage {
    let io = causes(error).find_map(|cause| cause.downcast_ref::<std::io::Error>());
    if io.is_some_and(|io| matches!(io.kind(), StorageFull | QuotaExceeded)) {
        return Outage::StoreFull;
    }
    let said = causes(error).map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let code = code(&said);
    // Garage refuses with AccessDenied and says in words that a quota is reached.
    if code.is_some_and(|code| FULL.contains(&code)) || said.contains("507 Insufficient") || said.contains("quota is reached") {
        return Outage::StoreFull;
    }
    match (code, error) {
        (Some("NoSuchBucket"), _) => Outage::StoreBucketMissing,
        (_, Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) => Outage::StoreKeyRefused,
        (Some("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AccessDenied" | "Forbidden"), _) => Outage::StoreKeyRefused,
        _ => Outage::StoreAway,
    }
}

/// Whether an object is not there. S3 answers 404 for a missing bucket as well.
pub fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && outage(error) != Outage::StoreBucketMissing
}

fn code(said: &str) -> Option<&str> {
    let (_, after) = said.split_once("<Code>")?;
    Some(after.split_once("</Code>")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(xml: &str) -> Outage {
        outage(&Error::Generic { store: "S3", source: format!("Server returned non-2xx status code: {xml}").into() })
    }

    #[test]
    fn each_refusal_of_each_kind_of_store_is_what_it_is() {
        let coded = |code: &str| of(&format!("403 Forbidden: <Error><Code>{code}</Code><Message>no</Message></Error>"));
        for full in FULL {
            assert_eq!(coded(full), Outage::StoreFull, "{full}");
        }
        let garage = "403 Forbidden: <Error><Code>AccessDenied</Code><Message>Forbidden: Bucket size quota is reached</Message></Error>";
        assert_eq!(of(garage), Outage::StoreFull);
        assert_eq!(of("507 Insufficient Storage: "), Outage::StoreFull);
        for refused in ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"] {
            assert_eq!(coded(refused), Outage::StoreKeyRefused, "{refused}");
        }
        assert_eq!(coded("NoSuchBucket"), Outage::StoreBucketMissing);
        assert_eq!((coded("InternalError"), of("500")), (Outage::StoreAway, Outage::StoreAway));
        // A question for the head of an object is answered without words.
        let head = Error::PermissionDenied { path: "x".into(), source: "403 Forbidden: ".into() };
        assert_eq!(outage(&head), Outage::StoreKeyRefused);
    }

    #[test]
    fn a_missing_bucket_is_not_a_missing_object() {
        let gone = |xml: &str| Error::NotFound { path: "x".into(), source: format!("404 Not Found: {xml}").into() };
        assert!(is_missing(&gone("<Code>NoSuchKey</Code>")) && is_missing(&gone("")));
        assert!(!is_missing(&gone("<Code>NoSuchBucket</Code>")));
    }

    #[test]
    fn a_full_disk_is_full_however_deep_it_is_said() {
        for kind in [StorageFull, QuotaExceeded] {
            let source = Box::new(std::io::Error::new(kind, "no room"));
            assert_eq!(outage(&Error::Generic { store: "local", source }), Outage::StoreFull);
        }
        assert_eq!(outage(&Error::Generic { store: "local", source: "no".into() }), Outage::StoreAway);
    }
}
