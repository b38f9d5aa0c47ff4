//! `POST /bulk` and `/diagnostic`: takes the events that SDKs send, and keeps them.

use super::record::Recorded;
use super::shared::Shared;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::io::Read;
use std::sync::Arc;

/// Analytics events, an array of them at a time.
pub(super) async fn bulk(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    keep(&shared.events, &headers, &body)
}

/// A diagnostic event.
pub(super) async fn diagnostic(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    keep(&shared.diagnostics, &headers, &body)
}

fn keep(kept: &Recorded<Value>, headers: &HeaderMap, body: &[u8]) -> Response {
    let is_gzip = headers.get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
    let mut text = Vec::new();
    let read = if is_gzip { GzDecoder::new(body).read_to_end(&mut text) } else { (&mut &*body).read_to_end(&mut text) };
    match read.ok().and_then(|_| serde_json::from_slice(&text).ok()) {
        Some(Value::Array(events)) => kept.extend(events),
        Some(event @ Value::Object(_)) => kept.push(event),
        _ => return (StatusCode::BAD_REQUEST, "not an event or an array of events").into_response(),
    }
    StatusCode::ACCEPTED.into_response()
}
