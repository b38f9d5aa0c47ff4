//! Flags that somebody overrides by hand while LaunchDarkly cannot be asked, and how LaunchDarkly gets its word again.

use std::convert::Infallible;

use flagcache_payload::{Items, Kind};

use super::scenarios::{assert_holds, filled, flag, sync, webhook};
use super::table::Fault;
use super::world::{World, json, poll};
use crate::overrides::{EditError, Edited, FlagEdit, edit_flag, read_flag};
use crate::snapshot::{Delta, Tombstone};
use crate::sync::{Change, Outcome, SyncError, Thoroughness};
use crate::table::Lease;

const QUICK: Thoroughness = Thoroughness::Quick { named: Vec::new(), changed_at_ms: None };

fn overridden(key: &str, version: u64) -> String {
    format!(r#"{{"key":"{key}","version":{version},"on":false}}"#)
}

fn edit(world: &World, key: &str, version: u64, is_launchdarklys: bool) -> Result<Edited, EditError<Infallible>> {
    let deadline_ms = world.state().now_ms + 1_000;
    let wanted = FlagEdit { json: overridden(key, version), version, is_launchdarklys };
    world.run(edit_flag(world, world, key, deadline_ms, |_: &str| Ok(Some(wanted.clone()))))
}

fn override_flag(world: &World, key: &str, version: u64) {
    assert!(matches!(edit(world, key, version, false), Ok(Edited::Written { .. })));
}

fn assert_overridden(world: &World, key: &str, version: u64) {
    let expected = overridden(key, version);
    assert_eq!(world.state().items[&flag(key)], (version, expected.clone()), "the official layout");
    assert_eq!(world.snapshot().unwrap().json(Kind::Flag, key).as_deref(), Some(&*expected), "the snapshot");
}

#[test]
fn an_override_is_one_transaction_that_every_reader_follows() {
    let world = filled(&[("a", 2), ("b", 1)]);
    let commits = world.state().commits;
    let generation = world.snapshot().unwrap().generation();
    override_flag(&world, "a", 3);
    assert_eq!(world.state().commits, commits + 1);
    assert_eq!(world.snapshot().unwrap().generation(), generation + 1);
    assert_overridden(&world, "a", 3);
    assert_eq!(world.run(read_flag(&world, "a")).unwrap(), Some(overridden("a", 3)));
    assert_eq!(world.run(read_flag(&world, "none")).unwrap(), None);
    assert!(matches!(edit(&world, "none", 3, false), Ok(Edited::Absent)));
}

#[test]
fn it_stays_while_launchdarkly_does_not_answer_and_gives_way_to_its_next_answer() {
    for thoroughness in [QUICK, Thoroughness::Whole] {
        let world = filled(&[("a", 2), ("b", 1)]);
        override_flag(&world, "a", 3);
        world.state().body = Some("unreachable".to_owned());
        assert!(matches!(sync(&world, thoroughness.clone()), Err(SyncError::Payload(_))));
        assert_overridden(&world, "a", 3);
        world.state().body = None;
        let fetches = world.state().fetches;
        let summary = sync(&world, thoroughness.clone()).unwrap();
        assert_eq!((summary.outcome, summary.fresh), (Outcome::Updated, true));
        assert_eq!((summary.overrides_replaced, summary.flags.written), (vec!["a".to_owned()], 1));
        assert_eq!(world.state().fetches, fetches + 1, "one answer is enough");
        assert_holds(&world, &[("a", 2), ("b", 1)]);
        assert_eq!(sync(&world, thoroughness).unwrap().overrides_replaced, Vec::<String>::new());
    }
}

#[test]
fn an_override_of_an_override_gives_way_to_the_version_below_both() {
    let world = filled(&[("a", 2)]);
    override_flag(&world, "a", 3);
    override_flag(&world, "a", 4);
    assert_eq!(sync(&world, QUICK).unwrap().overrides_replaced, ["a"]);
    assert_holds(&world, &[("a", 2)]);
}

#[test]
fn launchdarklys_next_change_may_carry_the_overrides_own_version() {
    let world = filled(&[("a", 2)]);
    override_flag(&world, "a", 3);
    world.set(flag("a"), 3);
    let summary = sync(&world, webhook(&world, "a", Change::Updated, Some(3))).unwrap();
    assert_eq!((summary.overrides_replaced, summary.fresh), (vec!["a".to_owned()], true));
    assert_holds(&world, &[("a", 3)]);
}

#[test]
fn an_answer_older_than_what_was_overridden_is_still_an_old_answer() {
    let world = filled(&[("a", 1)]);
    world.pass_time(10_000);
    world.set(flag("a"), 2);
    assert!(sync(&world, QUICK).unwrap().fresh);
    override_flag(&world, "a", 3);
    world.state().lags = vec![5_000; 40];
    let summary = sync(&world, QUICK).unwrap();
    assert!(!summary.fresh && summary.overrides_replaced.is_empty(), "{summary:?}");
    assert_overridden(&world, "a", 3);
    world.state().lags.clear();
    assert_eq!(sync(&world, QUICK).unwrap().overrides_replaced, ["a"]);
    assert_holds(&world, &[("a", 2)]);
}

#[test]
fn a_flag_that_was_deleted_under_its_override_goes() {
    let world = filled(&[("a", 2), ("b", 1)]);
    override_flag(&world, "a", 3);
    override_flag(&world, "a", 4);
    world.unset(&flag("a"));
    let summary = sync(&world, webhook(&world, "a", Change::Deleted, Some(3))).unwrap();
    assert_eq!((summary.overrides_replaced, summary.flags.deleted), (vec!["a".to_owned()], 1));
    assert_holds(&world, &[("b", 1)]);
}

#[test]
fn an_override_that_launchdarkly_came_to_itself_is_none_any_more() {
    let world = filled(&[("a", 2)]);
    override_flag(&world, "a", 3);
    world.state().body = Some(format!(r#"{{"flags":{{"a":{}}},"segments":{{}}}}"#, overridden("a", 3)));
    let summary = sync(&world, QUICK).unwrap();
    assert_eq!((summary.outcome, summary.overrides_replaced), (Outcome::Unchanged, Vec::new()));
    assert!(world.state().head.as_ref().unwrap().overrides.is_empty());
}

#[test]
fn an_override_taken_back_leaves_nothing_to_replace() {
    let world = filled(&[("a", 2)]);
    override_flag(&world, "a", 3);
    override_flag(&world, "a", 2);
    assert!(world.state().head.as_ref().unwrap().overrides.is_empty());
    override_flag(&world, "a", 3);
    edit(&world, "a", 4, true).unwrap();
    assert!(world.state().head.as_ref().unwrap().overrides.is_empty());
    assert_eq!(world.state().head.as_ref().unwrap().etag, None);
}

#[test]
fn without_a_head_the_item_alone_is_written() {
    let world = World::default();
    world.state().items.insert(flag("a"), (2, json(&flag("a"), 2)));
    override_flag(&world, "a", 3);
    assert_eq!(world.state().items[&flag("a")], (3, overridden("a", 3)));
    assert!(world.state().head.is_none());
}

#[test]
fn a_first_sync_beside_an_override_leaves_both_layouts_alike() {
    for polls in 0..30 {
        let world = World::default();
        world.pass_time(1_000_000);
        world.set(flag("a"), 2);
        world.state().put(flag("a"), 2);
        let wanted = FlagEdit { json: overridden("a", 3), version: 3, is_launchdarklys: false };
        let edit = |_: &str| Ok::<_, Infallible>(Some(wanted.clone()));
        let mut editing = Box::pin(edit_flag(&world, &world, "a", u64::MAX, edit));
        let is_over = (0..polls).any(|_| poll(editing.as_mut()).is_ready());
        sync(&world, Thoroughness::Whole).unwrap();
        assert!(is_over || matches!(world.run(editing), Ok(Edited::Written { .. })));
        assert_eq!(world.snapshot().unwrap().versions(), world.versions(), "after {polls} polls");
    }
}

/// A sync that was going to delete `a` has died.
fn with_a_doomed(world: &World) {
    let mut doomed = Delta::default();
    doomed.delete(flag("a"), Tombstone { version: 2, deleted_at_ms: 1 });
    let mut state = world.state();
    let head = state.head.as_mut().unwrap();
    (head.doomed, head.lease) = (doomed, Some(Lease { expires_at_ms: 0 }));
}

#[test]
fn a_flag_that_a_dead_sync_has_deleted_is_not_brought_back() {
    let world = filled(&[("a", 2), ("b", 1)]);
    with_a_doomed(&world);
    override_flag(&world, "a", 3);
    world.state().items.remove(&flag("a"));
    assert!(matches!(edit(&world, "a", 4, false), Ok(Edited::Absent)));
}

#[test]
fn nor_where_an_override_of_another_flag_that_took_a_lease_has_died_too() {
    for polls in 0..30 {
        let world = filled(&[("a", 2), ("b", 1)]);
        with_a_doomed(&world);
        world.state().items.remove(&flag("a"));
        world.state().limits.transaction_bytes = 64 * 1024 + 100;
        let wanted = FlagEdit { json: overridden("b", 3), version: 3, is_launchdarklys: false };
        let deadline_ms = world.state().now_ms + 1_000;
        let edit_b = |_: &str| Ok::<_, Infallible>(Some(wanted.clone()));
        let mut editing = Box::pin(edit_flag(&world, &world, "b", deadline_ms, edit_b));
        let _ = (0..polls).any(|_| poll(editing.as_mut()).is_ready());
        drop(editing);
        world.pass_time(20_000);
        assert!(matches!(edit(&world, "a", 4, false), Ok(Edited::Absent)), "after {polls} polls");
    }
}

#[test]
fn what_a_dead_sync_wrote_over_an_override_stays() {
    let world = filled(&[("a", 2)]);
    override_flag(&world, "a", 9);
    world.set(flag("a"), 5);
    {
        let mut state = world.state();
        state.put(flag("a"), 5);
        state.head.as_mut().unwrap().lease = Some(Lease { expires_at_ms: 0 });
        state.lags = vec![500];
    }
    sync(&world, QUICK).unwrap();
    assert_holds(&world, &[("a", 5)]);
    override_flag(&world, "a", 6);
    assert_eq!(sync(&world, QUICK).unwrap().overrides_replaced, ["a"]);
    assert_holds(&world, &[("a", 5)]);
}

#[test]
fn an_answer_that_gets_lost_is_found_out() {
    for has_head in [true, false] {
        let world = filled(&[("a", 2)]);
        if !has_head {
            world.state().head = None;
        }
        world.state().faults = vec![Fault::LostAnswer];
        override_flag(&world, "a", 3);
        assert_eq!(world.state().items[&flag("a")], (3, overridden("a", 3)));
    }
}

#[test]
fn a_sync_that_is_filling_the_table_is_waited_for() {
    let world = filled(&[("a", 2)]);
    let now_ms = world.state().now_ms;
    world.state().head.as_mut().unwrap().lease = Some(Lease { expires_at_ms: now_ms + 600 });
    override_flag(&world, "a", 3);
    assert!(world.state().now_ms >= now_ms + 600);
    let now_ms = world.state().now_ms;
    world.state().head.as_mut().unwrap().lease = Some(Lease { expires_at_ms: now_ms + 60_000 });
    assert!(matches!(edit(&world, "a", 4, false), Err(EditError::Busy { .. })));
}

#[test]
fn many_overrides_make_a_new_base() {
    let keys: Vec<String> = (0..400).map(|number| format!("{:x}", number * 7_919_u64 * 104_729)).collect();
    let world = filled(&keys.iter().map(|key| (key.as_str(), 1)).collect::<Vec<_>>());
    for key in &keys {
        override_flag(&world, key, 2);
        override_flag(&world, key, 3);
    }
    let head = world.state().head.clone().unwrap();
    assert_eq!(head.overrides.len(), keys.len());
    for key in &keys {
        assert_overridden(&world, key, 3);
    }
    assert_eq!(sync(&world, QUICK).unwrap().overrides_replaced.len(), keys.len());
}
