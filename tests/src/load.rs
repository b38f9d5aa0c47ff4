//! Many webhooks at a pool of stores: changes one after another, their webhooks late, out of order, and some twice.
//!
//! Payloads are put together from prepared flags, so that the machine's time goes to the stores.

use crate::generate::{self, Dice};
use crate::payload_source::PayloadSource;
use crate::pipeline::{entry, webhook};
use anyhow::{Context, Result, ensure};
use local::lambda::{Function, FunctionPool};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How late a webhook comes at most.
const LATEST_MS: usize = 1_500;
/// Of a hundred webhooks so many come twice.
const TWICE: usize = 25;

/// What to load the stores with.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many flags the environment has.
    pub flags: usize,
    /// How many webhooks there are, those that come twice counted twice.
    pub webhooks: u32,
    /// Over how long the changes are spread.
    pub over: Duration,
    /// How many stores there are at a time.
    pub stores: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many webhooks were answered with which status.
    pub statuses: BTreeMap<u64, u32>,
    /// How many of them wrote something.
    pub updated: usize,
    /// How many times a sync began anew because another was faster.
    pub overtaken: u64,
    /// How many requests LaunchDarkly got.
    pub fetches: u32,
    /// How many of them it answered with 304.
    pub not_modified: u32,
    /// From the first change to the last answer.
    pub elapsed: Duration,
    /// How long each took, waiting for a store included; ascending.
    pub latencies: Vec<Duration>,
    /// The payload in the end.
    pub payload: String,
}

/// An environment of which single flags change.
#[derive(Debug)]
struct Environment {
    /// Key, version, and what follows the version.
    flags: Vec<(String, u64, String)>,
    segments: String,
}

impl Load {
    /// An endpoint that serves the environment before the first change.
    pub async fn source(&self) -> Result<PayloadSource> {
        Ok(PayloadSource::start(Environment::new(self.flags)?.payload()).await?)
    }

    /// Loads stores with it, whose table is filled.
    pub async fn run(&self, store: Function, source: &PayloadSource, seed: u64) -> Result<Outcome> {
        let mut environment = Environment::new(self.flags)?;
        let pool = Arc::new(store.pool(self.stores));
        let (mut under_way, mut sent, began) = (JoinSet::new(), 0, Instant::now());
        let before = source.requests();
        while sent < self.webhooks {
            let dice = &mut Dice::new(seed, u64::from(sent));
            let (key, version) = environment.change(dice);
            source.set(environment.payload());
            let event = webhook(&entry(&key, "updateOn", Some(version))).to_string();
            let times = if dice.percent(TWICE) && sent + 2 <= self.webhooks { 2 } else { 1 };
            for _ in 0..times {
                let late = Duration::from_millis(dice.between(0, LATEST_MS) as u64);
                under_way.spawn(deliver(Arc::clone(&pool), event.clone(), late));
            }
            sent += times;
            tokio::time::sleep_until((began + self.over * sent / self.webhooks).into()).await;
        }
        let mut outcome = Outcome { payload: environment.payload(), ..Outcome::default() };
        while let Some(delivered) = under_way.join_next().await {
            let (latency, answer) = delivered??;
            outcome.count(latency, &answer)?;
        }
        outcome.elapsed = began.elapsed();
        outcome.latencies.sort_unstable();
        let after = source.requests();
        (outcome.fetches, outcome.not_modified) = (after.0 - before.0, after.1 - before.1);
        Ok(outcome)
    }
}

async fn deliver(pool: Arc<FunctionPool>, event: String, late: Duration) -> Result<(Duration, Value)> {
    tokio::time::sleep(late).await;
    let began = Instant::now();
    let answer = pool.invoke(event).await?.json()?;
    Ok((began.elapsed(), answer))
}

impl Environment {
    fn new(flags: usize) -> Result<Self> {
        let payload: BTreeMap<String, BTreeMap<String, Value>> =
            serde_json::from_str(&generate::payload(1, flags, flags / 20))?;
        let mut environment = Self { flags: Vec::new(), segments: serde_json::to_string(&payload["segments"])? };
        for (key, flag) in &payload["flags"] {
            let version = flag["version"].as_u64().context("a flag has no version")?;
            let mut flag = flag.clone();
            flag.as_object_mut().context("a flag is no object")?.remove("version");
            environment.flags.push((key.clone(), version, flag.to_string()[1..].to_owned()));
        }
        Ok(environment)
    }

    fn change(&mut self, dice: &mut Dice) -> (String, u64) {
        let number = dice.below(self.flags.len());
        let (key, version, _) = &mut self.flags[number];
        *version += 1;
        (key.clone(), *version)
    }

    fn payload(&self) -> String {
        let flag = |(key, version, rest): &(String, u64, String)| {
            format!("{}:{{\"version\":{version},{rest}", Value::from(key.as_str()))
        };
        let flags: Vec<String> = self.flags.iter().map(flag).collect();
        format!("{{\"flags\":{{{}}},\"segments\":{}}}", flags.join(","), self.segments)
    }
}

impl Outcome {
    fn count(&mut self, latency: Duration, answer: &Value) -> Result<()> {
        let status = answer["statusCode"].as_u64().with_context(|| format!("no HTTP answer: {answer}"))?;
        *self.statuses.entry(status).or_default() += 1;
        self.latencies.push(latency);
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap_or("{}"))?;
        ensure!(status != 200 || body["fresh"] == true, "an answer shows what a webhook does not: {body}");
        self.updated += usize::from(body["outcome"] == "updated");
        self.overtaken += body["attempts"].as_u64().map_or(0, |attempts| attempts - 1);
        Ok(())
    }

    /// The time below which so many of a hundred were answered.
    pub fn percentile(&self, percent: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * percent / 100).copied().unwrap_or_default()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count: u32 = self.statuses.values().sum();
        let per_webhook = f64::from(self.fetches) / f64::from(count.max(1));
        write!(
            f,
            "{count} webhooks in {:.1?}: statuses {:?}, {} wrote, {} overtaken; LaunchDarkly asked {} times ({:.2} a \
             webhook, {} of them 304); answered in {:.0?} (median), {:.0?} (99 of 100), {:.0?} (all)",
            self.elapsed,
            self.statuses,
            self.updated,
            self.overtaken,
            self.fetches,
            per_webhook,
            self.not_modified,
            self.percentile(50),
            self.percentile(99),
            self.percentile(100),
        )
    }
}
