//! The built browser files under `/pkg/`, with cache headers; compressed copies beside them are sent to whoever can read them.

use crate::web::Web;
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::{path::PathBuf, time::UNIX_EPOCH};
use tokio_util::io::ReaderStream;

pub async fn file(State(web): State<Web>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let files = web.files();
    // A name with a digest always means the same bytes. A plain one means those of the last build, for whoever has no list to look into.
    let forever = files.names.values().any(|named| *named == path);
    let named = files.names.get(&path).unwrap_or(&path);
    match find(&web, named, &headers).await {
        Some(found) => found.answer(forever, &headers),
        None => (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "no-store")], "There is no such file.").into_response(),
    }
}

struct Found {
    open: tokio::fs::File,
    bytes: u64,
    etag: String,
    content_type: &'static str,
    brotli: bool,
}

async fn find(web: &Web, path: &str, headers: &HeaderMap) -> Option<Found> {
    // Only plain names: no way up, no hidden files, no absolute paths.
    let plain =
        |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !path.split('/').all(plain) {
        return None;
    }
    let file: PathBuf = web.config().site.join("pkg").join(path);
    let content_type = content_type(path)?;
    let reads_brotli = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.split(',').any(|e| e.trim().split(';').next() == Some("br")));
    if reads_brotli && let Some(found) = open(&PathBuf::from(format!("{}.br", file.display())), content_type, true).await {
        return Some(found);
    }
    open(&file, content_type, false).await
}

async fn open(file: &std::path::Path, content_type: &'static str, brotli: bool) -> Option<Found> {
    let open = tokio::fs::File::open(file).await.ok()?;
    let meta = open.metadata().await.ok().filter(std::fs::Metadata::is_file)?;
    let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    Some(Found {
        open,
        bytes: meta.len(),
        etag: format!("\"{:x}-{changed:x}{}\"", meta.len(), if brotli { "-br" } else { "" }),
        content_type,
        brotli,
    })
}

impl Found {
    fn answer(self, forever: bool, headers: &HeaderMap) -> Response {
        let cache = if forever { "public, max-age=31536000, immutable" } else { "public, no-cache" };
        let mut out = HeaderMap::new();
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        out.extend(HeaderValue::from_str(&self.etag).ok().map(|tag| (header::ETAG, tag)));
        if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == self.etag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, out).into_response();
        }
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        out.insert(header::CONTENT_LENGTH, HeaderValue::from(self.bytes));
        if self.brotli {
            out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
        }
        (out, Body::from_stream(ReaderStream::new(self.open))).into_response()
    }
}

/// Only what the build makes is served at all.
fn content_type(path: &str) -> Option<&'static str> {
    Some(match path.rsplit_once('.')?.1 {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}
