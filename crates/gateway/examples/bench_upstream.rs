//! A double of a model server for the benchmark: as little work as HTTP allows, on one thread.
//!
//! `bench_upstream ADDRESS`. A body with `"stream":true` gets 64 chunks, a usage chunk and `[DONE]`, with 20 ms between
//! chunks (`PACE_MS` changes that); everything else gets the same 350 bytes of JSON.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{Request, Response, body::Frame, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, time::Duration};

const ANSWER: &[u8] = br#"{"id":"chatcmpl-0123456789abcdef","object":"chat.completion","created":1700000000,"model":"tuned","choices":[{"index":0,"message":{"role":"assistant","content":"The printer is on the second floor, next to the kitchen, behind the plants."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"total_tokens":40,"completion_tokens":16}}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:4100".into());
    let pace = std::env::var("PACE_MS").ok().and_then(|p| p.parse().ok()).unwrap_or(20);
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(socket), service_fn(move |request| answer(request, Duration::from_millis(pace))));
        tokio::spawn(connection);
    }
}

async fn answer(request: Request<Incoming>, pace: Duration) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let streams = body.windows(13).any(|w| w == br#""stream":true"#);
    if !streams {
        let mut response = Response::new(Full::new(Bytes::from_static(ANSWER)).boxed());
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        return Ok(response);
    }
    let chunks = futures::stream::unfold(0, move |number| async move {
        let chunk = match number {
            0..64 => format!(
                r#"data: {{"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000000,"model":"tuned","choices":[{{"index":0,"delta":{{"content":" word{number}"}},"logprobs":null,"finish_reason":null}}]}}"#
            ),
            64 => r#"data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000000,"model":"tuned","choices":[],"usage":{"prompt_tokens":24,"total_tokens":88,"completion_tokens":64}}"#.to_owned(),
            65 => "data: [DONE]".to_owned(),
            _ => return None,
        };
        if number > 0 {
            tokio::time::sleep(pace).await;
        }
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(chunk + "\n\n"))), number + 1))
    });
    let mut response = Response::new(StreamBody::new(chunks).boxed());
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream"));
    Ok(response)
}
