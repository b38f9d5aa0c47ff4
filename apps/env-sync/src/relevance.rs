//! Which changes of the environment can alter a managed flag: those of the flag itself, and of everything it refers to,
//! directly or through others. Pure.
//!
//! What an item refers to is read once and kept until the item changes; keys that are referred to and not there count
//! as well, because they may come to be.

use std::collections::{HashMap, HashSet};

use flagcache_payload::{ItemId, Items, Kind, references};

/// What is known of the references among the items that matter.
#[derive(Debug, Default)]
pub struct Relevance {
    references: HashMap<ItemId, Vec<ItemId>>,
}

impl Relevance {
    /// Whether a change of this item can alter one of the flags looked at so far.
    pub fn concerns(&self, item: &ItemId) -> bool {
        self.references.contains_key(item)
    }

    /// Forgets what changed items refer to.
    pub fn forget(&mut self, changed: &HashSet<ItemId>) {
        self.references.retain(|item, _| !changed.contains(item));
    }

    /// Looks at everything that a flag depends on; whether any of it is among these.
    pub fn depends_on(&mut self, flag: &str, changed: &HashSet<ItemId>, items: &dyn Items) -> bool {
        let mut open = vec![ItemId::new(Kind::Flag, flag)];
        let (mut seen, mut depends) = (HashSet::new(), false);
        while let Some(item) = open.pop() {
            if !seen.insert(item.clone()) {
                continue;
            }
            depends |= changed.contains(&item);
            let refers = self.references.entry(item).or_insert_with_key(|item| {
                items.json(item.kind, &item.key).map(|json| references(&json)).unwrap_or_default()
            });
            open.extend(refers.iter().cloned());
        }
        depends
    }
}

#[cfg(test)]
mod tests {
    use flagcache_payload::Payload;

    use super::*;

    fn items() -> Payload {
        let body = r#"{"flags":{
            "a":{"version":1,"prerequisites":[{"key":"b","variation":0}]},
            "b":{"version":1,"rules":[{"clauses":[{"op":"segmentMatch","values":["s"]}]}],"prerequisites":[{"key":"a","variation":0}]},
            "c":{"version":1,"prerequisites":[{"key":"missing","variation":0}]},
            "d":{"version":1}},
          "segments":{
            "s":{"version":1,"rules":[{"clauses":[{"op":"segmentMatch","values":["t"]}]}]},
            "t":{"version":1},"u":{"version":1}}}"#;
        Payload::parse(body.into()).unwrap()
    }

    fn changed(kind: Kind, key: &str) -> HashSet<ItemId> {
        HashSet::from([ItemId::new(kind, key)])
    }

    #[test]
    fn a_flag_depends_on_all_that_it_refers_to_through_others_and_in_circles() {
        for (flag, kind, key, depends) in [
            ("a", Kind::Flag, "a", true),
            ("a", Kind::Flag, "b", true),
            ("a", Kind::Segment, "s", true),
            ("a", Kind::Segment, "t", true),
            ("a", Kind::Segment, "u", false),
            ("a", Kind::Flag, "d", false),
            ("c", Kind::Flag, "missing", true),
            ("nowhere", Kind::Flag, "nowhere", true),
        ] {
            let mut relevance = Relevance::default();
            assert_eq!(relevance.depends_on(flag, &changed(kind, key), &items()), depends, "{flag} {key}");
            assert_eq!(relevance.concerns(&ItemId::new(kind, key)), depends, "{flag} {key}");
        }
    }

    #[test]
    fn what_an_item_refers_to_is_read_anew_after_its_change() {
        let mut relevance = Relevance::default();
        let d = changed(Kind::Flag, "d");
        assert!(relevance.depends_on("d", &d, &items()));
        let after = r#"{"flags":{"d":{"version":2,"prerequisites":[{"key":"c","variation":0}]}}}"#;
        let after = Payload::parse(after.into()).unwrap();
        relevance.forget(&d);
        assert!(relevance.depends_on("d", &d, &after));
        assert!(relevance.concerns(&ItemId::new(Kind::Flag, "c")));
    }
}
