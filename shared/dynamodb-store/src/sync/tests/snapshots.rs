//! Stories of what readers of the snapshot see, and of what keeping it costs.

use flagcache_payload::{ItemId, Kind};

use super::scenarios::{assert_holds, filled, flag, sync, webhook};
use super::world::json;
use crate::sync::{Change, Outcome, Thoroughness};

#[test]
fn what_another_writer_wrote_first_is_news_to_readers_of_the_snapshot() {
    let world = filled(&[("a", 1)]);
    world.set(flag("a"), 2);
    world.state().items.insert(flag("a"), (2, json(&flag("a"), 2)));
    let summary = sync(&world, Thoroughness::Whole).unwrap();
    assert_eq!((summary.outcome, summary.generation), (Outcome::Updated, 2));
    assert_eq!(world.snapshot().unwrap().generation(), 2);
    assert_holds(&world, &[("a", 2)]);
    assert_eq!(sync(&world, Thoroughness::Whole).unwrap().outcome, Outcome::Unchanged);
}

#[test]
fn many_deletions_do_not_make_every_later_change_write_a_new_base() {
    let key = |n: u64| {
        format!(
            "{0:016x}{1:016x}{2:016x}{3:016x}",
            n.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            n.wrapping_mul(0xBF58_476D_1CE4_E5B9),
            n.wrapping_mul(0x94D0_49BB_1331_11EB),
            n.wrapping_mul(0xD6E8_FEB8_6659_FD93)
        )
    };
    let keys: Vec<_> = (1..=600).map(key).collect();
    let mut flags: Vec<_> = keys.iter().map(|key| (key.as_str(), 1)).collect();
    flags.push(("a", 1));
    let world = filled(&flags);
    world.change(|truth| truth.retain(|id, _| *id == ItemId::new(Kind::Flag, "a")));
    assert_eq!(sync(&world, Thoroughness::Whole).unwrap().flags.deleted, 600);
    let base = world.state().head.as_ref().unwrap().base;
    for version in 2..6 {
        world.set(flag("a"), version);
        sync(&world, webhook(&world, "a", Change::Updated, Some(version))).unwrap();
    }
    assert_eq!(world.state().head.as_ref().unwrap().base, base);
    assert_holds(&world, &[("a", 5)]);
}
