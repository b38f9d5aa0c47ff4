//! Analytics events of evaluations, sent by the SDK's client after the answer.
//!
//! An answer waits for nothing here: [`Events::record`] only takes note. [`Events::deliver`] then has the SDK's client
//! evaluate what was noted once more, against the same items, which makes its events, and waits until they are sent or
//! the time is up. So an event is the SDK's own to the last field, and the client with its threads comes to be only
//! where somebody wants events, and after the first answer is out.
//!
//! `deliver` depends on no timer of the SDK's: what a frozen process left unsent goes out with the next delivery.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use flagcache_payload::Kind;
use launchdarkly_server_sdk::{
    AllData, Client, DataKind, FlagValue, PersistentDataStore, PersistentDataStoreFactory, PersistentStoreError,
    SerializedItem,
};

use crate::config::{self, ConfigError, Endpoints, SdkKey};
use crate::evaluation::Evaluator;
use crate::routes::Evaluated;

/// How many evaluations are noted between two deliveries; the SDK's own buffer has this size.
const CAPACITY: usize = 500;

/// How long a delivery is waited for after one that was not done in time. Somebody pays for the waiting.
const AFTER_A_TIMEOUT: Duration = Duration::from_millis(500);

/// Notes evaluations and has the SDK send their events.
pub struct Events {
    key: SdkKey,
    endpoints: Endpoints,
    evaluator: Arc<Evaluator>,
    noted: Mutex<Noted>,
    client: OnceLock<Client>,
    timed_out: AtomicBool,
}

#[derive(Default)]
struct Noted {
    evaluated: Vec<Evaluated>,
    dropped: usize,
}

/// What became of the events.
#[derive(Debug)]
pub enum Delivery {
    /// There were none, so nothing was done.
    Nothing,
    /// The SDK has dealt with this many evaluations; it logs what the events service refuses.
    Done(usize),
    /// The time was up; what can still be sent goes with the next delivery.
    TimedOut,
    /// There is no client; the evaluations are lost.
    Failed(ConfigError),
}

impl Events {
    /// Events of evaluations by this evaluator. Nothing is started yet.
    pub fn new(key: SdkKey, endpoints: Endpoints, evaluator: Arc<Evaluator>) -> Self {
        Self {
            key,
            endpoints,
            evaluator,
            noted: Mutex::default(),
            client: OnceLock::new(),
            timed_out: AtomicBool::new(false),
        }
    }

    /// Takes note of an evaluation.
    pub fn record(&self, evaluated: Evaluated) {
        let mut noted = self.noted();
        if noted.evaluated.len() < CAPACITY {
            noted.evaluated.push(evaluated);
        } else {
            noted.dropped += 1;
        }
    }

    /// Has the events of all that was noted sent, within this time, or half a second if the last delivery was not done
    /// in time. Needs a tokio runtime with its timer.
    pub async fn deliver(&self, within: Duration) -> Delivery {
        let Noted { evaluated, dropped } = std::mem::take(&mut *self.noted());
        if dropped > 0 {
            tracing::warn!(dropped, "more evaluations than events are kept for; deliver more often");
        }
        if evaluated.is_empty() {
            return Delivery::Nothing;
        }
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return Delivery::Failed(error),
        };
        let count = evaluated.len();
        for Evaluated { context, flag, default, with_reason } in evaluated {
            let default = default.map_or(FlagValue::Json(serde_json::Value::Null), FlagValue::from);
            if with_reason {
                client.variation_detail(&context, &flag, default);
            } else {
                client.variation(&context, &flag, default);
            }
        }
        let slow = self.timed_out.load(Ordering::Relaxed);
        let within = if slow { within.min(AFTER_A_TIMEOUT) } else { within };
        // The SDK waits for ever where it is given no time at all.
        let done = !within.is_zero() && client.flush_blocking(within).await;
        self.timed_out.store(!done, Ordering::Relaxed);
        if done { Delivery::Done(count) } else { Delivery::TimedOut }
    }

    fn client(&self) -> Result<&Client, ConfigError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let store = Arc::new(Current(Arc::clone(&self.evaluator)));
        let config = config::daemon(&self.key, &self.endpoints, store, true)?;
        let client = Client::build(config).map_err(|error| ConfigError::Refused(error.to_string()))?;
        Ok(self.client.get_or_init(|| client))
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the evaluator evaluates at the moment, as the SDK's client reads it. Nothing is written to it.
pub(crate) struct Current(pub(crate) Arc<Evaluator>);

impl Current {
    fn item(&self, kind: Kind, key: &str) -> Option<SerializedItem> {
        // The version is not read: the client takes the one in the JSON.
        self.0.decodable(kind, key).map(|json| SerializedItem { version: 0, deleted: false, serialized_item: json })
    }
}

impl PersistentDataStoreFactory for Current {
    fn create_persistent_data_store(&self) -> Result<Box<dyn PersistentDataStore>, io::Error> {
        Ok(Box::new(Self(Arc::clone(&self.0))))
    }
}

impl PersistentDataStore for Current {
    fn init(&mut self, _: AllData<SerializedItem, SerializedItem>) -> Result<(), PersistentStoreError> {
        Err(PersistentStoreError::new("the items of an evaluator are only read"))
    }

    fn flag(&self, key: &str) -> Result<Option<SerializedItem>, PersistentStoreError> {
        Ok(self.item(Kind::Flag, key))
    }

    fn segment(&self, key: &str) -> Result<Option<SerializedItem>, PersistentStoreError> {
        Ok(self.item(Kind::Segment, key))
    }

    fn all_flags(&self) -> Result<HashMap<String, SerializedItem>, PersistentStoreError> {
        let items = self.0.items();
        let keys = items.keys(Kind::Flag).into_iter();
        Ok(keys.filter_map(|key| self.item(Kind::Flag, &key).map(|item| (key.into_owned(), item))).collect())
    }

    fn upsert(&mut self, _: DataKind, _: &str, _: SerializedItem) -> Result<bool, PersistentStoreError> {
        Err(PersistentStoreError::new("the items of an evaluator are only read"))
    }

    fn is_initialized(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use flagcache_payload::Payload;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Endpoint;
    use crate::context;

    const LIMIT: Duration = Duration::from_secs(20);

    fn events(address: &str) -> Events {
        let body = r#"{"flags":{
            "terse":{"key":"terse","version":4,"on":true,"variations":["a","b"],"fallthrough":{"variation":1},"trackEvents":true},
            "broken":{"key":"broken","version":1,"on":7}}}"#;
        let evaluator = Arc::new(Evaluator::new(Arc::new(Payload::parse(body.into()).unwrap())));
        let events = Endpoint::new("EVENTS", &format!("http://{address}")).unwrap();
        let endpoints = Endpoints { events, ..Endpoints::default() };
        Events::new(SdkKey::new("KEY", "sdk-key").unwrap(), endpoints, evaluator)
    }

    fn evaluated(flag: &str) -> Evaluated {
        Evaluated {
            context: context::keyed("somebody").unwrap(),
            flag: flag.to_owned(),
            default: None,
            with_reason: true,
        }
    }

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    /// One request's head, answered with 202.
    async fn one_request(listener: TcpListener) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            let length = stream.read(&mut buffer).await.unwrap();
            request.extend_from_slice(&buffer[..length]);
        }
        stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&request).to_ascii_lowercase()
    }

    #[tokio::test]
    async fn noted_evaluations_are_sent_by_the_sdk() {
        let (listener, address) = listener().await;
        let events = events(&address);
        events.record(evaluated("terse"));
        events.record(evaluated("missing"));
        let (delivery, request) = tokio::join!(events.deliver(LIMIT), one_request(listener));
        assert!(matches!(delivery, Delivery::Done(2)), "{delivery:?}");
        assert!(request.starts_with("post /bulk http/1.1"), "{request}");
        assert!(request.contains("authorization: sdk-key"), "{request}");
    }

    #[tokio::test]
    async fn with_nothing_noted_nothing_is_started() {
        let events = events("127.0.0.1:1");
        assert!(matches!(events.deliver(LIMIT).await, Delivery::Nothing));
        assert!(events.client.get().is_none());
    }

    #[tokio::test]
    async fn a_host_that_never_answers_costs_the_given_time_and_no_more() {
        let (silent, address) = listener().await;
        let events = events(&address);
        events.record(evaluated("terse"));
        let before = Instant::now();
        let delivery = events.deliver(Duration::from_millis(100)).await;
        assert!(matches!(delivery, Delivery::TimedOut), "{delivery:?}");
        assert!(before.elapsed() < LIMIT, "the given time was a fraction of this");
        events.record(evaluated("terse"));
        let again = Instant::now();
        assert!(matches!(events.deliver(LIMIT).await, Delivery::TimedOut));
        assert!(again.elapsed() < LIMIT / 2, "a host that was silent once is not waited for as long again");
        drop(silent);
    }

    #[tokio::test]
    async fn no_time_left_is_a_timeout_and_not_an_endless_wait() {
        let events = events("127.0.0.1:1");
        events.record(evaluated("terse"));
        assert!(matches!(events.deliver(Duration::ZERO).await, Delivery::TimedOut));
    }

    #[test]
    fn no_more_than_a_buffer_full_is_kept() {
        let events = events("127.0.0.1:1");
        for _ in 0..CAPACITY + 3 {
            events.record(evaluated("terse"));
        }
        let noted = events.noted();
        assert_eq!((noted.evaluated.len(), noted.dropped), (CAPACITY, 3));
    }

    #[test]
    fn the_client_evaluates_as_the_evaluator_does() {
        let events = events("127.0.0.1:1");
        let somebody = context::keyed("somebody").unwrap();
        let null = FlagValue::Json(serde_json::Value::Null);
        for flag in ["terse", "missing"] {
            let ours = events.evaluator.flag(flag, &somebody);
            let sdks = events.client().unwrap().variation_detail(&somebody, flag, null.clone());
            assert_eq!(sdks.value, Some(ours.value.unwrap_or(null.clone())), "{flag}");
            assert_eq!((sdks.variation_index, sdks.reason), (ours.variation, ours.reason), "{flag}");
        }
    }
}
