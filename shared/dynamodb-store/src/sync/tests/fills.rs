//! Stories of a first fill too large for one transaction.

use std::task::Poll;

use super::scenarios::{SETTINGS, assert_holds, flag, sync};
use super::table::Fault;
use super::world::{World, poll};
use crate::sync::{Outcome, Request, SyncError, Syncer, Thoroughness};
use crate::table::Lease;

/// Flags of which each third needs `a`; by key, as LaunchDarkly's payload has them.
fn keys() -> Vec<String> {
    (0..200).map(|n| format!("f{n:03}{}", if n % 3 == 0 { "!" } else { "" })).chain(["a".to_owned()]).collect()
}

fn empty() -> World {
    let world = World::default();
    world.pass_time(1_000_000);
    world.change(|truth| truth.extend(keys().iter().map(|key| (flag(key), 1))));
    world
}

fn assert_filled(world: &World) {
    let keys = keys();
    let expected: Vec<_> = keys.iter().map(|key| (key.as_str(), 1)).collect();
    assert_holds(world, &expected);
    assert!(world.state().inited);
}

fn with_deadline(world: &World, deadline_ms: u64) -> Result<Outcome, SyncError<super::world::Unreachable>> {
    let syncer = Syncer::new(world.clone(), world.clone(), world.clone(), SETTINGS);
    let request = Request { thoroughness: Thoroughness::Whole, deadline_ms };
    world.run(syncer.sync(&request)).map(|summary| summary.outcome)
}

#[test]
fn nothing_is_put_before_what_it_needs() {
    let world = empty();
    sync(&world, Thoroughness::Whole).unwrap();
    assert_filled(&world);
    let landed = std::mem::take(&mut world.state().landed);
    let place = |key: &str| landed.iter().position(|id| id.key == key).unwrap();
    assert!(keys().iter().filter(|key| key.ends_with('!')).all(|key| place("a") < place(key)));
}

#[test]
fn throttled_batches_and_what_they_leave_over_are_tried_again() {
    let world = empty();
    world.state().faults = [Fault::None, Fault::LeftOver, Fault::Throttled].repeat(5);
    sync(&world, Thoroughness::Whole).unwrap();
    assert_filled(&world);
}

#[test]
fn where_an_answer_got_lost_the_head_waits_until_nothing_can_land_any_more() {
    let world = empty();
    world.state().faults = vec![Fault::None, Fault::LostAnswer];
    let before = world.state().now_ms;
    sync(&world, Thoroughness::Whole).unwrap();
    assert!(world.state().now_ms - before >= 10_000);
    assert_filled(&world);
}

#[test]
fn a_lease_is_not_given_back_while_a_put_may_still_land() {
    let world = empty();
    world.state().faults = [Fault::None, Fault::LostAnswer].into_iter().chain([Fault::Throttled; 200]).collect();
    assert!(matches!(sync(&world, Thoroughness::Whole), Err(SyncError::Table(_))));
    let lease = world.state().head.as_ref().unwrap().lease;
    assert!(lease.is_some_and(|lease| lease.is_held(world.state().now_ms)), "{lease:?}");
    world.state().faults.clear();
    assert_eq!(with_deadline(&world, u64::MAX).unwrap(), Outcome::Updated);
    assert_filled(&world);
}

#[test]
fn a_lease_is_given_back_where_nothing_can_land_any_more() {
    let world = empty();
    world.state().faults = vec![Fault::None, Fault::None, Fault::Denied];
    assert!(matches!(sync(&world, Thoroughness::Whole), Err(SyncError::Table(_))));
    assert_eq!(world.state().head.as_ref().unwrap().lease, Some(Lease { expires_at_ms: 0 }));
}

#[test]
fn who_was_dead_for_longer_than_its_lease_sends_nothing_more() {
    let world = empty();
    let deadline_ms = world.state().now_ms + 10_000;
    let syncer = Syncer::new(world.clone(), world.clone(), world.clone(), SETTINGS);
    let request = Request { thoroughness: Thoroughness::Whole, deadline_ms };
    let mut frozen = Box::pin(syncer.sync(&request));
    while world.state().batches == 0 {
        assert!(poll(frozen.as_mut()).is_pending());
    }
    let sent = world.state().batches;
    world.pass_time(60_000);
    world.change(|truth| truth.values_mut().for_each(|version| *version = 2));
    assert_eq!(sync(&world, Thoroughness::Whole).unwrap().outcome, Outcome::Updated);
    let result = loop {
        if let Poll::Ready(result) = poll(frozen.as_mut()) {
            break result;
        }
    };
    assert!(matches!(result, Err(SyncError::OutOfTime)), "{result:?}");
    assert_eq!(world.state().batches, sent);
    assert!(world.versions().values().all(|version| *version == 2));
}
