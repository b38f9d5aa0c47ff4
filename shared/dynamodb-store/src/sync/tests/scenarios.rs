//! Single stories of a sync.

use std::collections::BTreeMap;
use std::time::Duration;

use flagcache_payload::{ItemId, Items, Kind};

use super::table::Fault;
use super::world::{World, json};
use crate::sync::{Change, Named, Outcome, Request, Settings, Summary, SyncError, Syncer, Thoroughness};
use crate::table::Lease;

pub(super) const SETTINGS: Settings = Settings { freshness_window: Duration::from_secs(5), allow_empty: false };

pub(super) fn flag(key: &str) -> ItemId {
    ItemId::new(Kind::Flag, key)
}

pub(super) fn filled(flags: &[(&str, u64)]) -> World {
    let world = World::default();
    world.pass_time(1_000_000);
    world.change(|truth| truth.extend(flags.iter().map(|(key, version)| (flag(key), *version))));
    assert_eq!(sync(&world, Thoroughness::Whole).unwrap().outcome, Outcome::Updated);
    world.pass_time(1_000);
    world
}

pub(super) fn sync(world: &World, thoroughness: Thoroughness) -> Result<Summary, SyncError<super::world::Unreachable>> {
    sync_with(world, thoroughness, SETTINGS)
}

pub(super) fn sync_with(
    world: &World,
    thoroughness: Thoroughness,
    settings: Settings,
) -> Result<Summary, SyncError<super::world::Unreachable>> {
    let deadline_ms = world.state().now_ms + 60_000;
    let syncer = Syncer::new(world.clone(), world.clone(), world.clone(), settings);
    world.run(syncer.sync(&Request { thoroughness, deadline_ms }))
}

pub(super) fn webhook(world: &World, key: &str, change: Change, version: Option<u64>) -> Thoroughness {
    let changed_at_ms = Some(world.state().now_ms);
    Thoroughness::Quick { named: vec![Named { id: flag(key), change, version }], changed_at_ms }
}

pub(super) fn assert_holds(world: &World, expected: &[(&str, u64)]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(key, version)| (flag(key), *version)).collect();
    assert_eq!(world.versions(), expected, "the official layout");
    assert_eq!(world.snapshot().unwrap().versions(), expected, "the snapshot");
    for (id, version) in &expected {
        assert_eq!(world.snapshot().unwrap().json(id.kind, &id.key).unwrap(), json(id, *version));
    }
}

#[test]
fn a_first_run_fills_the_table_and_marks_it_last() {
    let world = filled(&[("a", 1), ("b", 2)]);
    assert_holds(&world, &[("a", 1), ("b", 2)]);
    assert!(world.state().inited);
    assert_eq!(world.state().commits, 1);
}

#[test]
fn a_named_change_costs_one_read_of_head_and_base_and_one_transaction() {
    let world = filled(&[("a", 1), ("b", 2)]);
    world.set(flag("a"), 2);
    let before = world.state().requests;
    let summary = sync(&world, webhook(&world, "a", Change::Updated, Some(2))).unwrap();
    assert_eq!((summary.outcome, summary.fresh, summary.generation, summary.attempts), (Outcome::Updated, true, 2, 1));
    assert_eq!((summary.flags.total, summary.flags.written, summary.flags.deleted), (2, 1, 0));
    assert_eq!(world.state().requests - before, 3);
    assert_holds(&world, &[("a", 2), ("b", 2)]);
}

#[test]
fn nothing_new_costs_one_small_read_and_no_write() {
    let world = filled(&[("a", 1)]);
    let costs = || {
        let state = world.state();
        (state.requests, state.commits)
    };
    let (requests, commits) = costs();
    let nothing = Thoroughness::Quick { named: Vec::new(), changed_at_ms: None };
    assert_eq!(sync(&world, nothing).unwrap().outcome, Outcome::Unchanged);
    assert_eq!(costs(), (requests + 1, commits));
}

#[test]
fn an_answer_older_than_the_named_change_is_asked_for_again() {
    let world = filled(&[("a", 1)]);
    world.set(flag("a"), 2);
    world.state().lags = vec![500, 600, 50_000];
    world.pass_time(10);
    let summary = sync(&world, webhook(&world, "a", Change::Updated, Some(2))).unwrap();
    assert!(summary.fresh);
    assert_holds(&world, &[("a", 2)]);
}

#[test]
fn a_change_that_never_shows_is_reported_and_breaks_nothing() {
    let world = filled(&[("a", 3)]);
    let summary = sync(&world, webhook(&world, "a", Change::Updated, Some(4))).unwrap();
    assert_eq!((summary.outcome, summary.fresh), (Outcome::Unchanged, false));
    assert_holds(&world, &[("a", 3)]);
}

#[test]
fn with_no_window_there_is_one_fetch() {
    let world = filled(&[("a", 3)]);
    let fetches = world.state().fetches;
    let settings = Settings { freshness_window: Duration::ZERO, ..SETTINGS };
    world.set(flag("b"), 1);
    let summary = sync_with(&world, webhook(&world, "a", Change::Updated, Some(4)), settings).unwrap();
    assert!(!summary.fresh);
    assert_eq!(world.state().fetches - fetches, 1);
    assert_holds(&world, &[("a", 3), ("b", 1)]);
}

#[test]
fn a_named_deletion_deletes_at_once() {
    let world = filled(&[("a", 1), ("b", 1)]);
    world.unset(&flag("a"));
    let summary = sync(&world, webhook(&world, "a", Change::Deleted, None)).unwrap();
    assert_eq!((summary.flags.total, summary.flags.deleted, summary.fresh), (1, 1, true));
    assert_holds(&world, &[("b", 1)]);
}

#[test]
fn an_absence_counts_as_deletion_only_when_confirmed() {
    let world = filled(&[("a", 1), ("b", 1)]);
    world.unset(&flag("a"));
    let before = world.state().now_ms;
    let nothing = Thoroughness::Quick { named: Vec::new(), changed_at_ms: None };
    assert_eq!(sync(&world, nothing.clone()).unwrap().flags.deleted, 1);
    assert!(world.state().now_ms - before >= 2_000);
    assert_holds(&world, &[("b", 1)]);

    let world = filled(&[("a", 1)]);
    world.set(flag("new"), 1);
    assert_eq!(sync(&world, webhook(&world, "new", Change::Created, Some(1))).unwrap().flags.written, 1);
    world.state().lags = vec![5_000];
    assert_eq!(sync(&world, nothing).unwrap().outcome, Outcome::Unchanged);
    assert_holds(&world, &[("a", 1), ("new", 1)]);
}

#[test]
fn an_absence_in_an_answer_that_is_older_than_the_table_counts_for_nothing() {
    let world = filled(&[("a", 1)]);
    world.set(flag("new"), 1);
    sync(&world, webhook(&world, "new", Change::Created, Some(1))).unwrap();
    world.set(flag("a"), 2);
    sync(&world, webhook(&world, "a", Change::Updated, Some(2))).unwrap();
    world.pass_time(10);
    world.state().lags = vec![60_000; 200];
    let nothing = Thoroughness::Quick { named: Vec::new(), changed_at_ms: None };
    let summary = sync(&world, nothing).unwrap();
    assert_eq!((summary.fresh, summary.outcome), (false, Outcome::Unchanged));
    assert_holds(&world, &[("a", 2), ("new", 1)]);
}

#[test]
fn an_old_answer_cannot_bring_a_deleted_flag_back() {
    let world = filled(&[("a", 1), ("b", 1)]);
    world.unset(&flag("a"));
    sync(&world, webhook(&world, "a", Change::Deleted, Some(2))).unwrap();
    world.pass_time(10);
    world.set(flag("b"), 2);
    world.state().lags = vec![60_000; 200];
    let summary = sync(&world, webhook(&world, "b", Change::Updated, Some(2))).unwrap();
    assert_eq!((summary.fresh, summary.outcome), (false, Outcome::Unchanged));
    assert_holds(&world, &[("b", 1)]);
}

#[test]
fn a_flag_created_anew_under_an_old_key_comes_back() {
    let world = filled(&[("a", 5), ("b", 1)]);
    world.unset(&flag("a"));
    sync(&world, webhook(&world, "a", Change::Deleted, None)).unwrap();
    world.pass_time(10);
    world.set(flag("a"), 1);
    assert!(sync(&world, webhook(&world, "a", Change::Created, Some(1))).unwrap().fresh);
    assert_holds(&world, &[("a", 1), ("b", 1)]);
}

#[test]
fn an_older_item_is_never_written_by_a_webhook_but_by_a_whole_sync_that_sees_it_twice() {
    let world = filled(&[("a", 5)]);
    world.set(flag("a"), 4);
    let summary = sync(&world, webhook(&world, "b", Change::Updated, None)).unwrap();
    assert!(!summary.fresh);
    assert_holds(&world, &[("a", 5)]);
    assert!(sync(&world, Thoroughness::Whole).unwrap().fresh);
    assert_holds(&world, &[("a", 4)]);
}

#[test]
fn a_payload_without_flags_empties_a_table_only_on_request() {
    let world = filled(&[("a", 1)]);
    world.change(BTreeMap::clear);
    for thoroughness in [Thoroughness::Whole, webhook(&world, "a", Change::Deleted, None)] {
        assert!(matches!(sync(&world, thoroughness), Err(SyncError::Empty { missing: "flags", held: 1 })));
    }
    let settings = Settings { allow_empty: true, ..SETTINGS };
    assert_eq!(sync_with(&world, Thoroughness::Whole, settings).unwrap().flags.deleted, 1);
    assert_holds(&world, &[]);
}

#[test]
fn whatever_was_lost_behind_our_back_is_whole_after_a_whole_sync() {
    let lose: [fn(&World); 7] = [
        |world| drop(world.state().items.remove(&flag("a"))),
        |world| drop(world.state().items.insert(flag("a"), (1, "{}".into()))),
        |world| drop(world.state().items.insert(flag("zombie"), (9, "{}".into()))),
        |world| world.state().inited = false,
        |world| world.state().chunks.clear(),
        |world| world.state().head = None,
        |world| {
            let mut state = world.state();
            state.items.clear();
            state.chunks.clear();
            state.head = None;
            state.inited = false;
        },
    ];
    for lose in lose {
        let world = filled(&[("a", 3), ("b", 1), ("c!", 1)]);
        lose(&world);
        assert_eq!(sync(&world, Thoroughness::Whole).unwrap().outcome, Outcome::Updated);
        assert_holds(&world, &[("a", 3), ("b", 1), ("c!", 1)]);
        assert!(world.state().inited);
        assert_eq!(sync(&world, Thoroughness::Whole).unwrap().outcome, Outcome::Unchanged);
    }
}

#[test]
fn a_foreign_writers_newer_item_gives_way_to_what_launchdarkly_says_twice() {
    let world = filled(&[("a", 3), ("b", 1)]);
    let newer = (7, json(&flag("a"), 7));
    world.state().items.insert(flag("a"), newer);
    world.set(flag("a"), 4);
    let before = world.state().now_ms;
    assert!(sync(&world, webhook(&world, "a", Change::Updated, Some(4))).unwrap().fresh);
    assert!(world.state().now_ms - before >= 2_000);
    assert_holds(&world, &[("a", 4), ("b", 1)]);
}

#[test]
fn a_foreign_writers_newer_item_stays_where_launchdarkly_comes_up_to_it() {
    let world = filled(&[("a", 3), ("b", 1)]);
    world.set(flag("a"), 4);
    world.set(flag("a"), 7);
    let newer = (7, json(&flag("a"), 7));
    world.state().items.insert(flag("a"), newer);
    // An old answer has the change that is named, and not yet what the stranger knows.
    world.state().body = Some(format!(r#"{{"flags":{{"a":{},"b":{}}}}}"#, json(&flag("a"), 4), json(&flag("b"), 1)));
    let without_window = Settings { freshness_window: Duration::ZERO, ..SETTINGS };
    let named = webhook(&world, "a", Change::Updated, Some(4));
    assert!(!sync_with(&world, named.clone(), without_window).unwrap().fresh);
    assert_holds(&world, &[("a", 7), ("b", 1)]);
    world.state().body = None;
    assert!(sync(&world, named).unwrap().fresh);
    assert_holds(&world, &[("a", 7), ("b", 1)]);
}

#[test]
fn a_lost_answer_to_the_commit_is_found_out() {
    let world = filled(&[("a", 1)]);
    world.set(flag("a"), 2);
    world.state().faults = vec![Fault::LostAnswer];
    let summary = sync(&world, webhook(&world, "a", Change::Updated, Some(2))).unwrap();
    assert_eq!((summary.outcome, summary.generation, summary.attempts), (Outcome::Updated, 2, 1));
    assert_holds(&world, &[("a", 2)]);
}

#[test]
fn a_throttled_table_is_as_it_was() {
    let world = filled(&[("a", 1)]);
    world.set(flag("a"), 2);
    world.state().faults = vec![Fault::Throttled];
    assert!(matches!(sync(&world, webhook(&world, "a", Change::Updated, Some(2))), Err(SyncError::Table(_))));
    assert_holds(&world, &[("a", 1)]);
}

#[test]
fn many_changes_are_written_behind_a_lease_and_an_ended_lease_is_taken_over() {
    let many: Vec<(String, u64)> = (0..250).map(|n| (format!("f{n:03}"), 1)).collect();
    let many: Vec<(&str, u64)> = many.iter().map(|(key, version)| (key.as_str(), *version)).collect();
    let world = filled(&many);
    // Announced, and then named: the items came in plain batches.
    assert_eq!(world.state().commits, 2);
    assert_eq!(world.state().batches, 11);
    world.change(|truth| truth.values_mut().for_each(|version| *version = 2));
    world.state().faults = vec![Fault::None, Fault::None, Fault::Throttled];
    let nothing = Thoroughness::Quick { named: Vec::new(), changed_at_ms: None };
    assert!(sync(&world, nothing.clone()).is_err());
    assert_eq!(world.state().head.as_ref().unwrap().lease, Some(Lease { expires_at_ms: 0 }));
    let half = world.versions().values().filter(|version| **version == 2).count();
    assert!(half > 0 && half < 250);
    assert_eq!(sync(&world, nothing).unwrap().outcome, Outcome::Updated);
    let after: Vec<(&str, u64)> = many.iter().map(|(key, _)| (*key, 2)).collect();
    assert_holds(&world, &after);
}

#[test]
fn a_lease_that_is_held_is_waited_for_within_the_callers_time() {
    let world = filled(&[("a", 1)]);
    let far = world.state().now_ms + 600_000;
    world.state().head.as_mut().unwrap().lease = Some(Lease { expires_at_ms: far });
    assert!(matches!(sync(&world, Thoroughness::Whole), Err(SyncError::Busy { .. })));
    let near = world.state().now_ms + 3_000;
    world.state().head.as_mut().unwrap().lease = Some(Lease { expires_at_ms: near });
    assert_eq!(sync(&world, Thoroughness::Whole).unwrap().outcome, Outcome::Unchanged);
    assert_eq!(world.state().head.as_ref().unwrap().lease, None);
}

#[test]
fn a_delta_that_has_grown_gives_way_to_a_new_base() {
    let many: Vec<(String, u64)> = (0..60).map(|n| (format!("f{n:03}"), 1)).collect();
    let many: Vec<(&str, u64)> = many.iter().map(|(key, version)| (key.as_str(), *version)).collect();
    let world = filled(&many);
    let mut bases = std::collections::BTreeSet::new();
    for round in 2..=1_500_u64 {
        // Keys that compress badly, so that the delta grows.
        let key = format!(
            "{:016x}{:016x}",
            round.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            round.wrapping_mul(0xBF58_476D_1CE4_E5B9)
        );
        world.set(flag(&key), 1);
        sync(&world, webhook(&world, &key, Change::Created, Some(1))).unwrap();
        bases.insert(world.state().head.as_ref().unwrap().base.unwrap().generation);
    }
    assert!(bases.len() > 1 && bases.len() < 30, "{bases:?}");
    assert_eq!(world.snapshot().unwrap().versions(), world.truth());
}

#[test]
fn an_item_too_large_for_the_official_layout_is_in_the_snapshot_and_named() {
    let world = filled(&[("a", 1)]);
    let big = format!(r#"{{"version":2,"pad":"{}"}}"#, "x".repeat(500 * 1024));
    world.state().body = Some(format!(r#"{{"flags":{{"a":{big}}},"segments":{{}}}}"#));
    let summary = sync(&world, webhook(&world, "a", Change::Updated, Some(2))).unwrap();
    assert_eq!((summary.too_large, summary.flags.written), (vec!["a".to_owned()], 1));
    assert_eq!(world.versions()[&flag("a")], 1);
    assert_eq!(world.snapshot().unwrap().json(Kind::Flag, "a").unwrap(), big);
    let whole = sync(&world, Thoroughness::Whole).unwrap();
    assert_eq!((whole.outcome, whole.too_large), (Outcome::Unchanged, vec!["a".to_owned()]));
}
