//! What a sync tells its caller.

use flagcache_payload::Kind;

use super::plan::Plan;
use super::{Counts, Outcome, Summary};
use crate::table::Head;

/// What there is to say where nothing had to be looked at.
pub(super) fn unchanged(head: &Head, fresh: bool) -> Summary {
    Summary {
        outcome: Outcome::Unchanged,
        flags: Counts { total: head.totals.flags, ..Counts::default() },
        segments: Counts { total: head.totals.segments, ..Counts::default() },
        fresh,
        too_large: head.too_large.clone(),
        generation: head.generation,
        attempts: 1,
        fetched_at_ms: head.synced_at_ms,
        overrides_replaced: Vec::new(),
    }
}

/// What there is to say of a plan once it is written.
pub(super) fn summary(plan: &Plan<'_>, fresh: bool, overrides_replaced: Vec<String>) -> Summary {
    let counts = |kind| plan.counts.get(&kind).copied().unwrap_or_default();
    Summary {
        outcome: plan.outcome(),
        flags: counts(Kind::Flag),
        segments: counts(Kind::Segment),
        fresh,
        too_large: plan.head.too_large.clone(),
        generation: plan.head.generation,
        attempts: 1,
        fetched_at_ms: plan.head.synced_at_ms,
        overrides_replaced,
    }
}
