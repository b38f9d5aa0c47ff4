//! One log line and one line of metrics per invocation, and the summary that the caller gets.

use std::time::SystemTime;

use flagcache_lambda::metrics::Metrics;
use launchdarkly_server_sdk_dynamodb::sync::{Counts, Outcome, Summary};
use serde_json::{Value, json};

use crate::failure::Failure;

/// What is known of an invocation besides how it ended.
pub(crate) struct Context<'a> {
    pub(crate) function_name: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) prefix: &'a str,
    pub(crate) trigger: &'static str,
    pub(crate) changed_at_ms: Option<u64>,
    pub(crate) duration_ms: u64,
    pub(crate) now_ms: u64,
}

/// The summary as the caller gets it.
pub(crate) fn summary(summary: &Summary, trigger: &str, duration_ms: u64) -> Value {
    let counts = |counts: Counts| json!({"total": counts.total, "written": counts.written, "deleted": counts.deleted});
    let mut told = json!({
        "outcome": outcome(summary.outcome),
        "trigger": trigger,
        "flags": counts(summary.flags),
        "segments": counts(summary.segments),
        "fresh": summary.fresh,
        "tooLarge": summary.too_large,
        "generation": summary.generation,
        "attempts": summary.attempts,
        "durationMs": duration_ms,
    });
    if !summary.overrides_replaced.is_empty() {
        told["overridesReplaced"] = json!(summary.overrides_replaced);
    }
    told
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Updated => "updated",
        Outcome::Unchanged => "unchanged",
    }
}

/// Tells of a sync that was made.
pub(crate) fn synced(context: &Context<'_>, done: &Summary) {
    let (written, deleted) = (done.flags.written + done.segments.written, done.flags.deleted + done.segments.deleted);
    tracing::info!(
        outcome = outcome(done.outcome),
        trigger = context.trigger,
        flags = done.flags.total,
        segments = done.segments.total,
        written,
        deleted,
        fresh = done.fresh,
        too_large = done.too_large.join(","),
        generation = done.generation,
        attempts = done.attempts,
        duration_ms = context.duration_ms,
        "synced"
    );
    if !done.overrides_replaced.is_empty() {
        tracing::warn!(flags = done.overrides_replaced.join(","), "overrides replaced by LaunchDarkly's own flags");
    }
    let mut metrics = metrics(context)
        .count("ItemsWritten", written)
        .count("ItemsDeleted", deleted)
        .milliseconds("SyncDuration", whole(context.duration_ms))
        .count("Stale", u64::from(!done.fresh))
        .count("TooLarge", done.too_large.len() as u64)
        .count("Conflicts", u64::from(done.attempts.saturating_sub(1)));
    if let Some(changed_at_ms) = context.changed_at_ms {
        let delay_ms = context.now_ms.saturating_sub(changed_at_ms);
        metrics = metrics.milliseconds("PropagationDelay", whole(delay_ms));
    }
    metrics.count("Syncs", 1).count("SignatureRejected", 0).count("UpstreamErrors", 0).print();
}

/// Tells of an invocation that failed.
pub(crate) fn failed(context: &Context<'_>, failure: &Failure) {
    let (status, code) = failure.status();
    let error = failure.message();
    if status < 500 {
        tracing::warn!(code, status, trigger = context.trigger, error, "refused");
    } else {
        tracing::error!(
            code,
            status,
            trigger = context.trigger,
            duration_ms = context.duration_ms,
            error,
            "not synced"
        );
    }
    metrics(context)
        .count("Syncs", 0)
        .count("SignatureRejected", u64::from(status == 401))
        .count("UpstreamErrors", u64::from(status == 502))
        .count("Conflicts", u64::from(code == "table-contended"))
        .print();
}

fn metrics(context: &Context<'_>) -> Metrics {
    Metrics::new(context.function_name, SystemTime::now())
        .dimension("Prefix", context.prefix)
        .property("requestId", context.request_id)
        .property("trigger", context.trigger)
}

/// Milliseconds as metrics have them; no duration comes near 2^53.
#[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 milliseconds")]
const fn whole(milliseconds: u64) -> f64 {
    milliseconds as f64
}
