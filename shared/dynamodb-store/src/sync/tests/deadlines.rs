//! Stories of much and of little time.

use std::task::Poll;

use super::scenarios::{SETTINGS, assert_holds, filled, flag, sync};
use super::table::Bug;
use super::world::{World, poll};
use crate::sync::{Request, Summary, SyncError, Syncer, Thoroughness};

type Result = std::result::Result<Summary, SyncError<super::world::Unreachable>>;

/// Runs a sync in which every step takes so long.
fn crawl(world: &World, step_ms: u64, deadline_ms: u64) -> Result {
    let syncer = Syncer::new(world.clone(), world.clone(), world.clone(), SETTINGS);
    let request = Request { thoroughness: Thoroughness::Whole, deadline_ms };
    let mut sync = Box::pin(syncer.sync(&request));
    for _ in 0..20_000 {
        if let Poll::Ready(result) = poll(sync.as_mut()) {
            return result;
        }
        world.pass_time(step_ms);
    }
    panic!("it never ends");
}

#[test]
fn a_slow_whole_sync_deletes_too() {
    let world = filled(&[("a", 1), ("b", 1)]);
    world.unset(&flag("a"));
    let deadline_ms = world.state().now_ms + 60_000;
    assert_eq!(crawl(&world, 1_200, deadline_ms).unwrap().flags.deleted, 1);
    assert_holds(&world, &[("b", 1)]);
}

#[test]
fn who_has_no_time_left_blames_nobody_else() {
    let world = filled(&[("a", 1)]);
    let asked = world.state().fetches;
    let deadline_ms = world.state().now_ms + 1_000;
    assert!(matches!(crawl(&world, 0, deadline_ms), Err(SyncError::OutOfTime)));
    assert_eq!(world.state().fetches, asked);
}

#[test]
fn a_lease_ends_however_much_time_its_holder_has() {
    let world = filled(&[("a", 1)]);
    world.change(|truth| truth.extend((0..200).map(|n| (flag(&format!("f{n}")), 1))));
    let syncer = Syncer::new(world.clone(), world.clone(), world.clone(), SETTINGS);
    let request = Request { thoroughness: Thoroughness::Whole, deadline_ms: u64::MAX };
    let mut holder = Box::pin(syncer.sync(&request));
    while world.state().head.as_ref().unwrap().lease.is_none() {
        assert!(poll(holder.as_mut()).is_pending());
    }
    drop(holder);
    let lease = world.state().head.as_ref().unwrap().lease.unwrap();
    let remaining_ms = lease.expires_at_ms - world.state().now_ms;
    assert_eq!(remaining_ms, 15 * 60 * 1_000 + 1_000);
    assert_eq!(crawl(&world, 100, u64::MAX).unwrap().flags.total, 201);
}

/// Freezes who writes many changes behind a lease, lets LaunchDarkly delete one of them and another sync finish after the
/// lease has ended, and thaws the first. What official layout and snapshot then hold of that flag.
fn after_a_holder_was_frozen(bug: Option<Bug>) -> [Option<u64>; 2] {
    let world = filled(&[("a", 1)]);
    world.state().bug = bug;
    world.change(|truth| truth.extend((0..200).map(|n| (flag(&format!("f{n:03}")), 1))));
    let syncer = Syncer::new(world.clone(), world.clone(), world.clone(), SETTINGS);
    let quick = Thoroughness::Quick { named: Vec::new(), changed_at_ms: None };
    let request = Request { thoroughness: quick, deadline_ms: world.state().now_ms + 10_000 };
    let mut frozen = Box::pin(syncer.sync(&request));
    while !world.state().items.contains_key(&flag("f000")) {
        assert!(poll(frozen.as_mut()).is_pending());
    }
    world.pass_time(60_000);
    world.unset(&flag("f199"));
    sync(&world, Thoroughness::Whole).unwrap();
    while poll(frozen.as_mut()).is_pending() {
        world.pass_time(1);
    }
    [world.versions().get(&flag("f199")).copied(), world.snapshot().unwrap().version(&flag("f199"))]
}

#[test]
fn who_was_frozen_for_longer_than_its_lease_finds_the_fence() {
    assert_eq!(after_a_holder_was_frozen(None), [None, None]);
}

#[test]
fn without_the_fence_it_would_bring_back_what_was_deleted() {
    assert_eq!(after_a_holder_was_frozen(Some(Bug::FenceDropped)), [Some(1), None]);
}
