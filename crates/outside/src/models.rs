//! `GET /v1/models`: which models a server has, and so whether it is there.

use crate::Outside;
use bytes::Bytes;
use domain::{external::Listed, reason::endpoint::OutsideTrouble};
use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// How long a server may take to list its models.
const PATIENCE: Duration = Duration::from_secs(10);
/// A list of models is some kilobytes.
const MOST_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct List {
    data: Vec<Entry>,
}

/// OpenAI's entry, with what vLLM (`max_model_len`) and others tell of the context.
#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default, alias = "context_length", alias = "context_window")]
    max_model_len: Option<u32>,
}

impl Outside {
    /// The models of the server at this address (without `/v1`), and the milliseconds until its answer.
    pub async fn models(&self, address: &str, key: Option<&str>) -> Result<(Vec<Listed>, u32), OutsideTrouble> {
        let asked = Request::get(format!("{address}/v1/models")).header(header::ACCEPT, "application/json");
        let request = asked.body(Full::<Bytes>::default()).map_err(|_| OutsideTrouble::NoSuchHost)?;
        let began = Instant::now();
        let asking = async {
            let answer = self.send(request, key).await?;
            match answer.status().as_u16() {
                200..=299 => {}
                300..=399 => return Err(OutsideTrouble::Redirects),
                401 | 403 => return Err(OutsideTrouble::KeyRefused),
                status => return Err(OutsideTrouble::Refuses { status }),
            }
            let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await.map_err(|_| OutsideTrouble::Garbled)?;
            let list: List = serde_json::from_slice(&body.to_bytes()).map_err(|_| OutsideTrouble::Garbled)?;
            Ok(list.data.into_iter().map(|m| Listed { id: m.id, context: m.max_model_len.unwrap_or(0) }).collect())
        };
        let listed = tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Err(OutsideTrouble::Silent { seconds: PATIENCE.as_secs() }))?;
        Ok((listed, u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX)))
    }
}
