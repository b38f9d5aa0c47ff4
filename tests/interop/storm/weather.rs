//! The faults of the storm: what real tables and caches do, no worse.
//!
//! LaunchDarkly's answers are at most a second or so old, as the guarantees assume.

use super::site::Site;
use flagcache_tests::generate::Dice;
use flagcache_tests::proxy::{Fault, Misbehaviour, Proxy};
use local::standin::Misbehaviour as Upstream;
use std::time::Duration;

/// A fault of the table, for the next requests of either environment.
pub(super) fn over_the_table(dice: &mut Dice, proxy: &Proxy) {
    let milliseconds = dice.between(30, 400) as u64;
    let fault = match dice.below(12) {
        0..3 => Fault::once(Misbehaviour::throttled()).times(dice.between(1, 4)),
        3..5 => Fault::once(Misbehaviour::broken()).times(dice.between(1, 4)),
        5 => Fault::once(Misbehaviour::Drop),
        6..8 => Fault::once(Misbehaviour::LoseAnswer).at("TransactWriteItems"),
        8 => Fault::once(Misbehaviour::LoseAnswer),
        9 => Fault::once(Misbehaviour::TakeHalf).at("BatchWriteItem").times(2),
        10 => Fault::once(Misbehaviour::TakeHalf).at("BatchGetItem"),
        _ => Fault::once(Misbehaviour::Delay(Duration::from_millis(milliseconds))).times(dice.between(1, 3)),
    };
    proxy.inject(fault);
}

/// A fault of one environment's LaunchDarkly.
pub(super) fn over_launchdarkly(dice: &mut Dice, site: &Site) {
    let milliseconds = dice.between(20, 300) as u64;
    let fault = match dice.below(7) {
        0..3 => match site.recent_changes() {
            0 => return,
            recent => Upstream::stale(dice.between(1, recent)).lasting(Duration::from_millis(300)),
        },
        3 => Upstream::status(503).times(dice.between(1, 3)),
        4 => Upstream::reset().times(1),
        5 => Upstream::cut_off(dice.between(0, 50_000)).times(1),
        _ => Upstream::delay(Duration::from_millis(milliseconds)).times(3),
    };
    site.launchdarkly.misbehave(fault);
}
