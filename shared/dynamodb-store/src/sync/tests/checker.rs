//! What must hold after every step: the table never goes back, and no reader sees a half.
//!
//! An override counts as the version of LaunchDarkly's that it was put over: to give way to that is no step backwards.

use std::collections::BTreeMap;

use flagcache_payload::ItemId;

use super::world::{World, needs, own_version};

/// What the table was, and what LaunchDarkly did to it.
#[derive(Default)]
pub(super) struct Checker {
    /// How often the table had been changed when it was last looked at.
    looked_at: u64,
    /// The newest version of each item that the table has ever held.
    newest: BTreeMap<ItemId, u64>,
    /// What the table held when it was last looked at.
    held: BTreeMap<ItemId, u64>,
    /// The versions at which LaunchDarkly has deleted each item, ascending.
    deletions: BTreeMap<ItemId, Vec<u64>>,
    /// Of the items that the table has dropped, the version of the deletion that it has followed.
    buried: BTreeMap<ItemId, u64>,
    /// The same of the snapshot.
    generation: u64,
    in_snapshot: BTreeMap<ItemId, u64>,
    /// Whether somebody else has written to the official layout, which the snapshot need not follow at once.
    foreign_writer: bool,
}

impl Checker {
    /// LaunchDarkly has deleted an item.
    pub(super) fn deleted(&mut self, id: &ItemId, version: u64) {
        self.deletions.entry(id.clone()).or_default().push(version);
    }

    pub(super) fn foreign_writer_came(&mut self) {
        self.foreign_writer = true;
    }

    pub(super) fn check(&mut self, world: &World) -> Result<(), String> {
        let changes = world.state().changes;
        if std::mem::replace(&mut self.looked_at, changes) == changes {
            return Ok(());
        }
        let versions = world.versions();
        let own = own_versions(&versions);
        self.check_newest(&own)?;
        self.check_buried(&own)?;
        check_needs("the official layout", &versions)?;
        self.check_snapshot(world, &versions)
    }

    fn check_newest(&mut self, versions: &BTreeMap<ItemId, u64>) -> Result<(), String> {
        for (id, version) in versions {
            let newest = self.newest.entry(id.clone()).or_insert(*version);
            if version < newest {
                return Err(format!("{id} went back from {newest} to {version}"));
            }
            *newest = *version;
        }
        Ok(())
    }

    /// What the table has dropped because LaunchDarkly deleted it comes back only as something newer than the deletion.
    fn check_buried(&mut self, versions: &BTreeMap<ItemId, u64>) -> Result<(), String> {
        for (id, before) in std::mem::replace(&mut self.held, versions.clone()) {
            if !versions.contains_key(&id) {
                let deletion = self.deletions.get(&id).and_then(|all| all.iter().find(|deletion| **deletion > before));
                let deletion = deletion.ok_or_else(|| format!("{id} was dropped and had never been deleted"))?;
                self.buried.insert(id, *deletion);
            }
        }
        for (id, version) in versions {
            let buried = self.buried.get(id).copied().unwrap_or_default();
            if *version <= buried {
                return Err(format!("{id} is back from the dead: {version} was deleted at {buried}"));
            }
        }
        Ok(())
    }

    fn check_snapshot(&mut self, world: &World, versions: &BTreeMap<ItemId, u64>) -> Result<(), String> {
        let Some((named, is_leased)) =
            world.state().head.as_ref().map(|head| (head.base.is_some(), head.lease.is_some()))
        else {
            return Ok(());
        };
        if !named {
            return if world.state().inited { Err("the mark is there before a base".to_owned()) } else { Ok(()) };
        }
        let snapshot = world.snapshot().ok_or("the base is not the one that the head names")?;
        if snapshot.generation() < self.generation {
            return Err(format!("the generation went back from {} to {}", self.generation, snapshot.generation()));
        }
        self.generation = snapshot.generation();
        let seen = snapshot.versions();
        let own = own_versions(&seen);
        for (id, before) in std::mem::replace(&mut self.in_snapshot, own.clone()) {
            if own.get(&id).is_some_and(|version| *version < before) {
                return Err(format!("the snapshot's {id} went back from {before} to {}", own[&id]));
            }
        }
        check_needs("the snapshot", &seen)?;
        if !is_leased && !self.foreign_writer && seen != *versions {
            return Err(format!("the snapshot has {seen:?}, the official layout {versions:?}"));
        }
        Ok(())
    }
}

fn own_versions(versions: &BTreeMap<ItemId, u64>) -> BTreeMap<ItemId, u64> {
    versions.iter().map(|(id, version)| (id.clone(), own_version(*version))).collect()
}

fn check_needs(place: &str, versions: &BTreeMap<ItemId, u64>) -> Result<(), String> {
    for id in versions.keys() {
        if let Some(missing) = needs(id).into_iter().find(|needed| !versions.contains_key(needed)) {
            return Err(format!("in {place} {id} is there without {missing}"));
        }
    }
    Ok(())
}
