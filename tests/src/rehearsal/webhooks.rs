//! The part of LaunchDarkly's REST API that keeps webhooks: one list, which tokens that are not its own do not see.
//!
//! Paths, bodies and statuses: LaunchDarkly's API documentation, "Webhooks".

use crate::loopback::{Answer, Request, Server};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Value, json};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// The access token that may write webhooks.
pub const TOKEN: &str = "api-rehearsal";

const PATH: &str = "/api/v2/webhooks";

/// A running API. Dropping it ends it.
pub struct Webhooks {
    server: Server,
    all: Arc<Mutex<Vec<Value>>>,
}

impl Webhooks {
    /// An API that knows no webhook yet.
    pub async fn start() -> io::Result<Self> {
        let all = Arc::<Mutex<Vec<Value>>>::default();
        let known = Arc::clone(&all);
        let server = Server::start(move |request| {
            let (status, body) = answer(&request, &mut known.lock().unwrap_or_else(PoisonError::into_inner));
            let body = Bytes::from(body.to_string());
            async move { Ok(Answer { status, headers: HeaderMap::new(), body }) }
        })
        .await?;
        Ok(Self { server, all })
    }

    /// Its URL, for `LAUNCHDARKLY_API_URI`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// All webhooks, as they were sent.
    pub fn all(&self) -> Vec<Value> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn answer(request: &Request, all: &mut Vec<Value>) -> (StatusCode, Value) {
    if request.headers.get(header::AUTHORIZATION).is_none_or(|token| token != TOKEN) {
        return (StatusCode::UNAUTHORIZED, json!({"code": "unauthorized", "message": "invalid access token"}));
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let id = request.path.strip_prefix(PATH).map(|rest| rest.trim_start_matches('/'));
    match (&request.method, id) {
        (&Method::GET, Some("")) => (StatusCode::OK, json!({"items": all})),
        (&Method::POST, Some("")) => {
            let mut made = body;
            made["_id"] = json!(format!("webhook-{}", all.len()));
            all.push(made.clone());
            (StatusCode::CREATED, made)
        }
        (&Method::PATCH, Some(id)) => match all.iter_mut().find(|it| it["_id"] == id) {
            Some(webhook) => {
                patch(webhook, &body);
                (StatusCode::OK, webhook.clone())
            }
            None => not_found(),
        },
        _ => not_found(),
    }
}

fn not_found() -> (StatusCode, Value) {
    (StatusCode::NOT_FOUND, json!({"code": "not_found", "message": "no such resource"}))
}

/// The part of JSON Patch that is used: whole members, added or replaced.
fn patch(webhook: &mut Value, operations: &Value) {
    for operation in operations.as_array().into_iter().flatten() {
        if let Some(name) = operation["path"].as_str() {
            webhook[name.trim_start_matches('/')] = operation["value"].clone();
        }
    }
}
