//! Stories of what readers of the snapshot see, and of what keeping it costs.

use super::scenarios::{assert_holds, filled, flag, sync};
use super::world::json;
use crate::sync::{Outcome, Thoroughness};

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
