//! From an invocation to its answer.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flagcache_lambda::event::Invocation;
use flagcache_lambda::serve::{Event, Fault, Outcome};
use launchdarkly_server_sdk_dynamodb::sync::{Request, Summary, SyncError, Thoroughness};

use crate::failure::Failure;
use crate::report;
use crate::start::Store;
use crate::webhook::{self, Hint};

/// What is left of an invocation's time for log, metrics and answer when waiting ends.
const MARGIN: Duration = Duration::from_millis(300);

/// Handles one invocation. A function that could not be put together answers with why.
pub(crate) async fn handle(store: Result<&Store, &Failure>, event: Event) -> Outcome {
    let trigger = trigger(&event.invocation);
    let over_http = matches!(event.invocation, Invocation::Http(_));
    let started = Instant::now();
    let mut changed_at_ms = None;
    let result = match store {
        Err(failure) => Err(Refusal::Lasting(failure)),
        Ok(store) => run_in_time(store, &event, &mut changed_at_ms).await.map_err(Refusal::Own),
    };
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let context = report::Context {
        function_name: &event.function_name,
        request_id: &event.request_id,
        prefix: store.map_or("", |store| &store.prefix),
        trigger,
        changed_at_ms,
        duration_ms,
        now_ms: milliseconds(SystemTime::now()),
    };
    match result {
        Ok(summary) => {
            report::synced(&context, &summary);
            Outcome::Value(report::summary(&summary, trigger, duration_ms))
        }
        Err(refusal) => {
            report::failed(&context, refusal.failure());
            fail(refusal.failure(), over_http)
        }
    }
}

/// A failure of this invocation, or the one that every invocation meets.
enum Refusal<'a> {
    Own(Failure),
    Lasting(&'a Failure),
}

impl Refusal<'_> {
    const fn failure(&self) -> &Failure {
        match self {
            Self::Own(failure) => failure,
            Self::Lasting(failure) => failure,
        }
    }
}

/// Ends before Lambda ends it: whoever is stopped in the middle can tell nobody why.
async fn run_in_time(store: &Store, event: &Event, changed_at_ms: &mut Option<u64>) -> Result<Summary, Failure> {
    let left = event.deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(MARGIN);
    let run = tokio::time::timeout(left, run(store, event, changed_at_ms));
    run.await.unwrap_or_else(|_| Err(SyncError::OutOfTime.into()))
}

async fn run(store: &Store, event: &Event, changed_at_ms: &mut Option<u64>) -> Result<Summary, Failure> {
    let thoroughness = match &event.invocation {
        Invocation::Http(request) => {
            webhook::refuse_outright(request)?;
            let secret = store.webhook_secret.as_ref();
            let Hint { named, changed_at_ms: changed } =
                webhook::admit(request, &store.secrets, secret, store.signature_required).await?;
            *changed_at_ms = changed;
            Thoroughness::Quick { named, changed_at_ms: changed }
        }
        Invocation::Schedule { .. } | Invocation::Manual(_) => Thoroughness::Whole,
    };
    let deadline_ms = milliseconds(event.deadline);
    Ok(store.syncer.sync(&Request { thoroughness, deadline_ms }).await?)
}

const fn trigger(invocation: &Invocation) -> &'static str {
    match invocation {
        Invocation::Http(_) => "webhook",
        Invocation::Schedule { .. } => "schedule",
        Invocation::Manual(_) => "manual",
    }
}

fn fail(failure: &Failure, over_http: bool) -> Outcome {
    if over_http {
        return Outcome::Answer(failure.answer());
    }
    Outcome::Fault(Fault::new(failure.status().1, failure.message()))
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
