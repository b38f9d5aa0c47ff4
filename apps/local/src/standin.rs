//! A stand-in for LaunchDarkly: one environment, served as LaunchDarkly serves it.
//!
//! The official server-side SDKs run against it unchanged, polling or streaming, and so does what
//! uses the REST API. Every change raises the item's version, reaches the streams and is sent to
//! the webhook, signed. It can be told to misbehave, and everything it was asked is on record.
//!
//! | path | |
//! |---|---|
//! | `GET /sdk/latest-all`, `/sdk/flags/K`, `/sdk/segments/K` | polling, with `ETag` and gzip |
//! | `GET /all` | streaming |
//! | `POST /bulk`, `POST /diagnostic` | events |
//! | `GET /status` | 200 |
//! | `/api/v2/…` | flags, segments, projects and environments over REST |
//! | `/standin/…` | everything that the methods of [`Standin`] do |
//!
//! It holds the items as raw JSON and evaluates nothing.

mod analytics;
mod audit_log;
mod control;
mod environment;
mod item;
mod misbehaviour;
mod observe;
mod options;
mod payload;
mod polling;
mod raw_object;
mod record;
mod rest;
mod shared;
mod stream;
mod webhooks;

pub use item::{DataError, ItemKind};
pub use misbehaviour::{Endpoint, Fault, Misbehaviour};
pub use options::StandinOptions;
pub use record::RequestRecord;
pub use shared::Change;
pub use webhooks::{Delivery, Outcome, WebhookMode, signature};

use crate::patience::{self, InVain};
use crate::server::Server;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use bytes::Bytes;
use environment::Environment;
use item::{Fields, Notes, own_key, raw_text};
use serde_json::Value;
use shared::{Push, Shared, now_ms, object_id};
use std::net::SocketAddr;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use webhooks::Message;

/// Why a stand-in was not started.
#[derive(Debug, Error)]
pub enum StandinError {
    /// No port to listen on.
    #[error("listen for LaunchDarkly requests")]
    Listen(#[source] std::io::Error),
    /// The data is no payload.
    #[error("load the stand-in's data")]
    Data(#[source] DataError),
}

/// A running stand-in. Dropping it ends it and closes its connections.
pub struct Standin {
    server: Server,
    shared: Arc<Shared>,
}

impl Standin {
    /// Starts one on a free port of 127.0.0.1.
    pub async fn start(options: StandinOptions) -> Result<Self, StandinError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(StandinError::Listen)?;
        Self::start_on(listener, options)
    }

    /// Starts one on `listener`.
    pub fn start_on(listener: TcpListener, options: StandinOptions) -> Result<Self, StandinError> {
        let shared = Arc::new(Shared::new(options).map_err(StandinError::Data)?);
        let server = Server::start(listener, router(&shared)).map_err(StandinError::Listen)?;
        Ok(Self { server, shared })
    }

    /// Its URL, `http://127.0.0.1:PORT`: the base URI for polling, streaming, events and REST.
    pub fn url(&self) -> String {
        crate::server::url(self.address())
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Turns a flag on or off. Nothing where there is no such flag, or it is so already.
    pub fn set_flag_on(&self, key: &str, on: bool) -> Option<Change> {
        let fields = Fields(vec![("on".to_owned(), Some(on.into()))]);
        self.shared.change(|environment| {
            let is_so = environment.item(ItemKind::Flag, key).is_some_and(|flag| flag.value()["on"] == on);
            if is_so { None } else { environment.set_fields(ItemKind::Flag, key, &fields) }
        })
    }

    /// Sets one field of an item's JSON, such as a flag's `fallthrough`, and raises its version.
    /// Nothing where there is no such item.
    pub fn set_field(&self, kind: ItemKind, key: &str, field: &str, value: Value) -> Option<Change> {
        let fields = Fields(vec![(field.to_owned(), Some(value))]);
        self.shared.change(|environment| environment.set_fields(kind, key, &fields))
    }

    /// Puts a flag in, new or in the place of the one with its key, byte for byte; only a version
    /// that would not rise is raised.
    pub fn upsert_flag(&self, flag: &(impl ToString + ?Sized)) -> Result<Change, DataError> {
        self.upsert(ItemKind::Flag, flag.to_string())
    }

    /// The same with a segment.
    pub fn upsert_segment(&self, segment: &(impl ToString + ?Sized)) -> Result<Change, DataError> {
        self.upsert(ItemKind::Segment, segment.to_string())
    }

    /// Deletes a flag. Nothing where there is none.
    pub fn delete_flag(&self, key: &str) -> Option<Change> {
        self.delete(ItemKind::Flag, key)
    }

    /// Deletes a segment. Nothing where there is none.
    pub fn delete_segment(&self, key: &str) -> Option<Change> {
        self.delete(ItemKind::Segment, key)
    }

    /// Replaces the whole payload, of which streams get a `put` and the webhook hears nothing.
    pub fn set_data(&self, payload: &str) -> Result<(), DataError> {
        self.shared.replace_all(Environment::from_payload(payload, now_ms())?);
        Ok(())
    }

    /// Every change from now on, in their order, whoever makes it.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }

    /// The names of project and environment.
    pub fn names(&self) -> (&str, &str) {
        (&self.shared.options.project, &self.shared.options.environment)
    }

    /// The payload as it is served now.
    pub fn data(&self) -> Bytes {
        self.shared.payload().body.clone()
    }

    /// The version of an item, if it is in the payload.
    pub fn version(&self, kind: ItemKind, key: &str) -> Option<u64> {
        self.shared.environment().item(kind, key).filter(|item| !item.is_archived).map(|item| item.version)
    }

    fn upsert(&self, kind: ItemKind, text: String) -> Result<Change, DataError> {
        let raw = raw_text(text)?;
        let key = own_key(&raw, kind.name())?;
        put(&self.shared, kind, &key, raw)
    }

    fn delete(&self, kind: ItemKind, key: &str) -> Option<Change> {
        self.shared.change(|environment| environment.delete(kind, key))
    }
}

/// Misbehaviour, and the webhook.
impl Standin {
    /// Sets a misbehaviour, in addition to those in force.
    pub fn misbehave(&self, misbehaviour: Misbehaviour) {
        self.shared.misbehaviours.add(misbehaviour);
    }

    /// Ends the misbehaviours that are equal to this one.
    pub fn stop_misbehaving(&self, misbehaviour: &Misbehaviour) {
        self.shared.misbehaviours.remove(misbehaviour);
    }

    /// The misbehaviours in force.
    pub fn misbehaviours(&self) -> Vec<Misbehaviour> {
        self.shared.misbehaviours.in_force()
    }

    /// Ends all misbehaviour, save that of the webhook.
    pub fn behave(&self) {
        self.shared.misbehaviours.clear();
    }

    /// Closes all open streams; the SDKs will come back.
    pub fn close_streams(&self) {
        let _ = self.shared.pushes.send(Push::Close);
    }

    /// Sets where webhooks go.
    pub fn set_webhook_url(&self, url: impl Into<String>) {
        self.shared.webhooks.set_url(Some(url.into()));
    }

    /// Sets what webhooks are signed with.
    pub fn set_webhook_secret(&self, secret: impl Into<String>) {
        self.shared.webhooks.set_secret(secret.into());
    }

    /// Sets how webhooks are delivered. What was held back to be reordered goes out.
    pub fn set_webhook_mode(&self, mode: WebhookMode) {
        self.shared.webhooks.set_mode(mode);
    }

    /// How webhooks are delivered.
    pub fn webhook_mode(&self) -> WebhookMode {
        self.shared.webhooks.mode()
    }

    /// Sends any body as a webhook, as the mode has it; the id to wait for.
    pub fn send_webhook(&self, body: impl Into<Bytes>) -> String {
        send_webhook(&self.shared, body.into())
    }
}

/// The record.
impl Standin {
    /// All requests so far, except to `/status` and `/standin`.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.requests.all()
    }

    /// The requests to one endpoint.
    pub fn requests_to(&self, endpoint: Endpoint) -> Vec<RequestRecord> {
        self.shared.requests.all().into_iter().filter(|request| request.endpoint == endpoint).collect()
    }

    /// Waits until there were so many requests to an endpoint.
    pub async fn wait_for_requests(&self, endpoint: Endpoint, count: usize) -> Result<(), InVain> {
        let enough = |requests: &[RequestRecord]| {
            let so_far = requests.iter().filter(|request| request.endpoint == endpoint).count();
            (so_far >= count).then_some(())
        };
        self.shared.requests.in_time(format_args!("{count} requests to {endpoint:?}"), enough).await
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.shared.requests.clear();
    }

    /// The analytics events so far.
    pub fn events(&self) -> Vec<Value> {
        self.shared.events.all()
    }

    /// Waits until there were so many analytics events.
    pub async fn wait_for_events(&self, count: usize) -> Result<Vec<Value>, InVain> {
        let enough = |events: &[Value]| (events.len() >= count).then(|| events.to_vec());
        self.shared.events.in_time(format_args!("{count} events"), enough).await
    }

    /// The diagnostic events so far.
    pub fn diagnostics(&self) -> Vec<Value> {
        self.shared.diagnostics.all()
    }

    /// All webhook deliveries that have ended.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.webhooks.deliveries.all()
    }

    /// Waits until the webhook of a change has been answered, or not been sent; the first delivery
    /// of several.
    pub async fn delivery_of(&self, change: &Change) -> Result<Delivery, InVain> {
        self.delivery(&change.entry_id).await
    }

    /// The same for any webhook, by its id.
    pub async fn delivery(&self, entry_id: &str) -> Result<Delivery, InVain> {
        let awaited = || format!("the delivery of {entry_id}; there is {:?}", self.deliveries());
        patience::in_time(self.delivered(entry_id), awaited).await
    }

    /// The same, however long it is held back.
    pub(crate) async fn delivered(&self, entry_id: &str) -> Delivery {
        self.shared.webhooks.delivered(entry_id).await
    }

    /// Waits until so many deliveries have ended.
    pub async fn wait_for_deliveries(&self, count: usize) -> Result<Vec<Delivery>, InVain> {
        let enough = |all: &[Delivery]| (all.len() >= count).then(|| all.to_vec());
        self.shared.webhooks.deliveries.in_time(format_args!("{count} deliveries"), enough).await
    }
}

fn put(shared: &Shared, kind: ItemKind, key: &str, raw: Box<serde_json::value::RawValue>) -> Result<Change, DataError> {
    let changed = shared.try_change("", |environment| {
        let known = environment.item(kind, key).map(|item| Notes::clone(&item.notes));
        let notes = known.unwrap_or_else(|| Notes::new(key, now_ms()));
        environment.put(kind, key, raw, notes).map(Some)
    });
    changed?.ok_or_else(|| DataError::NoKey { what: kind.name().to_owned() })
}

fn send_webhook(shared: &Shared, body: Bytes) -> String {
    let entry_id = object_id();
    shared.webhooks.send(Message { entry_id: entry_id.clone(), body });
    entry_id
}

fn router(shared: &Arc<Shared>) -> Router {
    let for_sdks = Router::new()
        .route("/sdk/latest-all", get(polling::latest_all))
        .route("/sdk/flags/{key}", get(polling::flag))
        .route("/sdk/segments/{key}", get(polling::segment))
        .route("/all", get(stream::all))
        .route("/bulk", post(analytics::bulk))
        .route("/diagnostic", post(analytics::diagnostic))
        .layer(from_fn_with_state(shared.clone(), observe::require_sdk_key));
    Router::new()
        .route("/status", get(async || "ok"))
        .merge(for_sdks)
        .merge(rest::router(shared))
        .merge(control::router())
        .layer(from_fn_with_state(shared.clone(), observe::observe))
        .layer(DefaultBodyLimit::disable())
        .with_state(shared.clone())
}
