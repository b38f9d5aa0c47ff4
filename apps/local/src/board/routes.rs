//! The board over HTTP.
//!
//! | path | |
//! |---|---|
//! | `GET /` | the page; `?filter=` for some of the flags |
//! | `GET /events` | its main part, again after every change, as server-sent events |
//! | `GET /state` | the same as JSON |
//! | `POST /flags/KEY`, `POST /faults/NAME` | form field `on` (`true` or `false`): a switch |
//! | `POST /sync` | runs `store` as its schedule does |
//!
//! A form is answered when what it set off has settled, or after two seconds, so that the page that
//! follows shows it where there is no script.

use super::Shared;
use super::faults::Fault;
use super::follow;
use super::page::{self, ICON, SCRIPT, STYLE};
use super::state::State;
use super::view::{Frame, View};
use axum::body::Body;
use axum::extract::{Form, Path, Query, State as Given};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde::Deserialize;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long a form waits for what it set off.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often an idle stream carries a comment, so that one that nobody reads is noticed.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Nothing from elsewhere, and no script but its own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(whole))
        .route("/events", get(events))
        .route("/state", get(as_json))
        .route("/flags/{*key}", post(switch_flag))
        .route("/faults/{name}", post(switch_fault))
        .route("/sync", post(sync))
        .route("/style.css", get(async || ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .route("/script.js", get(async || ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)))
        .route("/icon.svg", get(async || ([(CONTENT_TYPE, "image/svg+xml")], ICON)))
        .with_state(shared)
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Filter {
    #[serde(default)]
    filter: String,
}

#[derive(Debug, Deserialize)]
struct Switch {
    on: bool,
}

async fn whole(Given(shared): Given<Shared>, Query(filter): Query<Filter>) -> Response {
    follow::look_everywhere(&shared).await;
    let headers = [(CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-store")];
    match page::page(&shared.view(&filter.filter)) {
        Ok(page) => (headers, Html(page)).into_response(),
        Err(error) => failed(&error),
    }
}

async fn as_json(Given(shared): Given<Shared>, Query(filter): Query<Filter>) -> Response {
    follow::look_everywhere(&shared).await;
    Json(shared.view(&filter.filter)).into_response()
}

async fn switch_flag(Given(shared): Given<Shared>, Path(key): Path<String>, Form(switch): Form<Switch>) -> Response {
    if !shared.places.flags().contains_key(&key) {
        return (StatusCode::NOT_FOUND, format!("there is no flag {key}\n")).into_response();
    }
    let mut state = shared.state.subscribe();
    if let Some(change) = shared.places.standin.set_flag_on(&key, switch.on) {
        let settled = state.wait_for(|state| state.is_settled(&key, change.version));
        // It goes on in its own time; who waits for it sees it later.
        let _ = tokio::time::timeout(PATIENCE, settled).await;
    }
    Redirect::to("/").into_response()
}

async fn switch_fault(Given(shared): Given<Shared>, Path(name): Path<String>, Form(switch): Form<Switch>) -> Response {
    let Some(fault) = Fault::ALL.into_iter().find(|fault| fault.id() == name) else {
        return (StatusCode::NOT_FOUND, format!("there is no fault {name}\n")).into_response();
    };
    fault.set(&shared.places.standin, switch.on);
    let is = if switch.on { "on" } else { "off" };
    shared.state.send_modify(|state| state.news = format!("Fault {is}: {}.", fault.name()));
    follow::look_at_launchdarkly(&shared);
    Redirect::to("/").into_response()
}

async fn sync(Given(shared): Given<Shared>) -> Response {
    let Some(functions) = &shared.places.functions else {
        return (StatusCode::CONFLICT, "store does not run\n").into_response();
    };
    let began = Instant::now();
    shared.state.send_modify(|state| state.is_syncing = true);
    let (status, answer) = functions.sync().await;
    follow::look_everywhere(&shared).await;
    shared.state.send_modify(|state| state.synced(status, &answer, began.elapsed()));
    Redirect::to("/").into_response()
}

/// The main part as it is, and again whenever it is another.
async fn events(Given(shared): Given<Shared>, Query(filter): Query<Filter>) -> Response {
    let mut state = shared.state.subscribe();
    state.mark_changed();
    let start = (shared, state, filter.filter);
    let events = stream::unfold(start, |(shared, mut state, filter)| async {
        let event = next(&shared, &mut state, &filter).await?;
        Some((Ok::<_, Infallible>(event), (shared, state, filter)))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(events)).into_response()
}

async fn next(shared: &Shared, state: &mut watch::Receiver<State>, filter: &str) -> Option<Bytes> {
    match tokio::time::timeout(HEARTBEAT, state.changed()).await {
        Err(_) => Some(Bytes::from_static(b":\n\n")),
        Ok(Err(_)) => None,
        Ok(Ok(())) => {
            let view = View::new(&shared.frame(), &state.borrow_and_update(), filter);
            page::board(&view).ok().map(|html| event(&html))
        }
    }
}

/// A text over several lines as one event.
fn event(text: &str) -> Bytes {
    let mut event = String::new();
    for line in text.split(['\n', '\r']) {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event.into()
}

fn failed(error: &minijinja::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to render the page: {error:#}\n")).into_response()
}

impl Shared {
    fn view(&self, filter: &str) -> View {
        View::new(&self.frame(), &self.state.borrow(), filter)
    }

    fn frame(&self) -> Frame {
        let (project, environment) = self.places.standin.names();
        Frame {
            project: project.to_owned(),
            environment: environment.to_owned(),
            can_sync: self.places.functions.is_some(),
        }
    }
}
