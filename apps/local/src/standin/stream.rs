//! `GET /all`: the payload and then every change, as server-sent events.
//!
//! Events as the SDKs' streaming mode reads them: `put` with everything, `patch` and `delete` with
//! the path of one item. A comment now and then keeps the connection from looking dead.

use super::environment::Edit;
use super::shared::{Push, Shared};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// The stream: everything, then every change.
pub(super) async fn all(State(shared): State<Arc<Shared>>) -> Response {
    let (payload, pushes) = shared.subscribe();
    let period = shared.options.heartbeat;
    let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = (Some(put_event(&payload.body)), pushes, heartbeat);
    let events = stream::unfold(start, |(first, pushes, heartbeat)| next(first, pushes, heartbeat));
    let headers = [(CONTENT_TYPE, "text/event-stream; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(events)).into_response()
}

/// What a stream goes on from: the first event while it is not sent, and where the rest come from.
type Position = (Option<Bytes>, Receiver<Push>, Interval);

async fn next(
    first: Option<Bytes>,
    mut pushes: Receiver<Push>,
    mut heartbeat: Interval,
) -> Option<(Result<Bytes, Infallible>, Position)> {
    let event = if let Some(event) = first {
        event
    } else {
        tokio::select! {
            push = pushes.recv() => match push {
                Ok(Push::Event(event)) => event,
                // Who lags too far behind has to begin anew.
                Ok(Push::Close) | Err(_) => return None,
            },
            _ = heartbeat.tick() => Bytes::from_static(b":\n\n"),
        }
    };
    Some((Ok(event), (None, pushes, heartbeat)))
}

/// The event that gives everything.
pub(super) fn put_event(payload: &[u8]) -> Bytes {
    event("put", &[br#"{"path":"/","data":"#, payload, b"}"])
}

/// The event for an edit; nothing where SDKs cannot see it.
pub(super) fn event_of(edit: &Edit) -> Option<Bytes> {
    let path = serde_json::Value::from(format!("/{}/{}", edit.kind.collection(), edit.key)).to_string();
    let (was_visible, is_visible) = edit.visibility();
    match &edit.after {
        Some(after) if is_visible => {
            let is_same = edit.before.as_ref().is_some_and(|before| Arc::ptr_eq(&before.raw, &after.raw));
            let data = after.raw.get().as_bytes();
            let write = || event("patch", &[b"{\"path\":", path.as_bytes(), b",\"data\":", data, b"}"]);
            (!is_same || !was_visible).then(write)
        }
        _ if was_visible => {
            let version = edit.version.to_string();
            Some(event("delete", &[b"{\"path\":", path.as_bytes(), b",\"version\":", version.as_bytes(), b"}"]))
        }
        _ => None,
    }
}

/// An event on the wire. JSON may be written over several lines; each is a `data` line then.
fn event(name: &str, data: &[&[u8]]) -> Bytes {
    let data = data.concat();
    let mut text = format!("event: {name}\n").into_bytes();
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.push(b'\n');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_over_several_lines_stays_one_event() {
        let text = event("put", &[b"{\n", b" 1\r\n}"]);
        assert_eq!(text, "event: put\ndata: {\ndata:  1\ndata: \ndata: }\n\n");
    }
}
