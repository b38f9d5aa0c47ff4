//! The Lambda Runtime API of one process.
//!
//! Paths, headers and answers: Lambda developer guide, "Using the Lambda runtime API for custom
//! runtimes", version 2018-06-01. Each process has a server of its own, so that which process asks
//! is never a question.

use super::error::FunctionError;
use crate::server::Server;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};

/// The largest answer that Lambda takes: 6 MB and a little.
const LARGEST_ANSWER: usize = 6_291_556;
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";

/// How far a process has come.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    Starting,
    /// It has asked for its first invocation, at this moment.
    Ready(Instant),
    /// It has said that it cannot start.
    Failed(FunctionError),
}

/// What a function made of an event.
pub(super) type Answer = Result<Bytes, FunctionError>;

struct Invocation {
    id: String,
    event: Bytes,
    limit: Duration,
}

struct Shared {
    arn: String,
    invocations: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    pending: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    stage: watch::Sender<Stage>,
}

/// The server that a process asks for its invocations.
pub(super) struct RuntimeApi {
    server: Server,
    shared: Arc<Shared>,
    queue: mpsc::UnboundedSender<Invocation>,
}

impl RuntimeApi {
    pub(super) async fn start(arn: String) -> std::io::Result<Self> {
        let (queue, invocations) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            arn,
            invocations: invocations.into(),
            pending: Mutex::default(),
            stage: watch::Sender::new(Stage::Starting),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .with_state(shared.clone());
        Ok(Self { server: Server::start_on_free_port(router).await?, shared, queue })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(super) fn stage(&self) -> watch::Receiver<Stage> {
        self.shared.stage.subscribe()
    }

    /// Hands `event` to the process when it asks next; its answer comes on the channel, which
    /// closes without one if the API ends.
    pub(super) fn invoke(&self, event: Bytes, limit: Duration) -> oneshot::Receiver<Answer> {
        let (sender, answer) = oneshot::channel();
        let id = request_id();
        self.shared.pending().insert(id.clone(), sender);
        // The receiver lives in `shared`, as long as `self`.
        let _ = self.queue.send(Invocation { id, event, limit });
        answer
    }
}

impl Shared {
    fn pending(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Answer>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, id: &str, answer: Answer) -> Response {
        match self.pending().remove(id) {
            Some(sender) => {
                // An invoker that gave up hears nothing, and the function need not know.
                let _ = sender.send(answer);
                accepted()
            }
            None => refused(StatusCode::BAD_REQUEST, "InvalidRequestID", "no such invocation, or already answered"),
        }
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    shared.stage.send_if_modified(|stage| {
        let is_first = matches!(stage, Stage::Starting);
        if is_first {
            *stage = Stage::Ready(Instant::now());
        }
        is_first
    });
    let Some(invocation) = shared.invocations.lock().await.recv().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let deadline = (SystemTime::now() + invocation.limit).duration_since(UNIX_EPOCH).unwrap_or_default();
    let headers = [
        ("lambda-runtime-aws-request-id", invocation.id),
        ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
        ("lambda-runtime-invoked-function-arn", shared.arn.clone()),
        ("lambda-runtime-trace-id", trace_id(deadline.as_secs())),
        ("content-type", "application/json".to_owned()),
    ];
    (headers, invocation.event).into_response()
}

async fn response(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Body) -> Response {
    if let Ok(body) = to_bytes(body, LARGEST_ANSWER).await {
        return shared.answer(&id, Ok(body));
    }
    let message = format!("the answer is larger than {LARGEST_ANSWER} bytes, or was cut off");
    let error_type = "Function.ResponseSizeTooLarge".to_owned();
    shared.answer(&id, Err(FunctionError { error_type, message: message.clone() }));
    refused(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
}

async fn error(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    shared.answer(&id, Err(FunctionError::read(&body, declared(&headers))))
}

async fn init_error(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    shared.stage.send_replace(Stage::Failed(FunctionError::read(&body, declared(&headers))));
    accepted()
}

fn declared(headers: &HeaderMap) -> Option<&str> {
    headers.get(ERROR_TYPE)?.to_str().ok()
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], r#"{"status":"OK"}"#).into_response()
}

fn refused(status: StatusCode, error_type: &str, message: &str) -> Response {
    let body = json!({"errorType": error_type, "errorMessage": message});
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// In the form of a version 4 UUID, as Lambda's are.
fn request_id() -> String {
    let hex = format!("{:032x}", rand::random::<u128>());
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

fn trace_id(seconds: u64) -> String {
    let hex = format!("{:032x}{:08x}", rand::random::<u128>(), rand::random::<u32>());
    format!("Root=1-{seconds:08x}-{};Parent={};Sampled=0", &hex[..24], &hex[24..])
}
