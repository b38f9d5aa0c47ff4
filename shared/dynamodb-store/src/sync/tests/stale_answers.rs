//! Stories in which an answer is older than the change that it is asked about.

use super::scenarios::{assert_holds, filled, flag, sync, webhook};
use crate::sync::Change;

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
