//! What stands between a request and its handler: credentials, misbehaviour, and the record.

use super::misbehaviour::{Endpoint, Fault};
use super::record::RequestRecord;
use super::shared::Shared;
use crate::server::Reset;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, IF_NONE_MATCH, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::io;
use std::sync::Arc;

/// Refuses a request that does not carry the SDK key.
pub(super) async fn require_sdk_key(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if text(request.headers(), &AUTHORIZATION).as_deref() == Some(&shared.options.sdk_key) {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, [(CONTENT_TYPE, "application/json")], r#"{"message":"invalid SDK key"}"#).into_response()
}

/// Records a request and does wrong what it was told to.
pub(super) async fn observe(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Some(endpoint) = Endpoint::of(request.uri().path()) else { return next.run(request).await };
    let mut record = RequestRecord {
        endpoint,
        method: request.method().to_string(),
        path: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        if_none_match: text(request.headers(), &IF_NONE_MATCH),
        user_agent: text(request.headers(), &USER_AGENT),
        status: 0,
    };
    let (delay, fault) = shared.misbehaviours.take(endpoint);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let is_reset = fault == Some(Fault::Reset);
    let response = answer(fault, endpoint, request, next).await;
    record.status = if is_reset { 0 } else { response.status().as_u16() };
    shared.requests.push(record);
    response
}

async fn answer(fault: Option<Fault>, endpoint: Endpoint, mut request: Request, next: Next) -> Response {
    match fault {
        None | Some(Fault::Delay { .. }) => next.run(request).await,
        Some(Fault::Status { status, retry_after }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = status.into_response();
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
        Some(Fault::Body { body }) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Some(Fault::Reset) => {
            if let Some(reset) = request.extensions().get::<Reset>() {
                reset.set();
            }
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Some(Fault::CutOff { after, chunked }) => {
            let response = next.run(request).await;
            // A stream has no length to promise.
            if chunked || endpoint == Endpoint::Stream {
                let (mut parts, body) = response.into_parts();
                parts.headers.remove(CONTENT_LENGTH);
                return Response::from_parts(parts, cut_off(body, after));
            }
            cut_off_short_of_its_length(response, after).await
        }
        Some(fault @ (Fault::Stale { .. } | Fault::NotModified)) => {
            request.extensions_mut().insert(fault);
            next.run(request).await
        }
    }
}

async fn cut_off_short_of_its_length(response: Response, after: usize) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    // A body that is short enough to be sent whole still has to end too early.
    let length = body.len().max(after + 1);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    Response::from_parts(parts, cut_off(Body::from(body), after))
}

/// The first bytes of a body, and then an error, at which the connection is closed. It does not
/// wait for more of the body than that: a stream may have none for long.
fn cut_off(body: Body, after: usize) -> Body {
    let start = Some((body.into_data_stream(), after));
    Body::from_stream(stream::unfold(start, async |position| {
        let (mut body, left) = position?;
        let chunk = if left == 0 { None } else { body.next().await.and_then(Result::ok) };
        let Some(chunk) = chunk else {
            // What went before is flushed meanwhile; the error would take it along.
            tokio::task::yield_now().await;
            return Some((Err(io::Error::from(io::ErrorKind::ConnectionAborted)), None));
        };
        let chunk: Bytes = chunk.slice(..chunk.len().min(left));
        let left = left - chunk.len();
        Some((Ok(chunk), Some((body, left))))
    }))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
