//! The REST API, as far as tools that change flags and list environments use it.
//!
//! | | |
//! |---|---|
//! | `GET`, `POST /api/v2/flags/P` | lists flags, creates one |
//! | `GET`, `PATCH`, `DELETE /api/v2/flags/P/F` | reads, changes (JSON Patch; semantic patch for `turnFlagOn` and `turnFlagOff`), deletes one |
//! | `GET /api/v2/segments/P/E`, `GET`, `PATCH`, `DELETE /api/v2/segments/P/E/K` | the same with segments |
//! | `GET /api/v2/projects/P`, with `?expand=environments` | the project |
//! | `GET /api/v2/projects/P/environments`, `/environments/E` | its environments, by pages |
//! | `GET /api/v2/caller-identity` | whose token it is |
//!
//! Shapes: `FeatureFlag`, `UserSegment`, `Project`, `Environments` and `CallerIdentityRep` of the
//! API's public description; errors as <https://launchdarkly.com/docs/api> has them. The flags know
//! one environment; all others are listed and nothing more.

mod flag;
mod items;
mod json_patch;
mod page;
mod projects;
mod segment;

use super::item::{Item, ItemKind};
use super::options::StandinOptions;
use super::shared::Shared;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v2/flags/{project}", get(items::flags).post(items::create_flag))
        .route("/api/v2/flags/{project}/{key}", get(items::flag).patch(items::patch_flag).delete(items::delete_flag))
        .route("/api/v2/segments/{project}/{environment}", get(items::segments))
        .route(
            "/api/v2/segments/{project}/{environment}/{key}",
            get(items::segment).patch(items::patch_segment).delete(items::delete_segment),
        )
        .route("/api/v2/projects/{project}", get(projects::project))
        .route("/api/v2/projects/{project}/environments", get(projects::environments))
        .route("/api/v2/projects/{project}/environments/{environment}", get(projects::environment))
        .route("/api/v2/caller-identity", get(projects::caller_identity))
        .layer(from_fn_with_state(shared.clone(), require_token))
}

/// An item as the REST API shows it, and as webhooks carry it.
pub(super) fn representation(options: &StandinOptions, kind: ItemKind, key: &str, item: &Item) -> Value {
    match kind {
        ItemKind::Flag => flag::representation(options, key, item),
        ItemKind::Segment => segment::representation(options, key, item),
    }
}

/// A request that is refused, as the API says so.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "invalid_request", message: message.into() }
    }

    fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, code, message: message.into() }
    }

    fn not_found(what: &str, key: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "not_found", message: format!("Unknown {what} key {key}") }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        json_response(self.status, &json!({"code": self.code, "message": self.message}))
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn require_project(shared: &Shared, project: &str) -> Result<(), Refusal> {
    if project == shared.options.project { Ok(()) } else { Err(Refusal::not_found("project", project)) }
}

/// The token stands alone in the header, without a scheme.
async fn require_token(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if token == Some(&shared.options.api_token) {
        return next.run(request).await;
    }
    let message = "Invalid access token".to_owned();
    Refusal { status: StatusCode::UNAUTHORIZED, code: "unauthorized", message }.into_response()
}
