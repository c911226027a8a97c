//! Takes the progress that transformers posts by itself, and so does any image with a recent one. Its `KubeflowCallback` (5.6.0) posts to the
//! address in `KUBEFLOW_TRAINER_SERVER_URL`, with the token that lies in the file named by `KUBEFLOW_TRAINER_SERVER_TOKEN`: when a training
//! begins, after a step at most every five seconds, and when it ends. The address is one of this machine that nobody outside of it reaches.

mod course;

pub use course::{Course, Status};

use crate::failure::TaskError;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::AUTHORIZATION, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::{
    convert::Infallible,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

const PATH: &str = "/progress";
/// Bytes of one post; real ones have a few hundred.
const MOST_BYTES: usize = 64 * 1024;
/// Posts that are taken in a minute: transformers sends twelve.
const MOST_POSTS: u32 = 120;
const MINUTE: Duration = Duration::from_secs(60);
/// Connections at a time, and how long one may take.
const CONNECTIONS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(10);
/// Posts that wait to be read.
const WAITING: usize = 64;
/// Between two tries to take a connection.
const AGAIN: Duration = Duration::from_secs(1);

/// Listens until it is dropped.
pub struct Receiver {
    url: String,
    token_file: PathBuf,
    posts: mpsc::Receiver<Status>,
    listening: JoinHandle<()>,
}

impl Receiver {
    /// `folder`: where the token is put, for this user alone.
    pub async fn open(folder: &Path) -> Result<Self, TaskError> {
        let token = token().map_err(TaskError::io("making a token for the training’s progress"))?;
        let token_file = folder.join("progress.token");
        let doing = "writing the token for the training’s progress";
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&token_file).map_err(TaskError::io(doing))?;
        file.write_all(token.as_bytes()).map_err(TaskError::io(doing))?;
        let doing = "listening for the training’s progress";
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(TaskError::io(doing))?;
        let url = format!("http://{}{PATH}", listener.local_addr().map_err(TaskError::io(doing))?);
        let (tell, posts) = mpsc::channel(WAITING);
        let handler =
            Handler { expected: blake3::hash(format!("Bearer {token}").as_bytes()), tell, minute: Mutex::new((Instant::now(), 0)) };
        let listening = tokio::spawn(listen(listener, Arc::new(handler)));
        Ok(Self { url, token_file, posts, listening })
    }

    /// What the program is told. `of`: the variables that it has otherwise.
    pub fn environment(&self, of: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
        let mut out = vec![
            ("KUBEFLOW_TRAINER_SERVER_URL".to_owned(), self.url.clone()),
            ("KUBEFLOW_TRAINER_SERVER_TOKEN".to_owned(), self.token_file.to_string_lossy().into_owned()),
        ];
        // Python's urllib sends everything through the proxies that an image names, also what stays on this machine.
        for name in ["no_proxy", "NO_PROXY"] {
            let others = of(name).filter(|hosts| !hosts.is_empty()).map(|hosts| hosts + ",").unwrap_or_default();
            out.push((name.to_owned(), format!("{others}127.0.0.1")));
        }
        out
    }

    /// The next post. Safe to drop and call again.
    pub async fn next(&mut self) -> Status {
        match self.posts.recv().await {
            Some(status) => status,
            None => std::future::pending().await,
        }
    }

    /// What has come and was not read.
    pub fn rest(&mut self) -> Vec<Status> {
        std::iter::from_fn(|| self.posts.try_recv().ok()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// 256 bits from the operating system, hex.
fn token() -> io::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(blake3::Hash::from_bytes(bytes).to_hex().to_string())
}

/// Judges each post.
struct Handler {
    /// The hash of the header that is wanted: hashes are compared in the same time, wherever they differ.
    expected: blake3::Hash,
    tell: mpsc::Sender<Status>,
    /// Since when, and how many.
    minute: Mutex<(Instant, u32)>,
}

/// A post, as `KubeflowCallback._update_status` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Post {
    trainer_status: Status,
}

async fn listen(listener: TcpListener, handler: Arc<Handler>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        let Ok((connection, _)) = listener.accept().await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let handler = handler.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let handler = handler.clone();
            async move { Ok::<_, Infallible>(said(handler.answer(request).await)) }
        });
        let serve = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(connection), service);
        connections.spawn(async move { drop(tokio::time::timeout(PATIENCE, serve).await) });
        while connections.try_join_next().is_some() {}
    }
}

fn said(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(if status == StatusCode::OK { "{}" } else { "" }));
    *response.status_mut() = status;
    response
}

impl Handler {
    async fn answer(&self, request: Request<Incoming>) -> StatusCode {
        let sent = request.headers().get(AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
        if blake3::hash(sent) != self.expected {
            return StatusCode::UNAUTHORIZED;
        }
        if request.uri().path() != PATH {
            return StatusCode::NOT_FOUND;
        }
        if request.method() != Method::POST {
            return StatusCode::METHOD_NOT_ALLOWED;
        }
        if !self.has_room() {
            return StatusCode::TOO_MANY_REQUESTS;
        }
        let Ok(body) = Limited::new(request.into_body(), MOST_BYTES).collect().await else { return StatusCode::PAYLOAD_TOO_LARGE };
        let Ok(Post { trainer_status }) = serde_json::from_slice(&body.to_bytes()) else { return StatusCode::BAD_REQUEST };
        match self.tell.try_send(trainer_status) {
            Ok(()) => StatusCode::OK,
            Err(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn has_room(&self) -> bool {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.0.elapsed() >= MINUTE {
            *minute = (Instant::now(), 0);
        }
        minute.1 = minute.1.saturating_add(1);
        minute.1 <= MOST_POSTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    const STATUS: &str = r#"{"trainerStatus": {"progressPercentage": 0, "metrics": [{"name": "total_steps", "value": "8"}]}}"#;

    async fn open() -> (Receiver, tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let receiver = Receiver::open(folder.path()).await.unwrap();
        let token = std::fs::read_to_string(&receiver.token_file).unwrap();
        (receiver, folder, token)
    }

    /// Bytes to the receiver; the status of its answer, 0 = none.
    async fn raw(receiver: &Receiver, bytes: &[u8]) -> u16 {
        let address = receiver.url.strip_prefix("http://").unwrap().strip_suffix(PATH).unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may answer, and close, before all was sent.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    async fn post(receiver: &Receiver, line: &str, authorization: &str, body: &str) -> u16 {
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\ncontent-length: {}\r\n\r\n", body.len());
        raw(receiver, format!("{head}{body}").as_bytes()).await
    }

    #[tokio::test]
    async fn only_who_has_the_token_may_post_and_nobody_else_learns_anything() {
        let (mut receiver, _folder, token) = open().await;
        let bearer = format!("Bearer {token}");
        for wrong in [
            "",
            "Bearer ",
            "Bearer none",
            &token,
            &format!("Bearer {}", &token[1..]),
            &format!("Bearer {token}0"),
            &format!("bearer {token}"),
        ] {
            for line in ["POST /progress", "GET /progress", "POST /elsewhere"] {
                assert_eq!(post(&receiver, line, wrong, STATUS).await, 401, "{line} {wrong:?}");
            }
        }
        assert_eq!(post(&receiver, "POST /elsewhere", &bearer, STATUS).await, 404);
        assert_eq!(post(&receiver, "GET /progress", &bearer, "").await, 405);
        assert_eq!(receiver.rest().len(), 0);
        assert_eq!(post(&receiver, "POST /progress", &bearer, STATUS).await, 200);
        assert_eq!(receiver.rest().len(), 1);
        let (other, _other_folder, others) = open().await;
        assert_ne!(others, token);
        assert_eq!(post(&other, "POST /progress", &bearer, STATUS).await, 401, "of another task of this machine");
    }

    #[tokio::test]
    async fn the_token_is_for_this_user_alone_and_a_proxy_of_the_image_does_not_get_it() {
        use std::os::unix::fs::PermissionsExt;
        let (receiver, _folder, _) = open().await;
        assert_eq!(std::fs::metadata(&receiver.token_file).unwrap().permissions().mode() & 0o777, 0o600);
        let told = receiver.environment(|name| (name == "no_proxy").then(|| "intern.example".to_owned()));
        assert!(told.contains(&("no_proxy".into(), "intern.example,127.0.0.1".into())), "{told:?}");
        assert!(told.contains(&("NO_PROXY".into(), "127.0.0.1".into())), "{told:?}");
    }

    #[tokio::test]
    async fn what_is_no_post_of_transformers_is_refused_and_too_much_too() {
        let (mut receiver, _folder, token) = open().await;
        let bearer = format!("Bearer {token}");
        let bad = [
            "",
            "null",
            "[]",
            "{}",
            "\u{0}",
            r#"{"trainerStatus": 1}"#,
            r#"{"trainerStatus": {"metrics": {"loss": 1}}}"#,
            "{\"trainerStatus\": NaN}",
        ];
        for body in bad {
            assert_eq!(post(&receiver, "POST /progress", &bearer, body).await, 400, "{body:?}");
        }
        assert_eq!(post(&receiver, "POST /progress", &bearer, &"[".repeat(60_000)).await, 400, "deep");
        assert_eq!(post(&receiver, "POST /progress", &bearer, &"x".repeat(MOST_BYTES + 1)).await, 413);
        assert_eq!(receiver.rest().len(), 0);
        let mut last = 200;
        for _ in 0..MOST_POSTS {
            last = post(&receiver, "POST /progress", &bearer, STATUS).await;
        }
        assert_eq!((last, receiver.rest().len()), (429, WAITING), "what nobody reads is not kept");
        assert_eq!(post(&receiver, "POST /progress", &bearer, STATUS).await, 429, "a minute has so many");
        assert_eq!(post(&receiver, "POST /progress", "Bearer none", STATUS).await, 401);
    }

    #[tokio::test]
    async fn connections_that_say_nothing_do_not_shut_others_out_for_long() {
        let (receiver, _folder, token) = open().await;
        let address = receiver.url.strip_prefix("http://").unwrap().strip_suffix(PATH).unwrap();
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let began = Instant::now();
        assert_eq!(post(&receiver, "POST /progress", &format!("Bearer {token}"), STATUS).await, 200);
        assert!(began.elapsed() < PATIENCE * 2, "{:?}", began.elapsed());
    }
}
