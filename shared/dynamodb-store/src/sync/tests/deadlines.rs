//! Stories of much and of little time.

use std::task::Poll;

use super::scenarios::{SETTINGS, assert_holds, filled, flag};
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
