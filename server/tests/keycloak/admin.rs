//! A realm in the real Keycloak, and its admin REST API, by which tests change people, groups and the client.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Realm {
    /// Of Keycloak.
    address: String,
    pub name: String,
    http: reqwest::Client,
}

impl Realm {
    pub async fn create(address: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let name = format!("realm-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let me = Self { address: address.into(), name, http };
        let mut realm: Value = serde_json::from_str(testing::keycloak::REALM).unwrap();
        realm["realm"] = json!(me.name);
        me.ask("POST", "/admin/realms", Some(realm)).await;
        me
    }

    pub fn issuer(&self) -> String {
        self.issuer_at(&self.address)
    }

    /// A path on this Keycloak as an address.
    pub fn at(&self, path: &str) -> String {
        if path.starts_with('/') { format!("{}{path}", self.address) } else { path.to_owned() }
    }

    /// The same realm, at another address of this Keycloak.
    pub fn issuer_at(&self, address: &str) -> String {
        format!("{address}/realms/{}", self.name)
    }

    /// Below the realm; must succeed. The answer as JSON, null when it is empty.
    pub async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        self.ask(method, &format!("/admin/realms/{}{path}", self.name), body).await
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        // It is good for a minute: one for each question is the simplest.
        let asked = [("grant_type", "password"), ("client_id", "admin-cli"), ("username", "admin"), ("password", "admin")];
        let token = format!("{}/realms/master/protocol/openid-connect/token", self.address);
        let token: Value = self
            .http
            .post(token)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(crate::encoded(&asked))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let mut request = self
            .http
            .request(method.parse().unwrap(), format!("{}{path}", self.address))
            .bearer_auth(token["access_token"].as_str().unwrap());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// The portal's client, as the admin API gives it.
    pub async fn client(&self) -> Value {
        self.admin("GET", "/clients?clientId=atelier", None).await[0].clone()
    }

    /// The portal's client, changed.
    pub async fn change_client(&self, change: impl FnOnce(&mut Value)) {
        let mut client = self.client().await;
        change(&mut client);
        self.admin("PUT", &format!("/clients/{}", client["id"].as_str().unwrap()), Some(client)).await;
    }

    /// Takes this mapper (`groups`, `audience`) away from the client.
    pub async fn remove_mapper(&self, name: &str) {
        let client = self.client().await;
        let mapper = client["protocolMappers"].as_array().unwrap().iter().find(|m| m["name"] == name).unwrap()["id"].clone();
        let path = format!("/clients/{}/protocol-mappers/models/{}", client["id"].as_str().unwrap(), mapper.as_str().unwrap());
        self.admin("DELETE", &path, None).await;
    }

    /// The id of a person: the subject in tokens.
    pub async fn person(&self, login: &str) -> String {
        self.admin("GET", &format!("/users?exact=true&username={login}"), None).await[0]["id"].as_str().unwrap().to_owned()
    }

    pub async fn enable(&self, login: &str, enabled: bool) {
        let person = self.person(login).await;
        let mut user = self.admin("GET", &format!("/users/{person}"), None).await;
        user["enabled"] = json!(enabled);
        self.admin("PUT", &format!("/users/{person}"), Some(user)).await;
    }

    /// The id of the group at this path: `atelier/lumenta/owner`.
    pub async fn group(&self, path: &str) -> String {
        self.admin("GET", &format!("/group-by-path/{path}"), None).await["id"].as_str().unwrap().to_owned()
    }

    pub async fn join(&self, login: &str, group: &str) {
        let path = format!("/users/{}/groups/{}", self.person(login).await, self.group(group).await);
        self.admin("PUT", &path, None).await;
    }

    pub async fn leave(&self, login: &str, group: &str) {
        let path = format!("/users/{}/groups/{}", self.person(login).await, self.group(group).await);
        self.admin("DELETE", &path, None).await;
    }

    /// Ends every session of the person there, as the admin's button does.
    pub async fn sign_out(&self, login: &str) {
        let person = self.person(login).await;
        self.admin("POST", &format!("/users/{person}/logout"), None).await;
    }

    /// The service account of the portal's client may not see people any more.
    pub async fn take_view_users(&self) {
        let management = self.admin("GET", "/clients?clientId=realm-management", None).await[0]["id"].as_str().unwrap().to_owned();
        let role = self.admin("GET", &format!("/clients/{management}/roles/view-users"), None).await;
        let person = self.person("service-account-atelier").await;
        self.admin("DELETE", &format!("/users/{person}/role-mappings/clients/{management}"), Some(json!([role]))).await;
    }

    /// What the portal's client gets for itself (its service account).
    pub async fn tokens_of_the_client(&self) -> Value {
        self.tokens_of("atelier", "atelier").await
    }

    /// What a client gets for itself.
    pub async fn tokens_of(&self, client: &str, secret: &str) -> Value {
        let asked = [("grant_type", "client_credentials"), ("client_id", client), ("client_secret", secret)];
        let request = self.http.post(format!("{}/protocol/openid-connect/token", self.issuer()));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(crate::encoded(&asked));
        request.send().await.unwrap().json().await.unwrap()
    }
}
