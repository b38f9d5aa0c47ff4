//! Flags kept as fresh as they must be, and evaluated.
//!
//! Whoever evaluates looks at the table first where that is due; looks are bounded in time and never more than one at
//! once. What was read once stays: a table that fails later is a line in the log and an older answer, not an error.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use flagcache_payload::Items;
use flagcache_sdk::config::{Endpoints, SdkKey};
use flagcache_sdk::events::Delivery;
use flagcache_sdk::routes::Evaluated;
use flagcache_sdk::{Context, Evaluation, Evaluator, Events, FlagValue, json};

use crate::config::{Config, ConfigError};
use crate::freshness::Freshness;
use crate::source::{Fault, News, Source, Table};

/// How long the first look may take before the function begins to serve without flags.
const FIRST_LOOK: Duration = Duration::from_millis(1500);
/// How long a look may take while there are flags to go on with. Where that was too short, the next one may take twice as
/// long, up to [`LOOK_FOR_ANYTHING`]: a look that is broken off begins anew, and a large base would never be read.
const LOOK_FOR_NEWS: Duration = Duration::from_secs(1);
/// How long a look may take while there are none.
const LOOK_FOR_ANYTHING: Duration = Duration::from_secs(5);

/// LaunchDarkly flags out of a table.
///
/// Shared by reference or in an [`Arc`]; needs a tokio runtime with its timer.
pub struct Flags {
    source: Box<dyn Source>,
    events: Option<(SdkKey, Endpoints)>,
    loaded: OnceLock<Loaded>,
    known: Mutex<Known>,
    /// Held while somebody looks.
    looking: tokio::sync::Mutex<()>,
}

/// What there is once flags were read.
struct Loaded {
    evaluator: Arc<Evaluator>,
    events: Option<Events>,
}

struct Known {
    freshness: Freshness,
    generation: Option<u64>,
    fault: Option<Fault>,
    /// How long the next look may take if there are flags.
    look_for_news: Duration,
}

/// How the flags stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// In one word.
    pub state: State,
    /// The snapshot's generation; nothing with no flags, or with flags that store did not write.
    pub generation: Option<u64>,
    /// The time since the table was last found in order, by the wall clock; nothing with no flags.
    pub age: Option<Duration>,
    /// Why the last look failed.
    pub fault: Option<Fault>,
}

/// How the flags stand, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There are flags, and the last look at the table succeeded.
    Ok,
    /// There are flags, but the last look failed.
    Stale,
    /// There are none.
    Empty,
}

impl Flags {
    /// The flags that the environment names, read before this returns if that is possible in 1.5 seconds.
    ///
    /// # Errors
    /// Where a variable is missing or wrong. A table that cannot be read is no error here: it can be better at the
    /// first evaluation.
    pub async fn from_env() -> Result<Self, ConfigError> {
        let config = Config::from_env()?;
        let client = flagcache_aws::dynamodb(&flagcache_aws::sdk_config().await?);
        let flags = Self::new(&config, client);
        flags.first_look().await;
        Ok(flags)
    }

    /// Flags of a table that this client reads. Nothing is asked for yet.
    pub fn new(config: &Config, client: aws_sdk_dynamodb::Client) -> Self {
        Self::over(config, Box::new(Table::new(client, &config.table, &config.prefix)))
    }

    /// Flags of any source.
    pub fn over(config: &Config, source: Box<dyn Source>) -> Self {
        let freshness = Freshness::new(config.cache_ttl);
        Self {
            source,
            events: config.events.clone(),
            loaded: OnceLock::new(),
            known: Mutex::new(Known { freshness, generation: None, fault: None, look_for_news: LOOK_FOR_NEWS }),
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// The look before the first use: long enough for a new connection, short enough for a function's start.
    pub async fn first_look(&self) {
        self.look(FIRST_LOOK).await;
    }

    /// Looks at the table where that is due, for no longer than this. Evaluations do so themselves.
    pub async fn look(&self, within: Duration) {
        if !self.is_due() {
            return;
        }
        let _looking = match self.looking.try_lock() {
            Ok(looking) => looking,
            // Somebody else looks, and there is something to go on with.
            Err(_) if self.loaded.get().is_some() => return,
            Err(_) => self.looking.lock().await,
        };
        if !self.is_due() {
            return;
        }
        let is_loaded = self.loaded.get().is_some();
        let allowed = if is_loaded { self.known().look_for_news } else { LOOK_FOR_ANYTHING };
        let within = within.min(allowed);
        let began = SystemTime::now();
        match tokio::time::timeout(within, self.source.look()).await {
            Ok(Ok(news)) => self.succeeded(began, news),
            Ok(Err(fault)) => self.failed(began, fault),
            Err(_) => {
                if is_loaded {
                    self.known().look_for_news = (2 * allowed).min(LOOK_FOR_ANYTHING);
                }
                self.failed(began, Fault::timed_out(within));
            }
        }
    }

    fn is_due(&self) -> bool {
        self.known().freshness.is_due(SystemTime::now())
    }

    fn succeeded(&self, began: SystemTime, news: Option<News>) {
        let mut known = self.known();
        known.freshness.succeeded(began);
        known.fault = None;
        known.look_for_news = LOOK_FOR_NEWS;
        let Some(News { items, generation }) = news else { return };
        known.generation = generation;
        // Only who holds `looking` comes here, so nobody sets it in between.
        match self.loaded.get() {
            Some(loaded) => loaded.evaluator.set_items(items),
            None => drop(self.loaded.set(self.load(items))),
        }
    }

    fn load(&self, items: Arc<dyn Items>) -> Loaded {
        let evaluator = Arc::new(Evaluator::new(items));
        let events = self.events.clone();
        let events = events.map(|(key, endpoints)| Events::new(key, endpoints, Arc::clone(&evaluator)));
        Loaded { evaluator, events }
    }

    fn failed(&self, began: SystemTime, fault: Fault) {
        let mut known = self.known();
        known.freshness.failed(began);
        let age = known.freshness.age(SystemTime::now());
        if let Some(age) = age {
            let age_seconds = age.as_secs();
            tracing::warn!(%fault, age_seconds, "flags cannot be refreshed; going on with those that are there");
        } else {
            tracing::error!(%fault, "flags cannot be read, and there are none to go on with");
        }
        known.fault = Some(fault);
    }

    /// How the flags stand now. Does not look.
    pub fn status(&self) -> Status {
        let known = self.known();
        let state = match (self.loaded.get(), known.freshness.is_stale()) {
            (None, _) => State::Empty,
            (Some(_), false) => State::Ok,
            (Some(_), true) => State::Stale,
        };
        let age = known.freshness.age(SystemTime::now());
        Status { state, generation: known.generation, age, fault: known.fault.clone() }
    }

    /// What evaluates the flags; nothing as long as there are none.
    pub fn evaluator(&self) -> Option<&Evaluator> {
        self.loaded.get().map(|loaded| &*loaded.evaluator)
    }

    /// One flag in detail; nothing as long as there are no flags at all.
    pub async fn evaluate(&self, flag: &str, context: &Context) -> Option<Evaluation> {
        self.evaluated(flag, context, None, true).await
    }

    /// A flag's value if it is a boolean, else the default.
    pub async fn bool_variation(&self, flag: &str, context: &Context, default: bool) -> bool {
        match self.value(flag, context, default.into()).await {
            Some(FlagValue::Bool(value)) => value,
            other => or_default(flag, "a boolean", other.as_ref(), default),
        }
    }

    /// A flag's value if it is a string, else the default.
    pub async fn str_variation(&self, flag: &str, context: &Context, default: &str) -> String {
        match self.value(flag, context, default.to_owned().into()).await {
            Some(FlagValue::Str(value)) => value,
            other => or_default(flag, "a string", other.as_ref(), default.to_owned()),
        }
    }

    /// A flag's value if it is a number, else the default.
    pub async fn float_variation(&self, flag: &str, context: &Context, default: f64) -> f64 {
        match self.value(flag, context, default.into()).await {
            Some(FlagValue::Number(value)) => value,
            other => or_default(flag, "a number", other.as_ref(), default),
        }
    }

    /// A flag's value, whatever it is, else the default.
    pub async fn json_variation(&self, flag: &str, context: &Context, default: serde_json::Value) -> serde_json::Value {
        let value = self.value(flag, context, default.clone()).await;
        value.and_then(|value| serde_json::to_value(json::Value::Flag(&value)).ok()).unwrap_or(default)
    }

    async fn value(&self, flag: &str, context: &Context, default: serde_json::Value) -> Option<FlagValue> {
        self.evaluated(flag, context, Some(default), false).await?.value
    }

    async fn evaluated(
        &self,
        flag: &str,
        context: &Context,
        default: Option<serde_json::Value>,
        with_reason: bool,
    ) -> Option<Evaluation> {
        self.look(LOOK_FOR_ANYTHING).await;
        let evaluation = self.evaluator()?.flag(flag, context);
        self.record(|| Evaluated { context: context.clone(), flag: flag.to_owned(), default, with_reason });
        Some(evaluation)
    }

    /// Takes note of an evaluation that was made past this type, where events are wanted.
    pub fn record(&self, evaluated: impl FnOnce() -> Evaluated) {
        if let Some(events) = self.loaded.get().and_then(|loaded| loaded.events.as_ref()) {
            events.record(evaluated());
        }
    }

    /// Sends the analytics events of all evaluations so far, for no longer than this. Best called when the answer is out.
    pub async fn send_events(&self, within: Duration) {
        let Some(events) = self.loaded.get().and_then(|loaded| loaded.events.as_ref()) else { return };
        match events.deliver(within).await {
            Delivery::Nothing => {}
            Delivery::Done(evaluations) => tracing::debug!(evaluations, "events sent"),
            Delivery::TimedOut => {
                tracing::warn!("events could not be sent in time; what is left goes with the next ones");
            }
            Delivery::Failed(error) => tracing::error!(%error, "events cannot be sent"),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn or_default<T>(flag: &str, wanted: &str, found: Option<&FlagValue>, default: T) -> T {
    if let Some(found) = found {
        let found = match found {
            FlagValue::Bool(_) => "a boolean",
            FlagValue::Str(_) => "a string",
            FlagValue::Number(_) => "a number",
            FlagValue::Json(_) => "JSON",
        };
        tracing::warn!(flag, "the flag is asked for as {wanted} but is {found}; the default is used");
    }
    default
}

#[cfg(test)]
mod tests;
