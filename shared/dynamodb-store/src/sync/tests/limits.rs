//! Stories at the limits of what one request takes, on both sides of each.

use super::scenarios::{assert_holds, filled, flag, sync, webhook};
use super::table::DYNAMODB;
use super::world::World;
use crate::layout::{MAX_BATCH_PUTS, MAX_DELTA_BYTES, MAX_KEY_BYTES, MAX_TRANSACTION_ACTIONS, MAX_TRANSACTION_BYTES};
use crate::sync::{Change, Thoroughness};

const NOTHING_NAMED: Thoroughness = Thoroughness::Quick { named: Vec::new(), changed_at_ms: None };

/// How many transactions a quick sync takes.
fn commits(world: &World) -> u32 {
    let before = world.state().commits;
    sync(world, NOTHING_NAMED).unwrap();
    world.state().commits - before
}

#[test]
fn the_tests_table_takes_as_much_as_dynamodb() {
    assert_eq!(
        (DYNAMODB.transaction_actions, DYNAMODB.transaction_bytes, DYNAMODB.batch_puts, DYNAMODB.delta_bytes),
        (MAX_TRANSACTION_ACTIONS, MAX_TRANSACTION_BYTES, MAX_BATCH_PUTS, MAX_DELTA_BYTES)
    );
}

#[test]
fn a_hundred_actions_are_one_transaction_and_one_more_are_several() {
    // The head is one of them.
    for (changes, transactions) in [(99, 1), (100, 4)] {
        let keys: Vec<String> = (0..150).map(|n| format!("f{n:03}")).collect();
        let world = filled(&keys.iter().map(|key| (key.as_str(), 1)).collect::<Vec<_>>());
        world.change(|truth| truth.values_mut().take(changes).for_each(|version| *version = 2));
        assert_eq!(commits(&world), transactions, "{changes} changes");
        let version = |place| if place < changes { 2 } else { 1 };
        let expected: Vec<_> = keys.iter().enumerate().map(|(place, key)| (key.as_str(), version(place))).collect();
        assert_holds(&world, &expected);
    }
}

#[test]
fn a_first_fill_of_a_hundred_actions_is_one_transaction_and_one_more_are_batches() {
    // Base, mark and head are three of them.
    for (flags, batches) in [(97, 0), (98, 4)] {
        let keys: Vec<String> = (0..flags).map(|n| format!("f{n:03}")).collect();
        let world = filled(&keys.iter().map(|key| (key.as_str(), 1)).collect::<Vec<_>>());
        assert_eq!(world.state().batches, batches, "{flags} flags");
    }
}

#[test]
fn four_megabytes_are_one_transaction_and_more_are_several() {
    for (pad, one) in [(399_200, true), (399_700, false)] {
        let keys: Vec<String> = (0..10).map(|n| format!("f{n}")).collect();
        let world = filled(&keys.iter().map(|key| (key.as_str(), 1)).collect::<Vec<_>>());
        let item = |key| format!(r#""{key}":{{"version":2,"pad":"{}"}}"#, "x".repeat(pad));
        let items: Vec<_> = keys.iter().map(item).collect();
        world.state().body = Some(format!(r#"{{"flags":{{{}}},"segments":{{}}}}"#, items.join(",")));
        assert_eq!(commits(&world) == 1, one, "{pad} bytes each");
        assert!(world.versions().values().all(|version| *version == 2));
        assert_eq!(world.snapshot().unwrap().version(&flag("f9")), Some(2));
    }
}

#[test]
fn an_item_whose_key_is_too_long_comes_and_goes_in_the_snapshot_alone() {
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    let world = filled(&[("a", 1)]);
    world.set(flag(&long), 1);
    assert_eq!(sync(&world, NOTHING_NAMED).unwrap().too_large, [long.as_str()]);
    assert!(world.snapshot().unwrap().versions().contains_key(&flag(&long)));
    world.pass_time(10_000);
    world.unset(&flag(&long));
    let deleted = sync(&world, webhook(&world, &long, Change::Deleted, None)).unwrap();
    assert_eq!((deleted.flags.deleted, deleted.too_large), (1, vec![]));
    assert_holds(&world, &[("a", 1)]);
}
