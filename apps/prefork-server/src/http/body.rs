//! A request's body, whole, within bounds of size and time.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

/// The longest body. A context may have 128 KB; a default comes beside it.
const MOST_BYTES: usize = 512 * 1024;

/// How long a client may take for it.
const WITHIN: Duration = Duration::from_secs(30);

/// Why there is no body.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: &'static str,
}

/// Reads the body to its end.
pub(super) async fn collect(body: Incoming) -> Result<Bytes, Refused> {
    match tokio::time::timeout(WITHIN, Limited::new(body, MOST_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refused {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            code: "too-large",
            message: "the body has more than 512 KB",
        }),
        Ok(Err(_)) => {
            Err(Refused { status: StatusCode::BAD_REQUEST, code: "bad-request", message: "the body was cut off" })
        }
        Err(_) => Err(Refused {
            status: StatusCode::REQUEST_TIMEOUT,
            code: "too-slow",
            message: "the body took longer than 30 seconds",
        }),
    }
}
