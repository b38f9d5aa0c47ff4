//! What all of the stand-in's requests share: the environment, and who hears of its changes.
//!
//! Every change goes through [`Shared::try_change`]: under one lock it is made, pushed to the streams
//! and handed to the webhook, so that all of them tell of changes in the same order.

use super::environment::{Edit, Environment};
use super::item::{DataError, ItemKind};
use super::misbehaviour::Misbehaviours;
use super::options::StandinOptions;
use super::payload::Payload;
use super::record::{Recorded, RequestRecord};
use super::webhooks::{Message, Webhooks};
use super::{audit_log, stream};
use bytes::Bytes;
use serde_json::Value;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// How many former states are kept for stale answers.
const HISTORY: usize = 100;
/// How many changes a stream may lag behind before it is closed.
const LAG: usize = 1024;

/// What goes to the open streams.
#[derive(Debug, Clone)]
pub(super) enum Push {
    /// An event, as it is written on the wire.
    Event(Bytes),
    /// The stream is to end.
    Close,
}

/// A change that was made, and its entry in the audit log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Whether a flag or a segment was changed.
    pub kind: ItemKind,
    /// Its key.
    pub key: String,
    /// The version that it has now, or that its deletion has.
    pub version: u64,
    /// `_id` of the entry, which the webhook carries.
    pub entry_id: String,
}

pub(super) struct Shared {
    pub(super) options: StandinOptions,
    now: Mutex<Now>,
    pub(super) pushes: broadcast::Sender<Push>,
    pub(super) changes: broadcast::Sender<Change>,
    pub(super) webhooks: Arc<Webhooks>,
    pub(super) misbehaviours: Misbehaviours,
    pub(super) requests: Recorded<RequestRecord>,
    pub(super) events: Recorded<Value>,
    pub(super) diagnostics: Recorded<Value>,
}

struct Now {
    environment: Environment,
    /// Made when it is asked for.
    payload: Option<Arc<Payload>>,
    /// The states before each change, the latest first.
    history: VecDeque<Environment>,
}

impl Shared {
    pub(super) fn new(options: StandinOptions) -> Result<Self, DataError> {
        let environment = Environment::from_payload(&options.data, now_ms())?;
        Ok(Self {
            now: Now { environment, payload: None, history: VecDeque::new() }.into(),
            pushes: broadcast::Sender::new(LAG),
            changes: broadcast::Sender::new(LAG),
            webhooks: Webhooks::new(options.webhook_url.clone(), options.webhook_secret.clone()),
            misbehaviours: Misbehaviours::default(),
            requests: Recorded::default(),
            events: Recorded::default(),
            diagnostics: Recorded::default(),
            options,
        })
    }

    /// Makes a change and tells everybody; nothing where `edit` changes nothing.
    pub(super) fn try_change<E>(
        &self,
        comment: &str,
        edit: impl FnOnce(&mut Environment) -> Result<Option<Edit>, E>,
    ) -> Result<Option<Change>, E> {
        let mut now = self.now();
        let mut environment = now.environment.clone();
        let Some(edit) = edit(&mut environment)? else { return Ok(None) };
        if let Some(event) = stream::event_of(&edit) {
            now.become_now(environment);
            // Nobody may be listening.
            let _ = self.pushes.send(Push::Event(event));
        } else {
            now.environment = environment;
        }
        let entry_id = object_id();
        let entry = audit_log::entry(&self.options, &edit, comment, &entry_id, now_ms());
        self.webhooks.send(Message { entry_id: entry_id.clone(), body: entry.to_string().into() });
        let change = Change { kind: edit.kind, key: edit.key, version: edit.version, entry_id };
        let _ = self.changes.send(change.clone());
        Ok(Some(change))
    }

    /// The same with an edit that cannot fail.
    pub(super) fn change(&self, edit: impl FnOnce(&mut Environment) -> Option<Edit>) -> Option<Change> {
        self.try_change("", |environment| Ok::<_, Infallible>(edit(environment))).unwrap_or_else(|never| match never {})
    }

    /// Puts another environment in place of this one. Streams get it whole; webhooks hear nothing.
    pub(super) fn replace_all(&self, environment: Environment) {
        let mut now = self.now();
        now.become_now(environment);
        let event = stream::put_event(&now.payload().body);
        let _ = self.pushes.send(Push::Event(event));
    }

    /// The payload as it is.
    pub(super) fn payload(&self) -> Arc<Payload> {
        self.now().payload()
    }

    /// The payload as it was so many changes ago, or at the start.
    pub(super) fn payload_before(&self, changes: usize) -> Arc<Payload> {
        let mut now = self.now();
        let former = changes.checked_sub(1).and_then(|index| now.history.get(index).or(now.history.back()));
        match former {
            Some(environment) => Payload::of(environment).into(),
            None => now.payload(),
        }
    }

    /// The payload, and everything that is pushed after it.
    pub(super) fn subscribe(&self) -> (Arc<Payload>, broadcast::Receiver<Push>) {
        let mut now = self.now();
        (now.payload(), self.pushes.subscribe())
    }

    /// The environment as it is.
    pub(super) fn environment(&self) -> Environment {
        self.now().environment.clone()
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    fn become_now(&mut self, environment: Environment) {
        let former = std::mem::replace(&mut self.environment, environment);
        self.history.push_front(former);
        self.history.truncate(HISTORY);
        self.payload = None;
    }

    fn payload(&mut self) -> Arc<Payload> {
        self.payload.get_or_insert_with(|| Payload::of(&self.environment).into()).clone()
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// An id as LaunchDarkly's are: 24 hex digits that begin with the time.
pub(super) fn object_id() -> String {
    format!("{:08x}{:016x}", chrono::Utc::now().timestamp(), rand::random::<u64>())
}
