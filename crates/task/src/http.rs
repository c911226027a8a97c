//! Calls to the model server beside us: plain HTTP on this machine, one connection a call.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use std::time::Duration;

#[derive(Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    /// `http://127.0.0.1:43121`
    base: String,
}

/// Status and body, or why there is none.
pub type Answer = Result<(u16, String), String>;

impl Http {
    pub fn to(port: u16) -> Self {
        // No pool: a connection that is kept breaks when the server is replaced, and these calls are few.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { client, base: format!("http://127.0.0.1:{port}") }
    }

    pub async fn get(&self, path: &str, at_most: Duration) -> Answer {
        self.send(hyper::Request::get(format!("{}{path}", self.base)).body(Full::default()), at_most).await
    }

    pub async fn post(&self, path: &str, body: &Value, at_most: Duration) -> Answer {
        let request = hyper::Request::post(format!("{}{path}", self.base)).header("content-type", "application/json");
        self.send(request.body(Full::from(body.to_string())), at_most).await
    }

    async fn send(&self, request: Result<hyper::Request<Full<Bytes>>, hyper::http::Error>, at_most: Duration) -> Answer {
        let call = async {
            let response = self.client.request(request.map_err(|e| e.to_string())?).await.map_err(|e| e.to_string())?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        tokio::time::timeout(at_most, call).await.unwrap_or_else(|_| Err(format!("no answer within {} s", at_most.as_secs())))
    }
}
