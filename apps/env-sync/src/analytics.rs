//! Analytics events: what was evaluated, delivered by the SDK a few seconds later and at the end.
//!
//! Nothing here is in the way of a write. A delivery has each flag once, with its value of that moment: a storm evaluates
//! the same few again and again, and what they were in between no program has seen. The SDK's buffer is small, so what
//! `--all` evaluates goes in portions; what cannot be delivered in time is the SDK's to drop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flagcache_sdk::events::{Delivery, Events};
use flagcache_sdk::routes::Evaluated;
use flagcache_sdk::{Context, Evaluator};
use tokio::task::JoinHandle;

use crate::settings::Settings;

/// How long events are gathered.
pub const GATHERING: Duration = Duration::from_secs(5);

/// How many fit the SDK's buffer beside what belongs to them.
const PORTION: usize = 400;

/// Gathers evaluations and has them delivered.
pub struct Analytics {
    events: Option<Arc<Events>>,
    context: Context,
    gathered: BTreeSet<String>,
    delivery: Option<JoinHandle<()>>,
}

impl Analytics {
    /// Nothing is gathered; nothing ever is where events are turned off.
    pub fn new(settings: &Settings, evaluator: Arc<Evaluator>) -> Self {
        let events = || Arc::new(Events::new(settings.key.clone(), settings.endpoints.clone(), evaluator));
        Self {
            events: settings.events.then(events),
            context: settings.context.clone(),
            gathered: BTreeSet::new(),
            delivery: None,
        }
    }

    /// Takes note of evaluated flags.
    pub fn note(&mut self, flags: Vec<String>) {
        if self.events.is_some() {
            self.gathered.extend(flags);
        }
    }

    /// Whether there is anything to deliver.
    pub fn is_waiting(&self) -> bool {
        !self.gathered.is_empty()
    }

    /// Delivers in the background, one delivery at a time.
    pub fn deliver(&mut self) {
        let is_busy = self.delivery.as_ref().is_some_and(|delivery| !delivery.is_finished());
        let Some(events) = self.events.as_ref().filter(|_| !is_busy) else { return };
        let (events, flags, context) = (Arc::clone(events), std::mem::take(&mut self.gathered), self.context.clone());
        self.delivery = Some(tokio::spawn(async move { deliver(&events, flags, &context, GATHERING).await }));
    }

    /// Delivers the rest, within this time.
    pub async fn finish(mut self, within: Duration) {
        let Some(events) = self.events.take() else { return };
        let rest = async {
            if let Some(delivery) = self.delivery.take() {
                // Its task can only end.
                let _ = delivery.await;
            }
            deliver(&events, self.gathered, &self.context, within).await;
        };
        if tokio::time::timeout(within, rest).await.is_err() {
            tracing::debug!("the last events could not be delivered in time");
        }
    }
}

async fn deliver(events: &Events, flags: BTreeSet<String>, context: &Context, within: Duration) {
    let mut flags = flags.into_iter().peekable();
    while flags.peek().is_some() {
        for flag in flags.by_ref().take(PORTION) {
            let default = Some(serde_json::Value::String(String::new()));
            events.record(Evaluated { context: context.clone(), flag, default, with_reason: false });
        }
        match events.deliver(within).await {
            Delivery::Nothing | Delivery::Done(_) => {}
            Delivery::TimedOut => return tracing::debug!("LaunchDarkly's events service does not answer in time"),
            Delivery::Failed(error) => return tracing::warn!(%error, "no events can be sent"),
        }
    }
}
