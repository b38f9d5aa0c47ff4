//! The polling endpoint of LaunchDarkly and nothing else: answers every request with the payload.
//!
//! For measuring, where the stand-in's compression would be counted to whoever asks.

use crate::loopback::{Answer, Request, Server};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// A running endpoint. Dropping it closes its connections.
#[derive(Debug)]
pub struct PayloadSource {
    server: Server,
    current: Arc<Mutex<Current>>,
}

#[derive(Debug, Default)]
struct Current {
    payload: Bytes,
    number: usize,
    requests: (u32, u32),
}

impl PayloadSource {
    /// Serves `payload` on a free port.
    pub async fn start(payload: String) -> io::Result<Self> {
        let current = Arc::new(Mutex::new(Current { payload: payload.into(), ..Current::default() }));
        let state = Arc::clone(&current);
        let server = Server::start(move |request| {
            let mut current = state.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = answer(&request, &current);
            current.requests.0 += 1;
            current.requests.1 += u32::from(answer.status == StatusCode::NOT_MODIFIED);
            async move { Ok(answer) }
        })
        .await?;
        Ok(Self { server, current })
    }

    /// Serves another payload from now on.
    pub fn set(&self, payload: String) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Current { payload: payload.into(), number: current.number + 1, ..*current };
    }

    /// How many requests there were, and how many of them were answered with 304.
    pub fn requests(&self) -> (u32, u32) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).requests
    }

    /// The variables by which programs find it.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        [
            ("LAUNCHDARKLY_BASE_URI", format!("http://{}", self.server.address())),
            ("LAUNCHDARKLY_SDK_KEY", "sdk-00000000-0000-0000-0000-000000000000".to_owned()),
        ]
    }
}

fn answer(request: &Request, now: &Current) -> Answer {
    let etag = format!("\"{}\"", now.number);
    let known = request.headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == etag);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Digits between quotes are always a valid header value.
    headers.extend(HeaderValue::try_from(etag).map(|etag| (header::ETAG, etag)));
    let (status, body) =
        if known { (StatusCode::NOT_MODIFIED, Bytes::new()) } else { (StatusCode::OK, now.payload.clone()) };
    Answer { status, headers, body }
}
