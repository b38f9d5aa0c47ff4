//! One environment under the storm: its LaunchDarkly, what happens there, and the stores that hear of it.
//!
//! The flags `left` and `right` are changed together or not at all, so they always have the same version: whoever sees
//! two has seen a half. Others come and go as a chain, each the prerequisite of the next, each with a segment.

use anyhow::{Context, Result, bail, ensure};
use flagcache_tests::binaries::binary;
use flagcache_tests::contents::{Contents, named};
use flagcache_tests::generate::{self, Dice};
use flagcache_tests::pipeline::{SDK_KEY, SECRET, entry, webhook};
use flagcache_tests::table::Table;
use local::lambda::{Function, FunctionProcess, InvokeError};
use local::standin::{ItemKind, Standin, StandinOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The flags that always change together.
pub(super) const PAIR: [&str; 2] = ["left", "right"];
/// So many that a change of all is more than one transaction takes.
const FLAGS: usize = 130;
const SEGMENTS: usize = 10;
/// How many stores an environment has at a time.
const STORES: usize = 4;
/// What a store is given to answer; a lease lasts as long, and a first fill's ten seconds longer.
const TIMEOUT: Duration = Duration::from_secs(4);
/// What the one clean run is given, which may have to wait for the lease of a store that was killed.
const CLEAN_TIMEOUT: Duration = Duration::from_mins(1);
/// How far back an old answer of LaunchDarkly's may reach.
const OLDEST: Duration = Duration::from_millis(800);

/// How an invocation ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    /// With a summary.
    Synced,
    /// With an error that the contract knows.
    Refused,
    /// With the process.
    Killed,
    /// Before it began: all stores were busy.
    NoPlace,
}

/// What a store is invoked with.
pub(super) struct Event {
    json: Value,
    names: Option<Named>,
}

/// A change that a webhook names.
struct Named {
    flag: String,
    version: u64,
    is_gone: bool,
}

/// One environment.
pub(super) struct Site {
    pub(super) prefix: &'static str,
    pub(super) launchdarkly: Standin,
    seed: u64,
    table: Table,
    through_storm: Function,
    direct: Function,
    idle: Mutex<Vec<FunctionProcess>>,
    places: Semaphore,
    history: Mutex<History>,
}

#[derive(Default)]
struct History {
    changed_at: Vec<Instant>,
    /// How many flags the chain has.
    chain: usize,
    /// The last version at which a flag was deleted.
    deleted: BTreeMap<String, u64>,
}

impl Site {
    /// An environment below `prefix`, whose stores reach the table through `stormy`.
    pub(super) async fn start(
        prefix: &'static str,
        seed: u64,
        table: &Table,
        stormy: &str,
        direct: &str,
    ) -> Result<Self> {
        let launchdarkly = Standin::start(StandinOptions::default()).await?;
        let mut payload: Value = serde_json::from_str(&generate::payload(seed, FLAGS, SEGMENTS))?;
        for key in PAIR {
            payload["flags"][key] = json!({"key": key, "version": 1, "on": true, "variations": [true]});
        }
        launchdarkly.set_data(&payload.to_string())?;
        let function = Function::new(binary("store")?)
            .env("LAUNCHDARKLY_DYNAMODB_PREFIX", prefix)
            .env("LAUNCHDARKLY_BASE_URI", launchdarkly.url())
            .env("LAUNCHDARKLY_SDK_KEY", SDK_KEY)
            .env("LAUNCHDARKLY_WEBHOOK_SECRET", SECRET);
        Ok(Self {
            prefix,
            launchdarkly,
            seed,
            table: table.clone(),
            through_storm: function.clone().envs(table.variables(stormy)).timeout(TIMEOUT),
            direct: function.envs(table.variables(direct)).timeout(CLEAN_TIMEOUT),
            idle: Mutex::default(),
            places: Semaphore::new(STORES),
            history: Mutex::default(),
        })
    }

    /// Something changes at LaunchDarkly, or a schedule is due; with what a store is invoked for it. `number` rises.
    pub(super) fn something_happens(&self, dice: &mut Dice, number: u64) -> Result<Event> {
        match dice.below(20) {
            0..8 => {
                let key = generate::flag_key(self.seed, dice.below(FLAGS));
                let changed = self.launchdarkly.set_field(ItemKind::Flag, &key, "salt", json!(number));
                self.note_change();
                let version = changed.with_context(|| format!("LaunchDarkly has no {key}"))?.version;
                Ok(Event::naming(key, "updateOn", version))
            }
            8..11 => self.change_together(|key| PAIR.contains(&key), number),
            11..14 => self.lengthen_chain(number),
            14..16 => self.shorten_chain(number),
            16 => self.change_together(|_| true, number),
            17 => Ok(Event { json: json!({}), names: None }),
            _ => Ok(Event { json: json!({"source": "aws.events", "detail-type": "Scheduled Event"}), names: None }),
        }
    }

    /// How many changes LaunchDarkly's caches may not have heard of yet.
    pub(super) fn recent_changes(&self) -> usize {
        let history = lock(&self.history);
        history.changed_at.iter().rev().take_while(|changed| changed.elapsed() < OLDEST).count()
    }

    /// Invokes a store, which is killed after `life`.
    pub(super) async fn invoke(self: Arc<Self>, event: Event, life: Option<Duration>) -> Result<Ended> {
        let Ok(_place) = self.places.try_acquire() else { return Ok(Ended::NoPlace) };
        let idle = lock(&self.idle).pop();
        let process = match idle {
            Some(process) => process,
            None => self.through_storm.spawn().await?,
        };
        let answer = tokio::select! {
            answer = process.invoke(&event.json) => answer,
            () = end_of(life) => {
                process.kill().await;
                return Ok(Ended::Killed);
            }
        };
        let ended = match answer {
            Ok(answer) => self.judge(&event, &answer).await.with_context(|| process.logs().text())?,
            Err(InvokeError::Function(_)) => Ended::Refused,
            Err(InvokeError::TimedOut { .. }) => return Ok(Ended::Killed),
            Err(error) => return Err(error.into()),
        };
        lock(&self.idle).push(process);
        Ok(ended)
    }

    /// One run that nothing disturbs; the environment is then as LaunchDarkly has it, and a second run finds nothing.
    pub(super) async fn clean_run(&self) -> Result<()> {
        lock(&self.idle).clear();
        let store = self.direct.spawn().await?;
        let summary = store.invoke(&json!({})).await.with_context(|| store.logs().text())?;
        ensure!(summary["fresh"] == true, "LaunchDarkly's caches are fresh: {summary}");
        Contents::of(&self.table).await?.ensure_is(self.prefix, &self.payload()?)?;
        let again = store.invoke(&json!({})).await.with_context(|| store.logs().text())?;
        ensure!(again["outcome"] == "unchanged", "something was left to do: {again}");
        Ok(())
    }

    /// What LaunchDarkly has.
    pub(super) fn payload(&self) -> Result<String> {
        Ok(String::from_utf8(self.launchdarkly.data().to_vec())?)
    }

    fn change_together(&self, is_changed: impl Fn(&str) -> bool, number: u64) -> Result<Event> {
        let mut payload: Value = serde_json::from_str(&self.payload()?)?;
        let flags = payload["flags"].as_object_mut().context("a payload without flags")?;
        for (_, flag) in flags.iter_mut().filter(|(key, _)| is_changed(key)) {
            flag["salt"] = json!(number);
            flag["version"] = json!(flag["version"].as_u64().unwrap_or_default() + 1);
        }
        let version = flags[PAIR[0]]["version"].as_u64().unwrap_or_default();
        self.launchdarkly.set_data(&payload.to_string())?;
        self.note_change();
        Ok(Event::naming(PAIR[0].to_owned(), "updateOn", version))
    }

    /// A new segment, and a new flag that needs it and the flag before.
    fn lengthen_chain(&self, number: u64) -> Result<Event> {
        let mut history = lock(&self.history);
        let (place, before) = (history.chain, history.chain.checked_sub(1));
        history.chain += 1;
        // Above whatever an earlier flag of that key has come to by single steps.
        let version = (number + 1) * 1_000;
        let (key, segment) = (link(place), format!("segment-of-{}", link(place)));
        self.launchdarkly.upsert_segment(&json!({"key": segment, "version": version, "included": []}))?;
        let prerequisites: Vec<_> =
            before.map(|before| json!({"key": link(before), "variation": 0})).into_iter().collect();
        let rules = json!([{"variation": 0, "clauses": [{"op": "segmentMatch", "values": [segment]}]}]);
        let flag = json!({"key": key, "version": version, "on": true, "variations": [true],
            "prerequisites": prerequisites, "rules": rules});
        let change = self.launchdarkly.upsert_flag(&flag)?;
        history.changed_at.extend([Instant::now(); 2]);
        Ok(Event::naming(key, "createFlag", change.version))
    }

    fn shorten_chain(&self, number: u64) -> Result<Event> {
        let mut history = lock(&self.history);
        let Some(last) = history.chain.checked_sub(1) else {
            drop(history);
            return self.lengthen_chain(number);
        };
        let key = link(last);
        let change = self.launchdarkly.delete_flag(&key).with_context(|| format!("LaunchDarkly has no {key}"))?;
        history.chain = last;
        history.deleted.insert(key.clone(), change.version);
        history.changed_at.push(Instant::now());
        Ok(Event::naming(key, "deleteFlag", change.version))
    }

    fn note_change(&self) {
        lock(&self.history).changed_at.push(Instant::now());
    }

    /// A store that says that the table has what was named must be right.
    async fn judge(&self, event: &Event, answer: &Value) -> Result<Ended> {
        match answer["statusCode"].as_u64() {
            None | Some(200) => {}
            Some(502 | 503) => return Ok(Ended::Refused),
            Some(_) => bail!("no such answer was expected: {answer}"),
        }
        let summary: Value = serde_json::from_str(answer["body"].as_str().unwrap_or("{}"))?;
        if let Some(named) = event.names.as_ref().filter(|_| summary["fresh"] == true) {
            let held = self.held_version(&named.flag).await?;
            let deleted = lock(&self.history).deleted.get(&named.flag).copied();
            let is_right = match held {
                Some(held) if named.is_gone => held > named.version,
                Some(held) => held >= named.version,
                None => named.is_gone || deleted.is_some_and(|deleted| deleted > named.version),
            };
            let Named { flag, version, .. } = named;
            ensure!(is_right, "after {summary} for version {version} of {flag} the table has {held:?}");
        }
        Ok(Ended::Synced)
    }

    async fn held_version(&self, flag: &str) -> Result<Option<u64>> {
        let key = json!({"namespace": {"S": named(self.prefix, "features")}, "key": {"S": flag}});
        let found = self.table.call("GetItem", json!({"Key": key, "ConsistentRead": true})).await?;
        let version = found["Item"]["version"]["N"].as_str();
        version.map(str::parse).transpose().context("a version is no number")
    }
}

impl Event {
    fn naming(flag: String, action: &str, version: u64) -> Self {
        let json = webhook(&entry(&flag, action, Some(version)));
        Self { json, names: Some(Named { flag, version, is_gone: action == "deleteFlag" }) }
    }
}

/// The key of a flag of the chain.
fn link(place: usize) -> String {
    format!("link-{place:02}")
}

async fn end_of(life: Option<Duration>) {
    match life {
        Some(life) => tokio::time::sleep(life).await,
        None => std::future::pending().await,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
