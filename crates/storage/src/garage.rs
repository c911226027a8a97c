//! Garage's admin API, version 2, as far as the portal uses it: buckets and keys of tenants. Everything may be asked twice.
//! <https://garagehq.deuxfleurs.fr/api/garage-admin-v2.html>

use crate::{OpenError, Patience, s3};
use domain::artefacts::StoreKey;
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// All of it are small questions.
const PATIENCE: Patience = Patience { silence: Duration::from_secs(10), ..Patience::PORTAL };
/// Of what it says of a refusal, characters.
const MESSAGE: usize = 300;

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("Garage’s admin API does not answer: {0}")]
    Away(#[from] reqwest::Error),
    #[error("Garage’s admin API does not accept the token")]
    TokenRefused,
    #[error("Garage refuses ({status}): {message}")]
    Refused { status: u16, message: String },
}

/// Who makes buckets and keys.
#[derive(Clone)]
pub struct GarageAdmin {
    /// `http://garage:3903`, no slash at the end.
    url: String,
    token: String,
    client: Client,
}

impl std::fmt::Debug for GarageAdmin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GarageAdmin({}, hidden)", self.url)
    }
}

#[derive(Deserialize)]
struct Bucket {
    id: String,
}

#[derive(Deserialize)]
struct KeyName {
    id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    access_key_id: String,
    secret_access_key: Option<String>,
}

impl GarageAdmin {
    /// `ca`: certificate authorities that are believed beside the system's, PEM.
    pub fn new(url: &str, token: &str, ca: Option<&str>) -> Result<Self, OpenError> {
        Ok(Self { url: url.trim_end_matches('/').to_owned(), token: token.to_owned(), client: s3::client(ca, PATIENCE)? })
    }

    /// Whether it answers and accepts the token.
    pub async fn answers(&self) -> Result<(), AdminError> {
        self.ask(Method::GET, "GetClusterHealth", None).await.map(drop)
    }

    /// The id of the bucket of this name; made if there is none.
    pub async fn bucket(&self, name: &str) -> Result<String, AdminError> {
        let found = match self.ask(Method::GET, &format!("GetBucketInfo?globalAlias={name}"), None).await {
            Err(AdminError::Refused { status: 404, .. }) => {
                match self.ask(Method::POST, "CreateBucket", Some(json!({ "globalAlias": name }))).await {
                    // Somebody else was quicker.
                    Err(AdminError::Refused { status: 409, .. }) => {
                        self.ask(Method::GET, &format!("GetBucketInfo?globalAlias={name}"), None).await?
                    }
                    made => made?,
                }
            }
            found => found?,
        };
        Ok(read::<Bucket>(found)?.id)
    }

    /// The key of this name; made if there is none.
    pub async fn key(&self, name: &str) -> Result<StoreKey, AdminError> {
        match self.keys(name).await?.first() {
            Some(known) => self.key_of_id(known).await,
            None => self.another_key(name).await,
        }
    }

    /// The ids of all keys of this name.
    pub async fn keys(&self, name: &str) -> Result<Vec<String>, AdminError> {
        let keys: Vec<KeyName> = read(self.ask(Method::GET, "ListKeys", None).await?)?;
        Ok(keys.into_iter().filter(|key| key.name == name).map(|key| key.id).collect())
    }

    /// A further key of this name. Asked twice, it makes two.
    pub async fn another_key(&self, name: &str) -> Result<StoreKey, AdminError> {
        whole(self.ask(Method::POST, "CreateKey", Some(json!({ "name": name }))).await?)
    }

    /// The key of this id, which is there.
    pub async fn key_of_id(&self, id: &str) -> Result<StoreKey, AdminError> {
        whole(self.ask(Method::GET, &format!("GetKeyInfo?id={id}&showSecretKey=true"), None).await?)
    }

    /// Ends a key. Fine where it is not there.
    pub async fn remove_key(&self, id: &str) -> Result<(), AdminError> {
        missing_is_fine(self.ask(Method::POST, &format!("DeleteKey?id={id}"), None).await)
    }

    /// Lets a key read a bucket, and write it or not.
    pub async fn allow(&self, bucket: &str, access_key_id: &str, write: bool) -> Result<(), AdminError> {
        let permissions = json!({ "read": true, "write": write, "owner": false });
        let asked = json!({ "bucketId": bucket, "accessKeyId": access_key_id, "permissions": permissions });
        self.ask(Method::POST, "AllowBucketKey", Some(asked)).await.map(drop)
    }

    /// Takes away the bucket of this name, which must be empty, and the key of this name. Fine where they are not there.
    pub async fn remove(&self, name: &str) -> Result<(), AdminError> {
        match self.ask(Method::GET, &format!("GetBucketInfo?globalAlias={name}"), None).await {
            Ok(found) => {
                let id = read::<Bucket>(found)?.id;
                self.remove_unfinished(&id, 0).await?;
                missing_is_fine(self.ask(Method::POST, &format!("DeleteBucket?id={id}"), None).await)?;
            }
            Err(AdminError::Refused { status: 404, .. }) => {}
            Err(e) => return Err(e),
        }
        for key in self.keys(name).await? {
            self.remove_key(&key).await?;
        }
        Ok(())
    }

    /// Takes away what killed writers left of objects that they never finished, if they began so many seconds ago. Returns how many.
    pub async fn remove_unfinished(&self, bucket: &str, older_than: u64) -> Result<u64, AdminError> {
        let asked = json!({ "bucketId": bucket, "olderThanSecs": older_than });
        let answer = self.ask(Method::POST, "CleanupIncompleteUploads", Some(asked)).await?;
        Ok(answer["uploadsDeleted"].as_u64().unwrap_or_default())
    }

    async fn ask(&self, method: Method, what: &str, body: Option<Value>) -> Result<Value, AdminError> {
        let mut request = self.client.request(method, format!("{}/v2/{what}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = answer.status();
        let body: Value = match answer.json().await {
            // What is refused may be refused without JSON.
            Err(e) if status.is_success() => return Err(AdminError::Away(e.without_url())),
            body => body.unwrap_or_default(),
        };
        match status {
            status if status.is_success() => Ok(body),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(AdminError::TokenRefused),
            status => {
                let message = body["message"].as_str().unwrap_or("no reason is given").chars().take(MESSAGE).collect();
                Err(AdminError::Refused { status: status.as_u16(), message })
            }
        }
    }
}

/// What was to go and is not there, is gone.
fn missing_is_fine(answer: Result<Value, AdminError>) -> Result<(), AdminError> {
    match answer {
        Ok(_) | Err(AdminError::Refused { status: 404, .. }) => Ok(()),
        Err(e) => Err(e),
    }
}

fn whole(answer: Value) -> Result<StoreKey, AdminError> {
    let Key { access_key_id, secret_access_key } = read(answer)?;
    Ok(StoreKey { access_key_id, secret_access_key: secret_access_key.unwrap_or_default() })
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, AdminError> {
    // Not the parser's words: the answer may hold a secret.
    serde_json::from_value(answer)
        .map_err(|_| AdminError::Refused { status: 200, message: "its answer cannot be read; another version of Garage?".into() })
}
