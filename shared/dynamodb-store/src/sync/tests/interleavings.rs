//! Several syncs at once, in an order that chance decides, with changes, overrides by hand, old answers, deaths, lost
//! answers, and some that stand still for longer than their lease.
//!
//! A schedule follows from its seed alone. `FLAGCACHE_SEED=n` runs that one, `FLAGCACHE_SCHEDULES=n` so many, from
//! `FLAGCACHE_FIRST_SEED` on (`make soak` draws that one); a schedule that fails names its seed.

use std::convert::Infallible;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use flagcache_payload::{ItemId, Kind};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::checker::Checker;
use super::table::{Bug, DYNAMODB, Fault};
use super::world::{FAR_ABOVE, VERSION_STEP, World, own_version};
use crate::overrides::{FlagEdit, edit_flag};
use crate::sync::{Change, Named, Request, Settings, Syncer, Thoroughness};
use crate::table::Limits;

const SETTINGS: Settings = Settings { freshness_window: Duration::from_secs(5), allow_empty: false };
/// LaunchDarkly's caches are at most this old; two answers that are to confirm each other lie further apart.
const LONGEST_LAG_MS: u64 = 1_500;
/// `a` and `s` are what others need: LaunchDarkly would not delete them.
const FLAGS: [&str; 6] = ["a", "b", "c!", "d!", "e?", "f"];
const SEGMENTS: [&str; 2] = ["s", "t"];
/// How many schedules are run where nobody says.
const SCHEDULES: u64 = 100_000;
const STEPS: u32 = 150;

type Running = std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// One schedule: its seed decides everything.
struct Run {
    world: World,
    chance: SmallRng,
    running: Vec<Running>,
    /// Those that stand still for now, as a sandbox that is frozen.
    still: Vec<Running>,
    checker: Checker,
    /// The last version that LaunchDarkly gave.
    version: u64,
}

impl Run {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let world = World::default();
        let mut chance = SmallRng::seed_from_u64(seed);
        world.pass_time(1_000_000);
        {
            let mut state = world.state();
            state.bug = bug;
            state.limits = limits(&mut chance);
        }
        let run = Self {
            world,
            chance,
            running: Vec::new(),
            still: Vec::new(),
            checker: Checker::default(),
            version: VERSION_STEP,
        };
        run.world.change(|truth| truth.extend(all_items().map(|id| (id, VERSION_STEP))));
        run
    }

    fn start(&mut self, thoroughness: Thoroughness) {
        let syncer = Syncer::new(self.world.clone(), self.world.clone(), self.world.clone(), SETTINGS);
        let deadline_ms = self.world.state().now_ms + self.chance.random_range(2_000..20_000);
        self.running.push(Box::pin(async move {
            let _ = syncer.sync(&Request { thoroughness, deadline_ms }).await;
        }));
    }

    /// Changes one item at LaunchDarkly, and starts the sync of its webhook.
    fn change(&mut self) {
        let ids: Vec<_> = all_items().collect();
        let id = ids[self.chance.random_range(0..ids.len())].clone();
        let change = self.change_item(&id, 0.3);
        let version = self.chance.random_bool(0.7).then_some(self.version);
        let changed_at_ms = Some(self.world.state().now_ms);
        if self.chance.random_bool(0.9) {
            self.start(Thoroughness::Quick { named: vec![Named { id, change, version }], changed_at_ms });
        }
    }

    /// Changes most items at once, and starts a sync that has to find out.
    fn change_most(&mut self) {
        let deleted = self.chance.random_range(0.0..0.8);
        for id in all_items() {
            if self.chance.random_bool(0.8) {
                self.change_item(&id, deleted);
            }
        }
        let quick = Thoroughness::Quick { named: Vec::new(), changed_at_ms: None };
        let thoroughness = if self.chance.random_bool(0.5) { quick } else { Thoroughness::Whole };
        self.start(thoroughness);
    }

    fn change_item(&mut self, id: &ItemId, deleted: f64) -> Change {
        let there = self.world.truth().contains_key(id);
        let change = match there {
            true if id.key != "a" && id.key != "s" && self.chance.random_bool(deleted) => Change::Deleted,
            true => Change::Updated,
            false => Change::Created,
        };
        self.version += VERSION_STEP;
        if change == Change::Deleted {
            self.world.unset(id);
            self.checker.deleted(id, self.version);
        } else {
            self.world.set(id.clone(), self.version);
        }
        change
    }

    fn step(&mut self) {
        match self.chance.random_range(0..200) {
            0..16 if self.running.len() < 5 => self.change(),
            16..18 if self.running.len() < 5 => self.start(Thoroughness::Whole),
            18..20 if self.running.len() < 5 => self.change_most(),
            20..26 => {
                let lag = self.chance.random_range(0..LONGEST_LAG_MS);
                self.world.state().lags.push(lag);
            }
            26..32 => self.fault(),
            32..34 if !self.running.is_empty() => {
                let victim = self.chance.random_range(0..self.running.len());
                drop(self.running.swap_remove(victim));
            }
            34..54 => {
                let ms = self.chance.random_range(1..200);
                self.world.pass_time(ms);
            }
            54 => {
                let ms = self.chance.random_range(1_000..20_000);
                self.world.pass_time(ms);
            }
            55 => self.foreign_writer(),
            56..58 if self.running.len() < 5 => self.override_flag(),
            58 if !self.running.is_empty() => {
                let who = self.chance.random_range(0..self.running.len());
                self.still.push(self.running.swap_remove(who));
            }
            59 => self.running.append(&mut self.still),
            _ => self.poll_someone(),
        }
    }

    /// Somebody overrides a flag, or takes an override back.
    fn override_flag(&mut self) {
        let key = FLAGS[self.chance.random_range(0..FLAGS.len())];
        let raise = if self.chance.random_bool(0.5) { 1 } else { FAR_ABOVE };
        let takes_back = self.chance.random_bool(0.2);
        let (table, world) = (self.world.clone(), self.world.clone());
        let deadline_ms = world.state().now_ms + self.chance.random_range(0..3_000);
        self.running.push(Box::pin(async move {
            let id = ItemId::new(Kind::Flag, key);
            let edit = |before: &str| {
                let held: serde_json::Value = serde_json::from_str(before).unwrap();
                let held = held["version"].as_u64().unwrap();
                let version = if takes_back { own_version(held) } else { held + raise };
                let wanted = FlagEdit { json: super::world::json(&id, version), version, is_launchdarklys: takes_back };
                Ok::<_, Infallible>((version != held).then_some(wanted))
            };
            let _ = edit_flag(&table, &world, key, deadline_ms, edit).await;
        }));
    }

    fn fault(&mut self) {
        let faults = [Fault::None, Fault::LostAnswer, Fault::Throttled, Fault::LeftOver, Fault::Denied];
        let fault = faults[self.chance.random_range(0..faults.len())];
        self.world.state().faults.push(fault);
    }

    /// Somebody else, such as a Relay Proxy, writes what it has heard of LaunchDarkly; nothing protects a fill from that.
    fn foreign_writer(&mut self) {
        let truth: Vec<_> = self.world.truth().into_iter().collect();
        let (id, version) = &truth[self.chance.random_range(0..truth.len())];
        let mut state = self.world.state();
        let is_filling = state.head.as_ref().is_none_or(|head| head.base.is_none() || head.lease.is_some());
        let there = state.items.get(id).map_or(0, |(version, _)| *version);
        if !is_filling && there < *version && super::world::needs(id).iter().all(|id| state.items.contains_key(id)) {
            state.put(id.clone(), *version);
            self.checker.foreign_writer_came();
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
    }

    /// After all is done, LaunchDarkly's caches are fresh and nobody dies: one whole sync brings the table up.
    fn end(&mut self) -> Result<(), String> {
        self.world.state().lags.clear();
        self.world.state().faults.clear();
        self.running.clear();
        self.still.clear();
        self.world.pass_time(2 * LONGEST_LAG_MS);
        let syncer = Syncer::new(self.world.clone(), self.world.clone(), self.world.clone(), SETTINGS);
        let deadline_ms = self.world.state().now_ms + 600_000;
        let request = Request { thoroughness: Thoroughness::Whole, deadline_ms };
        let mut last = Box::pin(syncer.sync(&request));
        loop {
            self.checker.check(&self.world)?;
            match super::world::poll(last.as_mut()) {
                Poll::Ready(Ok(_)) => break,
                Poll::Ready(Err(error)) => return Err(format!("the last sync failed: {error}")),
                Poll::Pending => self.world.pass_time(50),
            }
        }
        self.checker.check(&self.world)?;
        let (held, truth) = (self.world.versions(), self.world.truth());
        if held != truth {
            return Err(format!("the table ends as {held:?}, LaunchDarkly is {truth:?}"));
        }
        let snapshot = self.world.snapshot().ok_or("there is no snapshot at the end")?;
        if snapshot.versions() != truth {
            return Err(format!("the snapshot ends as {:?}, LaunchDarkly is {truth:?}", snapshot.versions()));
        }
        if self.world.state().inited { Ok(()) } else { Err("the mark is missing at the end".to_owned()) }
    }
}

fn all_items() -> impl Iterator<Item = ItemId> {
    let segments = SEGMENTS.map(|key| ItemId::new(Kind::Segment, key));
    segments.into_iter().chain(FLAGS.map(|key| ItemId::new(Kind::Flag, key)))
}

/// Requests so small that a few items are many, now and then, and transactions into which no base fits.
fn limits(chance: &mut SmallRng) -> Limits {
    if chance.random_bool(0.2) {
        return DYNAMODB;
    }
    let transaction_bytes = if chance.random_bool(0.3) { 64 * 1024 + 100 } else { DYNAMODB.transaction_bytes };
    Limits {
        transaction_actions: chance.random_range(4..9),
        transaction_bytes,
        batch_puts: chance.random_range(1..4),
        delta_bytes: chance.random_range(50..400),
    }
}

fn run(seed: u64, bug: Option<Bug>) -> Result<(), String> {
    let mut run = Run::new(seed, bug);
    run.start(Thoroughness::Whole);
    for _ in 0..STEPS {
        run.step();
        run.checker.check(&run.world)?;
    }
    run.end()
}

/// Runs schedules on all cores, and gives the first seed that fails.
fn first_failure(seeds: std::ops::Range<u64>, bug: Option<Bug>) -> Option<(u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let search = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return None;
            }
            if let Err(problem) = run(seed, bug) {
                next.store(seeds.end, Ordering::Relaxed);
                return Some((seed, problem));
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let searches: Vec<_> = (0..cores).map(|_| scope.spawn(search)).collect();
        searches.into_iter().filter_map(|search| search.join().expect("no schedule panics")).min()
    })
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is {value}, not a number")))
}

#[test]
fn no_interleaving_takes_the_table_back_shows_a_half_or_keeps_it_from_catching_up() {
    let first = variable("FLAGCACHE_FIRST_SEED").unwrap_or(0);
    let seeds = match variable("FLAGCACHE_SEED") {
        Some(seed) => seed..seed + 1,
        None => first..first + variable("FLAGCACHE_SCHEDULES").unwrap_or(SCHEDULES),
    };
    println!("schedules of the seeds {seeds:?}");
    if let Some((seed, problem)) = first_failure(seeds, None) {
        panic!("FLAGCACHE_SEED={seed}: {problem}");
    }
}

#[test]
fn the_checker_finds_every_bug_that_is_planted() {
    for bug in Bug::ALL {
        let (seed, problem) = first_failure(0..SCHEDULES, Some(bug)).unwrap_or_else(|| panic!("{bug:?} is not found"));
        println!("{bug:?}: seed {seed}: {problem}");
    }
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    let ends = |seed| {
        let mut run = Run::new(seed, None);
        run.start(Thoroughness::Whole);
        (0..300).for_each(|_| run.step());
        let state = run.world.state();
        (state.commits, state.batches, state.fetches, state.now_ms)
    };
    assert_eq!(ends(7), ends(7));
}

/// The schedules reach what they are there for.
#[test]
fn schedules_meet_leases_fills_and_deaths_in_the_middle() {
    let (mut batches, mut leases, mut ended_leases, mut slots) = (0, 0, 0, [0; 2]);
    for seed in 0..300 {
        let mut run = Run::new(seed, None);
        run.start(Thoroughness::Whole);
        for _ in 0..STEPS {
            run.step();
            let state = run.world.state();
            let Some(head) = &state.head else { continue };
            let is_held = head.lease.map(|lease| lease.is_held(state.now_ms));
            leases += u32::from(is_held == Some(true));
            ended_leases += u32::from(is_held == Some(false));
            if let Some(base) = head.base {
                slots[usize::try_from(base.slot).unwrap()] += 1;
            }
        }
        batches += run.world.state().batches;
    }
    assert!(batches > 300 && leases > 300 && ended_leases > 100, "{batches} {leases} {ended_leases}");
    assert!(slots.iter().all(|met| *met > 100), "{slots:?}");
}
