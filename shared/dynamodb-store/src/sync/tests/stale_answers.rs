//! Stories in which an answer is older than the change that it is asked about.

use std::time::Duration;

use super::scenarios::{SETTINGS, assert_holds, filled, flag, sync, sync_with, webhook};
use super::world::poll;
use crate::sync::{Change, Outcome, Request, Settings, SyncError, Syncer, Thoroughness};

#[test]
fn a_named_deletion_is_not_taken_for_done_because_an_old_answer_is_not_modified() {
    for version in [None, Some(2)] {
        let world = filled(&[("a", 1), ("b", 1)]);
        world.unset(&flag("a"));
        world.state().lags = vec![500, 600];
        let summary = sync(&world, webhook(&world, "a", Change::Deleted, version)).unwrap();
        assert_eq!((summary.flags.deleted, summary.fresh), (1, true), "version {version:?}");
        assert_holds(&world, &[("b", 1)]);
    }
}

#[test]
fn an_answer_from_between_two_changes_cannot_bring_a_deleted_flag_back() {
    let world = filled(&[("a", 1), ("b", 1)]);
    world.set(flag("a"), 2);
    let update = webhook(&world, "a", Change::Updated, Some(2));
    world.pass_time(100);
    world.unset(&flag("a"));
    assert_eq!(sync(&world, webhook(&world, "a", Change::Deleted, None)).unwrap().flags.deleted, 1);
    world.pass_time(10);
    // What the late webhook of the update meets is older than the deletion, for less than a confirmation's time.
    let since_update = 100 + 10;
    world.state().lags = vec![since_update, since_update];
    assert_eq!(sync(&world, update).unwrap().flags.written, 0);
    assert_holds(&world, &[("b", 1)]);
}

#[test]
fn a_flag_that_leaves_the_archive_comes_back_at_once_where_named_and_else_when_confirmed() {
    for named in [true, false] {
        let world = filled(&[("a", 5), ("b", 1)]);
        world.unset(&flag("a"));
        sync(&world, webhook(&world, "a", Change::Deleted, Some(6))).unwrap();
        world.pass_time(10);
        world.set(flag("a"), 7);
        let before = world.state().now_ms;
        let about = if named { "a" } else { "b" };
        assert!(sync(&world, webhook(&world, about, Change::Updated, named.then_some(7))).is_ok());
        let took_ms = world.state().now_ms - before;
        assert!(if named { took_ms < 100 } else { took_ms >= 2_000 }, "{took_ms} ms");
        assert_holds(&world, &[("a", 7), ("b", 1)]);
    }
}

#[test]
fn an_old_answer_is_not_taken_for_the_flag_that_was_created_anew() {
    for version in [None, Some(1)] {
        let world = filled(&[("a", 5), ("b", 1)]);
        world.unset(&flag("a"));
        sync(&world, webhook(&world, "a", Change::Deleted, None)).unwrap();
        world.pass_time(10);
        world.set(flag("a"), 1);
        let created = webhook(&world, "a", Change::Created, version);
        world.state().lags = vec![100, 200];
        assert!(sync(&world, created).unwrap().fresh, "version {version:?}");
        assert_holds(&world, &[("a", 1), ("b", 1)]);
    }
}

#[test]
fn a_late_deletion_spares_the_flag_that_was_created_anew_while_the_answer_held_was_under_way() {
    let world = filled(&[("a", 1), ("b", 1)]);
    let syncer = Syncer::new(world.clone(), world.clone(), world.clone(), SETTINGS);
    let thoroughness = Thoroughness::Quick { named: Vec::new(), changed_at_ms: None };
    let request = Request { thoroughness, deadline_ms: world.state().now_ms + 60_000 };
    let mut slow = Box::pin(syncer.sync(&request));
    let reads_the_head_and_asks = [poll(slow.as_mut()), poll(slow.as_mut())];
    assert!(reads_the_head_and_asks.iter().all(std::task::Poll::is_pending));
    world.pass_time(10);
    world.unset(&flag("a"));
    let deleted = webhook(&world, "a", Change::Deleted, None);
    world.pass_time(500);
    world.set(flag("a"), 3);
    world.run(slow).unwrap();
    assert_holds(&world, &[("a", 3), ("b", 1)]);
    // What the deletion's webhook meets is from between the two, and lists no `a`.
    world.state().lags = vec![300];
    assert_eq!(sync(&world, deleted).unwrap().flags.deleted, 0);
    assert_holds(&world, &[("a", 3), ("b", 1)]);
}

#[test]
fn an_outage_while_waiting_for_a_change_keeps_what_was_answered_before() {
    let world = filled(&[("a", 1), ("b", 1)]);
    world.set(flag("b"), 2);
    let fetches = world.state().fetches;
    world.state().fetches_before_outage = fetches + 1;
    let summary = sync(&world, webhook(&world, "a", Change::Updated, Some(2))).unwrap();
    assert_eq!((summary.outcome, summary.fresh), (Outcome::Updated, false));
    assert_holds(&world, &[("a", 1), ("b", 2)]);
    world.state().fetches_before_outage = fetches;
    assert!(matches!(sync(&world, webhook(&world, "a", Change::Updated, Some(2))), Err(SyncError::Upstream(_))));
}

#[test]
fn an_outage_while_waiting_for_a_confirmation_keeps_what_is_held() {
    let world = filled(&[("a", 1), ("b", 1)]);
    world.unset(&flag("a"));
    world.set(flag("b"), 2);
    let fetches = world.state().fetches;
    world.state().fetches_before_outage = fetches + 1;
    assert_eq!(sync(&world, Thoroughness::Whole).unwrap().flags.written, 1);
    assert_holds(&world, &[("a", 1), ("b", 2)]);
}

#[test]
fn an_absence_is_not_confirmed_sooner_because_the_window_is_short() {
    let world = filled(&[("a", 1), ("b", 1)]);
    world.unset(&flag("a"));
    let nothing = Thoroughness::Quick { named: Vec::new(), changed_at_ms: None };
    for window_ms in [0, 100, 1_900] {
        let settings = Settings { freshness_window: Duration::from_millis(window_ms), ..SETTINGS };
        assert_eq!(sync_with(&world, nothing.clone(), settings).unwrap().flags.deleted, 0, "{window_ms} ms");
    }
    assert_holds(&world, &[("a", 1), ("b", 1)]);
}

#[test]
fn an_update_without_a_version_is_not_taken_for_known_because_an_old_answer_came_after_it() {
    let world = filled(&[("a", 1), ("b", 1)]);
    world.set(flag("b"), 2);
    let of_b = webhook(&world, "b", Change::Updated, Some(2));
    world.pass_time(50);
    world.set(flag("a"), 2);
    let of_a = webhook(&world, "a", Change::Updated, None);
    world.pass_time(50);
    // Both of these answers are from between the two changes.
    world.state().lags = vec![75];
    sync(&world, of_b).unwrap();
    assert_holds(&world, &[("a", 1), ("b", 2)]);
    world.pass_time(10);
    world.state().lags = vec![90];
    assert!(sync(&world, of_a).unwrap().fresh);
    assert_holds(&world, &[("a", 2), ("b", 2)]);
}

#[test]
fn an_update_without_a_version_that_the_table_has_is_waited_for_only_until_no_cache_can_hide_it() {
    let world = filled(&[("a", 1)]);
    world.set(flag("a"), 2);
    let update = webhook(&world, "a", Change::Updated, None);
    sync(&world, update.clone()).unwrap();
    world.pass_time(10);
    let before = world.state().now_ms;
    assert!(sync(&world, update).unwrap().fresh);
    let took_ms = world.state().now_ms - before;
    assert!((1_500..3_500).contains(&took_ms), "{took_ms} ms");
}

/// A whole sync whose first answer lacks `a`, and `a` made anew by LaunchDarkly and brought to the table by somebody else
/// after so many milliseconds. The second answer is so old. Gives what `a` is then.
fn beside_somebody_else(made_after_ms: u64, first_survey_ms: u64, lag_ms: u64) -> Option<u64> {
    let world = filled(&[("a", 1), ("b", 1)]);
    world.unset(&flag("a"));
    let start_ms = world.state().now_ms;
    let fetches = world.state().fetches;
    let syncer = Syncer::new(world.clone(), world.clone(), world.clone(), SETTINGS);
    let request = Request { thoroughness: Thoroughness::Whole, deadline_ms: start_ms + 60_000 };
    let mut whole = Box::pin(syncer.sync(&request));
    while world.state().fetches == fetches {
        assert!(poll(whole.as_mut()).is_pending());
    }
    let mut is_made = false;
    let until_ms = start_ms + made_after_ms.max(first_survey_ms);
    while world.state().now_ms < until_ms {
        world.pass_time(1);
        let now_ms = world.state().now_ms;
        if now_ms == start_ms + made_after_ms {
            world.set(flag("a"), 5);
            world.state().put(flag("a"), 5);
            is_made = true;
        }
        assert!(now_ms < start_ms + first_survey_ms || poll(whole.as_mut()).is_pending());
    }
    assert!(is_made);
    world.state().lags = vec![lag_ms];
    world.run(whole).unwrap();
    world.versions().get(&flag("a")).copied()
}

#[test]
fn what_somebody_else_brings_between_two_answers_is_not_confirmed_to_be_gone() {
    assert_eq!(beside_somebody_else(1_990, 0, 500), Some(5));
}

#[test]
fn nor_is_what_somebody_else_brings_while_a_large_table_is_read() {
    assert_eq!(beside_somebody_else(2_000, 3_000, 1_400), Some(5));
}
