//! `GET /sdk/latest-all` and single items, as server-side SDKs in polling mode ask for them.

use super::item::ItemKind;
use super::misbehaviour::Fault;
use super::shared::Shared;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::sync::Arc;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The whole payload, or 304 where the client has it.
pub(super) async fn latest_all(
    State(shared): State<Arc<Shared>>,
    fault: Option<Extension<Fault>>,
    headers: HeaderMap,
) -> Response {
    let fault = fault.map(|Extension(fault)| fault);
    let payload = match fault {
        Some(Fault::Stale { changes }) => shared.payload_before(changes),
        _ => shared.payload(),
    };
    if fault == Some(Fault::NotModified) || is_known(&headers, &payload.etag) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, payload.etag.clone())]).into_response();
    }
    let described = [(CONTENT_TYPE, JSON), (VARY, HeaderValue::from_static("accept-encoding"))];
    let etag = [(ETAG, payload.etag.clone())];
    if accepts_gzip(&headers) {
        let encoded = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        return (described, etag, encoded, payload.gzip()).into_response();
    }
    (described, etag, payload.body.clone()).into_response()
}

/// One flag.
pub(super) async fn flag(State(shared): State<Arc<Shared>>, Path(key): Path<String>) -> Response {
    item(&shared, ItemKind::Flag, &key)
}

/// One segment.
pub(super) async fn segment(State(shared): State<Arc<Shared>>, Path(key): Path<String>) -> Response {
    item(&shared, ItemKind::Segment, &key)
}

fn item(shared: &Shared, kind: ItemKind, key: &str) -> Response {
    match shared.environment().item(kind, key).filter(|item| !item.is_archived) {
        Some(item) => ([(CONTENT_TYPE, JSON)], item.raw.get().to_owned()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known.strip_prefix("W/").unwrap_or(known) == etag
    })
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        ["gzip", "*"].contains(&name.trim()) && !is_refused
    })
}
