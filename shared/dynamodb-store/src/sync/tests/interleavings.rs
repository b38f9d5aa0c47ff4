//! Several syncs at once, in an order that chance decides, with changes, old answers, deaths and lost answers.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use flagcache_payload::{ItemId, Kind, references};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::world::{Fault, World};
use crate::sync::{Change, Named, Request, Settings, Syncer, Thoroughness};

const SETTINGS: Settings = Settings { freshness_window: Duration::from_secs(5), allow_empty: false };
/// LaunchDarkly's caches are at most this old; two answers that are to confirm each other lie further apart.
const LONGEST_LAG_MS: u64 = 1_500;

type Running = Pin<Box<dyn Future<Output = ()>>>;

/// One run: a seed decides everything.
struct Run {
    world: World,
    chance: StdRng,
    running: Vec<Running>,
    /// The newest version of each item that the table has ever held.
    newest: BTreeMap<ItemId, u64>,
    /// What the table held when it was last looked at.
    held: BTreeMap<ItemId, u64>,
    /// The versions at which LaunchDarkly has deleted each item, ascending.
    deletions: BTreeMap<ItemId, Vec<u64>>,
    /// Of the items that the table has dropped, the version of the deletion that it has followed.
    buried: BTreeMap<ItemId, u64>,
    next_version: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let world = World::default();
        world.pass_time(1_000_000);
        let run = Self {
            world,
            chance: StdRng::seed_from_u64(seed),
            running: Vec::new(),
            newest: BTreeMap::new(),
            held: BTreeMap::new(),
            deletions: BTreeMap::new(),
            buried: BTreeMap::new(),
            next_version: 1,
        };
        run.world.set(ItemId::new(Kind::Flag, "a"), 1);
        run
    }

    fn start(&mut self, thoroughness: Thoroughness) {
        let syncer = Syncer::new(self.world.clone(), self.world.clone(), self.world.clone(), SETTINGS);
        let deadline_ms = self.world.state().now_ms + 30_000;
        self.running.push(Box::pin(async move {
            let _ = syncer.sync(&Request { thoroughness, deadline_ms }).await;
        }));
    }

    /// Changes one item at LaunchDarkly, and starts the sync of its webhook.
    fn change(&mut self) {
        let kind = if self.chance.random_bool(0.2) { Kind::Segment } else { Kind::Flag };
        let keys: &[&str] = if kind == Kind::Flag { &["a", "b", "c!", "d!"] } else { &["s"] };
        let id = ItemId::new(kind, keys[self.chance.random_range(0..keys.len())]);
        let there = self.world.truth().contains_key(&id);
        // `a` is what others depend on: LaunchDarkly would not delete it.
        let change = match there {
            true if id.key != "a" && self.chance.random_bool(0.3) => Change::Deleted,
            true => Change::Updated,
            false => Change::Created,
        };
        self.next_version += 1;
        let version = self.next_version;
        match change {
            Change::Deleted => {
                self.world.unset(&id);
                self.deletions.entry(id.clone()).or_default().push(version);
            }
            Change::Created | Change::Updated => self.world.set(id.clone(), version),
        }
        let version = self.chance.random_bool(0.7).then_some(version);
        let changed_at_ms = Some(self.world.state().now_ms);
        if self.chance.random_bool(0.9) {
            self.start(Thoroughness::Quick { named: vec![Named { id, change, version }], changed_at_ms });
        }
    }

    fn step(&mut self) {
        match self.chance.random_range(0..100) {
            0..8 if self.running.len() < 5 => self.change(),
            8 if self.running.len() < 5 => self.start(Thoroughness::Whole),
            9..12 => {
                let lag = self.chance.random_range(0..LONGEST_LAG_MS);
                self.world.state().lags.push(lag);
            }
            12..14 => {
                let fault = if self.chance.random_bool(0.5) { Fault::LostAnswer } else { Fault::Throttled };
                self.world.state().faults.push(fault);
            }
            14 if !self.running.is_empty() => {
                let victim = self.chance.random_range(0..self.running.len());
                drop(self.running.swap_remove(victim));
            }
            15..25 => {
                let ms = self.chance.random_range(1..200);
                self.world.pass_time(ms);
            }
            _ => self.poll_someone(),
        }
    }

    fn poll_someone(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let who = self.chance.random_range(0..self.running.len());
        if super::world::poll(self.running[who].as_mut()) == Poll::Ready(()) {
            drop(self.running.swap_remove(who));
        }
        self.check();
    }

    /// What must hold after every step.
    fn check(&mut self) {
        let versions = self.world.versions();
        for (id, version) in &versions {
            let newest = self.newest.entry(id.clone()).or_insert(*version);
            assert!(*version >= *newest, "{id} went back from {newest} to {version}");
            *newest = *version;
        }
        self.check_buried(&versions);
        let state = self.world.state();
        for (id, (_, json)) in &state.items {
            let missing = references(json).into_iter().find(|needed| !state.items.contains_key(needed));
            assert!(missing.is_none(), "{id} is there without {}", missing.unwrap());
        }
        let leased = state.head.as_ref().is_some_and(|head| head.lease.is_some());
        drop(state);
        if let Some(snapshot) = self.world.snapshot().filter(|_| !leased) {
            assert_eq!(snapshot.versions(), versions, "snapshot and official layout differ");
        }
    }

    /// What the table has dropped because LaunchDarkly deleted it comes back only as something newer than the deletion.
    fn check_buried(&mut self, versions: &BTreeMap<ItemId, u64>) {
        for (id, before) in std::mem::replace(&mut self.held, versions.clone()) {
            if !versions.contains_key(&id) {
                let deletion = self.deletions.get(&id).and_then(|all| all.iter().find(|deletion| **deletion > before));
                self.buried.insert(id, *deletion.expect("nothing is dropped that was never deleted"));
            }
        }
        for (id, version) in versions {
            let buried = self.buried.get(id).copied().unwrap_or_default();
            assert!(*version > buried, "{id} is back from the dead: {version} was deleted at {buried}");
        }
    }

    /// After all is done, LaunchDarkly's caches are fresh and nobody dies: one whole sync brings the table up.
    fn end(&mut self) {
        self.world.state().lags.clear();
        self.world.state().faults.clear();
        self.running.clear();
        let deadline_ms = self.world.state().now_ms + 60_000;
        let syncer = Syncer::new(self.world.clone(), self.world.clone(), self.world.clone(), SETTINGS);
        let request = Request { thoroughness: Thoroughness::Whole, deadline_ms };
        self.world.run(syncer.sync(&request)).unwrap();
        self.check();
        assert_eq!(self.world.versions(), self.world.truth());
        assert!(self.world.state().inited);
    }
}

fn run(seed: u64) {
    let mut run = Run::new(seed);
    run.start(Thoroughness::Whole);
    for _ in 0..400 {
        run.step();
    }
    run.end();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_interleaving_takes_the_table_back_or_keeps_it_from_catching_up(seed in any::<u64>().no_shrink()) {
        run(seed);
    }
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    let commits = |seed| {
        let mut run = Run::new(seed);
        run.start(Thoroughness::Whole);
        (0..300).for_each(|_| run.step());
        let state = run.world.state();
        (state.commits, state.fetches, state.now_ms)
    };
    assert_eq!(commits(7), commits(7));
}
