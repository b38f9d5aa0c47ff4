//! The project and its environments, with keys for each.

use super::page::page;
use super::{Refusal, json_response, require_project};
use crate::standin::options::StandinOptions;
use crate::standin::shared::Shared;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) async fn project(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Refusal> {
    require_project(&shared, &project)?;
    let path = format!("/api/v2/projects/{project}");
    let mut body = json!({
        "_links": {"self": {"href": path, "type": "application/json"}},
        "_id": id(&project),
        "key": project,
        "name": name(&project),
        "tags": [],
        "includeInSnippetByDefault": false,
        "defaultClientSideAvailability": {"usingMobileKey": false, "usingEnvironmentId": false},
    });
    if query.get("expand").is_some_and(|expand| expand.split(',').any(|name| name == "environments")) {
        let path = format!("{path}/environments");
        body["environments"] = page(&list(&shared.options), &path, &HashMap::new())?;
    }
    Ok(json_response(StatusCode::OK, &body))
}

pub(super) async fn environments(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Refusal> {
    require_project(&shared, &project)?;
    let path = format!("/api/v2/projects/{project}/environments");
    Ok(json_response(StatusCode::OK, &page(&list(&shared.options), &path, &query)?))
}

pub(super) async fn environment(
    State(shared): State<Arc<Shared>>,
    Path((project, key)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    require_project(&shared, &project)?;
    let all = list(&shared.options);
    let found = all.iter().find(|environment| environment["key"] == *key);
    Ok(json_response(StatusCode::OK, found.ok_or_else(|| Refusal::not_found("environment", &key))?))
}

pub(super) async fn caller_identity() -> Response {
    let body = json!({
        "accountId": "57be1db38b75bf0772d11383",
        "authKind": "token",
        "tokenKind": "auth",
        "tokenName": "local",
        "tokenId": id("token"),
        "memberId": "569fdeadbeef1644facecafe",
        "serviceToken": false,
        "scopes": [],
    });
    json_response(StatusCode::OK, &body)
}

fn list(options: &StandinOptions) -> Vec<Value> {
    let listed = options.listed_environments.iter().filter(|key| **key != options.environment);
    std::iter::once(&options.environment).chain(listed).map(|key| describe(options, key)).collect()
}

fn describe(options: &StandinOptions, key: &str) -> Value {
    let is_served = key == options.environment;
    let sdk_key = if is_served { options.sdk_key.clone() } else { format!("sdk-{key}") };
    json!({
        "_links": {
            "self": {
                "href": format!("/api/v2/projects/{}/environments/{key}", options.project),
                "type": "application/json"
            }
        },
        "_id": id(key),
        "key": key,
        "name": name(key),
        "apiKey": sdk_key,
        "mobileKey": format!("mob-{key}"),
        "color": "405bff",
        "defaultTtl": 0,
        "secureMode": false,
        "defaultTrackEvents": false,
        "requireComments": false,
        "confirmChanges": false,
        "tags": [],
        "critical": key == "production",
    })
}

/// An id of 24 hex digits that stays the same.
fn id(key: &str) -> String {
    hex::encode(Sha256::digest(key))[..24].to_owned()
}

/// A name for people: the key, beginning with a capital.
fn name(key: &str) -> String {
    let mut letters = key.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
