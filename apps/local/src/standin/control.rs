//! The stand-in's own paths, `/standin/…`, for a person with curl or a test in another language.
//!
//! They do what the methods of [`super::Standin`] do, and are described in this program's README.
//! They ask for no credentials: the stand-in listens on this machine.

use super::environment::Environment;
use super::item::{DataError, ItemKind, raw_text};
use super::misbehaviour::Misbehaviour;
use super::shared::{Change, Push, Shared, now_ms};
use super::webhooks::WebhookMode;
use super::{put, send_webhook};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put as put_to};
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::error::Error;
use std::sync::Arc;

type Control = State<Arc<Shared>>;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/standin", get(summary))
        .route("/standin/misbehave", post(misbehave).delete(behave))
        .route("/standin/webhook", put_to(set_webhook).post(webhook))
        .route("/standin/deliveries", get(async |State(shared): Control| answer(&shared.webhooks.deliveries.all())))
        .route("/standin/events", get(async |State(shared): Control| answer(&shared.events.all())))
        .route("/standin/requests", get(requests).delete(forget_requests))
        .route("/standin/streams", axum::routing::delete(close_streams))
        .route("/standin/data", put_to(set_data))
        .route("/standin/{collection}/{key}", put_to(put_item).delete(delete_item))
}

async fn summary(State(shared): Control) -> Response {
    let environment = shared.environment();
    let options = &shared.options;
    answer(&json!({
        "project": options.project,
        "environment": options.environment,
        "flags": environment.items(ItemKind::Flag).len(),
        "segments": environment.items(ItemKind::Segment).len(),
        "misbehaviour": shared.misbehaviours.in_force(),
        "webhook": {"url": shared.webhooks.url(), "mode": shared.webhooks.mode()},
        "requests": shared.requests.all().len(),
        "events": shared.events.all().len(),
        "deliveries": shared.webhooks.deliveries.all().len(),
    }))
}

async fn misbehave(State(shared): Control, body: Bytes) -> Response {
    match serde_json::from_slice::<Misbehaviour>(&body) {
        Ok(misbehaviour) => {
            shared.misbehaviours.add(misbehaviour);
            answer(&shared.misbehaviours.in_force())
        }
        Err(error) => refused(&error.to_string()),
    }
}

async fn behave(State(shared): Control) -> StatusCode {
    shared.misbehaviours.clear();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookSettings {
    mode: Option<WebhookMode>,
    url: Option<String>,
    secret: Option<String>,
}

async fn set_webhook(State(shared): Control, body: Bytes) -> Response {
    let settings: WebhookSettings = match serde_json::from_slice(&body) {
        Ok(settings) => settings,
        Err(error) => return refused(&error.to_string()),
    };
    if let Some(url) = settings.url {
        shared.webhooks.set_url(Some(url));
    }
    if let Some(secret) = settings.secret {
        shared.webhooks.set_secret(secret);
    }
    if let Some(mode) = settings.mode {
        shared.webhooks.set_mode(mode);
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn webhook(State(shared): Control, body: Bytes) -> Response {
    let entry_id = send_webhook(&shared, body);
    answer(&shared.webhooks.delivered(&entry_id).await)
}

async fn requests(State(shared): Control) -> Response {
    answer(&shared.requests.all())
}

async fn forget_requests(State(shared): Control) -> StatusCode {
    shared.requests.clear();
    StatusCode::NO_CONTENT
}

async fn close_streams(State(shared): Control) -> StatusCode {
    let _ = shared.pushes.send(Push::Close);
    StatusCode::NO_CONTENT
}

async fn set_data(State(shared): Control, body: String) -> Response {
    match Environment::from_payload(&body, now_ms()) {
        Ok(environment) => {
            shared.replace_all(environment);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => refused(&causes(&error)),
    }
}

async fn put_item(State(shared): Control, Path((kind, key)): Path<(String, String)>, body: String) -> Response {
    let Some(kind) = collection(&kind) else { return StatusCode::NOT_FOUND.into_response() };
    let changed = raw_text(body).and_then(|raw| put(&shared, kind, &key, raw));
    match changed {
        Ok(change) => answer::<Change>(&change),
        Err(error) => refused(&causes(&error)),
    }
}

async fn delete_item(State(shared): Control, Path((kind, key)): Path<(String, String)>) -> Response {
    let Some(kind) = collection(&kind) else { return StatusCode::NOT_FOUND.into_response() };
    match shared.change(|environment| environment.delete(kind, &key)) {
        Some(change) => answer(&change),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn collection(name: &str) -> Option<ItemKind> {
    [ItemKind::Flag, ItemKind::Segment].into_iter().find(|kind| kind.collection() == name)
}

fn answer<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn refused(message: &str) -> Response {
    (StatusCode::BAD_REQUEST, answer(&json!({"message": message}))).into_response()
}

fn causes(error: &DataError) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
