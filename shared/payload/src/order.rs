//! The order in which items are written and deleted.
//!
//! A reader that meets the items one after another must never find a flag whose prerequisite or segment is not there
//! yet (or not any more): what is referred to is written first and deleted last. LaunchDarkly refuses cycles; where a
//! payload has one all the same, its items keep the order in which they came.

use std::collections::HashMap;

use crate::items::{ItemId, Kind};
use crate::references::references;

/// The positions of the given items in the order in which they are to be written: segments before flags, and each item
/// after those of the list that it refers to.
pub fn write_order(items: &[(ItemId, &str)]) -> Vec<usize> {
    write_waves(items).concat()
}

/// The same order, cut into waves: no item of a wave refers to another one of it, so that the items of one wave may be
/// written in any order, or all at once. No wave is empty.
pub fn write_waves(items: &[(ItemId, &str)]) -> Vec<Vec<usize>> {
    let positions: HashMap<&ItemId, usize> =
        items.iter().enumerate().map(|(position, (id, _))| (id, position)).collect();
    let mut walk = Walk { items, positions, placed: vec![Placed::No; items.len()], first_wave: 0, waves: Vec::new() };
    for kind in Kind::ALL {
        walk.first_wave = walk.waves.len();
        for (position, (id, _)) in items.iter().enumerate() {
            if id.kind == kind {
                walk.place(position);
            }
        }
    }
    walk.waves.retain(|wave| !wave.is_empty());
    walk.waves
}

/// The positions of the given items in the order in which they are to be deleted: the reverse of [`write_order`].
pub fn delete_order(items: &[(ItemId, &str)]) -> Vec<usize> {
    let mut order = write_order(items);
    order.reverse();
    order
}

#[derive(Clone, Copy, PartialEq)]
enum Placed {
    No,
    Underway,
    InWave(usize),
}

enum Step {
    Enter(usize),
    /// Leaves an item, with what it refers to.
    Leave(usize, Vec<usize>),
}

struct Walk<'a> {
    items: &'a [(ItemId, &'a str)],
    positions: HashMap<&'a ItemId, usize>,
    placed: Vec<Placed>,
    first_wave: usize,
    waves: Vec<Vec<usize>>,
}

impl Walk<'_> {
    /// Places an item behind all that it refers to. The stack is a list of its own: chains of prerequisites can be long.
    fn place(&mut self, first: usize) {
        let mut stack = vec![Step::Enter(first)];
        while let Some(step) = stack.pop() {
            match step {
                Step::Enter(position) if self.placed[position] == Placed::No => {
                    self.placed[position] = Placed::Underway;
                    let needed = references(self.items[position].1);
                    let needed: Vec<_> = needed.iter().filter_map(|id| self.positions.get(id).copied()).collect();
                    let open: Vec<_> = needed.iter().rev().copied().map(Step::Enter).collect();
                    stack.push(Step::Leave(position, needed));
                    stack.extend(open);
                }
                Step::Enter(_) => {}
                Step::Leave(position, needed) => self.leave(position, &needed),
            }
        }
    }

    fn leave(&mut self, position: usize, needed: &[usize]) {
        let behind = needed.iter().filter_map(|needed| match self.placed[*needed] {
            Placed::InWave(wave) => Some(wave + 1),
            Placed::No | Placed::Underway => None,
        });
        let wave = behind.max().unwrap_or(0).max(self.first_wave);
        self.placed[position] = Placed::InWave(wave);
        if self.waves.len() <= wave {
            self.waves.resize_with(wave + 1, Vec::new);
        }
        self.waves[wave].push(position);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flag(key: &str, prerequisites: &[&str], segments: &[&str]) -> (ItemId, String) {
        let prerequisites: Vec<_> = prerequisites.iter().map(|key| format!(r#"{{"key":"{key}"}}"#)).collect();
        let json = format!(
            r#"{{"prerequisites":[{}],"rules":[{{"clauses":[{{"op":"segmentMatch","values":{}}}]}}]}}"#,
            prerequisites.join(","),
            serde_json::to_string(segments).unwrap()
        );
        (ItemId::new(Kind::Flag, key), json)
    }

    fn order(items: &[(ItemId, String)]) -> Vec<String> {
        let items: Vec<_> = items.iter().map(|(id, json)| (id.clone(), json.as_str())).collect();
        write_order(&items).into_iter().map(|position| items[position].0.key.clone()).collect()
    }

    #[test]
    fn what_is_referred_to_comes_first() {
        let segment = (ItemId::new(Kind::Segment, "s"), "{}".to_owned());
        let items = [flag("a", &["b"], &["s"]), flag("b", &["c", "elsewhere"], &[]), flag("c", &[], &[]), segment];
        assert_eq!(order(&items), ["s", "c", "b", "a"]);
    }

    #[test]
    fn what_does_not_refer_to_each_other_goes_in_one_wave() {
        let segment = (ItemId::new(Kind::Segment, "s"), "{}".to_owned());
        let items =
            [flag("a", &["b"], &[]), flag("b", &[], &["s"]), flag("c", &[], &[]), segment, flag("d", &["b"], &[])];
        let items: Vec<_> = items.iter().map(|(id, json)| (id.clone(), json.as_str())).collect();
        assert_eq!(write_waves(&items), [vec![3], vec![1, 2], vec![0, 4]]);
        assert_eq!(write_waves(&[]), [] as [Vec<usize>; 0]);
    }

    #[test]
    fn a_cycle_loses_no_item() {
        let mut keys = order(&[flag("a", &["b"], &[]), flag("b", &["a"], &[]), flag("c", &["c"], &[])]);
        keys.sort();
        assert_eq!(keys, ["a", "b", "c"]);
    }

    #[test]
    fn a_long_chain_of_prerequisites_does_not_overflow_the_stack() {
        let keys: Vec<_> = (0..50_000).map(|n| format!("f{n}")).collect();
        let items: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(n, key)| flag(key, &[keys.get(n + 1).map_or("none", |next| next)], &[]))
            .collect();
        assert_eq!(order(&items)[0], "f49999");
    }

    proptest! {
        #[test]
        fn no_item_is_written_before_what_it_refers_to(edges in prop::collection::vec((0_usize..30, 0_usize..30), 0..60)) {
            let key = |n: usize| format!("f{n:02}");
            let items: Vec<_> = (0..30).map(|n| {
                let needs: Vec<_> = edges.iter().filter(|(from, to)| *from == n && to < from).map(|(_, to)| key(*to)).collect();
                flag(&key(n), &needs.iter().map(String::as_str).collect::<Vec<_>>(), &[])
            }).rev().collect();
            let order = order(&items);
            for (from, to) in edges.into_iter().filter(|(from, to)| to < from) {
                let place = |n: usize| order.iter().position(|placed| *placed == key(n)).unwrap();
                prop_assert!(place(to) < place(from));
            }
        }
    }
}
