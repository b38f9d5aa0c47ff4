//! Flags and segments over REST: listed, read, created, changed, deleted.

use super::json_patch::{self, Operation};
use super::page::page;
use super::{Refusal, flag as flag_shape, json_response, representation, require_project, segment as segment_shape};
use crate::standin::item::{ItemKind, raw_text};
use crate::standin::shared::{Shared, now_ms};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

type Rest = State<Arc<Shared>>;
type Answer = Result<Response, Refusal>;
type Parameters = Query<HashMap<String, String>>;
/// Project, environment, key.
type SegmentPath = Path<(String, String, String)>;

pub(super) async fn flags(State(shared): Rest, Path(project): Path<String>, Query(query): Parameters) -> Answer {
    require_project(&shared, &project)?;
    list(&shared, ItemKind::Flag, &format!("/api/v2/flags/{project}"), &query)
}

pub(super) async fn flag(State(shared): Rest, Path((project, key)): Path<(String, String)>) -> Answer {
    require_project(&shared, &project)?;
    Ok(json_response(StatusCode::OK, &read(&shared, ItemKind::Flag, &key)?))
}

pub(super) async fn create_flag(State(shared): Rest, Path(project): Path<String>, body: Bytes) -> Answer {
    require_project(&shared, &project)?;
    let request: Value = serde_json::from_slice(&body).map_err(|error| Refusal::invalid(error.to_string()))?;
    let (key, flag, notes) = flag_shape::created(&request, now_ms())?;
    let invalid = |error: crate::standin::DataError| Refusal::invalid(error.to_string());
    let raw = raw_text(flag.to_string()).map_err(invalid)?;
    shared.try_change("", |environment| {
        if environment.item(ItemKind::Flag, &key).is_some() {
            return Err(Refusal::conflict("conflict", "A flag with that key already exists"));
        }
        environment.put(ItemKind::Flag, &key, raw, notes).map(Some).map_err(invalid)
    })?;
    Ok(json_response(StatusCode::CREATED, &read(&shared, ItemKind::Flag, &key)?))
}

pub(super) async fn patch_flag(
    State(shared): Rest,
    Path((project, key)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    require_project(&shared, &project)?;
    let patch = Patch::read(&shared, &headers, &body)?;
    change(&shared, ItemKind::Flag, &key, patch)
}

pub(super) async fn delete_flag(State(shared): Rest, Path((project, key)): Path<(String, String)>) -> Answer {
    require_project(&shared, &project)?;
    delete(&shared, ItemKind::Flag, &key)
}

pub(super) async fn segments(
    State(shared): Rest,
    Path((project, environment)): Path<(String, String)>,
    Query(query): Parameters,
) -> Answer {
    require_environment(&shared, &project, &environment)?;
    list(&shared, ItemKind::Segment, &format!("/api/v2/segments/{project}/{environment}"), &query)
}

pub(super) async fn segment(State(shared): Rest, Path((project, environment, key)): SegmentPath) -> Answer {
    require_environment(&shared, &project, &environment)?;
    Ok(json_response(StatusCode::OK, &read(&shared, ItemKind::Segment, &key)?))
}

pub(super) async fn patch_segment(
    State(shared): Rest,
    Path((project, environment, key)): SegmentPath,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    require_environment(&shared, &project, &environment)?;
    let patch = Patch::read(&shared, &headers, &body)?;
    change(&shared, ItemKind::Segment, &key, patch)
}

pub(super) async fn delete_segment(State(shared): Rest, Path((project, environment, key)): SegmentPath) -> Answer {
    require_environment(&shared, &project, &environment)?;
    delete(&shared, ItemKind::Segment, &key)
}

fn require_environment(shared: &Shared, project: &str, environment: &str) -> Result<(), Refusal> {
    require_project(shared, project)?;
    if environment == shared.options.environment {
        return Ok(());
    }
    Err(Refusal::not_found("environment", environment))
}

fn list(shared: &Shared, kind: ItemKind, path: &str, query: &HashMap<String, String>) -> Answer {
    let environment = shared.environment();
    let visible = environment.items(kind).iter().filter(|(_, item)| !item.is_archived);
    let all: Vec<_> = visible.map(|(key, item)| representation(&shared.options, kind, key, item)).collect();
    Ok(json_response(StatusCode::OK, &page(&all, path, query)?))
}

fn read(shared: &Shared, kind: ItemKind, key: &str) -> Result<Value, Refusal> {
    let environment = shared.environment();
    let item = environment.item(kind, key).ok_or_else(|| Refusal::not_found(kind.name(), key))?;
    Ok(representation(&shared.options, kind, key, item))
}

fn delete(shared: &Shared, kind: ItemKind, key: &str) -> Answer {
    match shared.change(|environment| environment.delete(kind, key)) {
        Some(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        None => Err(Refusal::not_found(kind.name(), key)),
    }
}

fn change(shared: &Shared, kind: ItemKind, key: &str, patch: Patch) -> Answer {
    let options = &shared.options;
    let Patch { comment, operations } = patch;
    shared.try_change(&comment, |environment| {
        let item = environment.item(kind, key).ok_or_else(|| Refusal::not_found(kind.name(), key))?;
        let before = representation(options, kind, key, item);
        let mut after = before.clone();
        json_patch::apply(&mut after, operations)?;
        let changed = match kind {
            ItemKind::Flag => flag_shape::changed(options, item, &before, &after, now_ms())?,
            ItemKind::Segment => segment_shape::changed(item, &before, &after, now_ms())?,
        };
        Ok(changed.map(|item| environment.replace(kind, key, item)))
    })?;
    Ok(json_response(StatusCode::OK, &read(shared, kind, key)?))
}

/// A patch of any of the three forms, as operations.
struct Patch {
    comment: String,
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
struct PatchWithComment {
    #[serde(default)]
    comment: String,
    patch: Vec<Operation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SemanticPatch {
    #[serde(default)]
    comment: String,
    environment_key: String,
    instructions: Vec<Instruction>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Instruction {
    TurnFlagOn,
    TurnFlagOff,
}

impl Patch {
    fn read(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        let invalid = |error: serde_json::Error| Refusal::invalid(format!("the patch cannot be read: {error}"));
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if media_type.contains("domain-model=launchdarkly.semanticpatch") {
            return Self::semantic(shared, serde_json::from_slice(body).map_err(invalid)?);
        }
        if body.trim_ascii_start().starts_with(b"[") {
            let operations = serde_json::from_slice(body).map_err(invalid)?;
            return Ok(Self { comment: String::new(), operations });
        }
        let PatchWithComment { comment, patch } = serde_json::from_slice(body).map_err(invalid)?;
        Ok(Self { comment, operations: patch })
    }

    fn semantic(shared: &Shared, patch: SemanticPatch) -> Result<Self, Refusal> {
        if patch.environment_key != shared.options.environment {
            return Err(Refusal::not_found("environment", &patch.environment_key));
        }
        let pointer = format!("/environments/{}/on", patch.environment_key.replace('~', "~0").replace('/', "~1"));
        let operations = patch.instructions.iter().map(|instruction| Operation::Replace {
            path: pointer.clone(),
            value: matches!(instruction, Instruction::TurnFlagOn).into(),
        });
        Ok(Self { comment: patch.comment, operations: operations.collect() })
    }
}
