//! What stores cost as an environment grows: a first fill, one change, and a change of half of it.
//!
//! Times and memory are those of one cold process each over the emulator itself; requests and units are counted in a run
//! of its own, behind the counting proxy.

use crate::contestant::{Contestant, columns};
use crate::report::{Report, megabytes};
use crate::sample::{median, median_bytes, peak_resident};
use crate::store::webhook;
use anyhow::{Context, Result};
use clap::ValueEnum;
use flagcache_tests::generate;
use flagcache_tests::payload_source::PayloadSource;
use flagcache_tests::proxy::{Counts, Proxy};
use flagcache_tests::table::Table;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SEED: u64 = 1;
/// How many times each step is run.
const ROUNDS: usize = 3;
/// Above so many flags one round is enough: their times are long, and the emulator is warm by then.
const LARGE: usize = 5_000;

/// How many flags the rounds have that do not count: the emulator is a JVM, which compiles each of its paths after many
/// requests.
const WARM_UP: usize = 500;

/// One thing that happens to an environment.
struct Step {
    name: String,
    payload: String,
    event: Value,
}

/// What is looked at in one run over the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Half {
    /// Times and memory, without the proxy.
    Times,
    /// Requests and units, behind it.
    Counts,
}

/// Runs every step at every size.
pub(crate) async fn measure(
    contestants: &[Contestant],
    endpoint: &str,
    sizes: &[usize],
    only: Option<Half>,
) -> Result<Report> {
    if only != Some(Half::Counts) {
        timed(&mut Report::new("", &[]), contestants, endpoint, &steps(WARM_UP)?, ROUNDS).await?;
    }
    let mut report = Report::new("Stores, by size", &columns(contestants));
    for size in sizes {
        let steps = steps(*size)?;
        let rounds = if *size > LARGE { 1 } else { ROUNDS };
        if only != Some(Half::Counts) {
            timed(&mut report, contestants, endpoint, &steps, rounds).await?;
        }
        if only != Some(Half::Times) {
            counted(&mut report, contestants, endpoint, &steps).await?;
        }
    }
    Ok(report)
}

fn steps(flags: usize) -> Result<Vec<Step>> {
    let first = generate::payload(SEED, flags, flags / 20);
    let changed = generate::flag_key(SEED, flags / 2);
    let second = generate::toggled(&first, &changed)?;
    let half: Vec<String> = (0..flags.div_ceil(2)).map(|index| generate::flag_key(SEED, index)).collect();
    let third = generate::all_toggled(&second, &half)?;
    let size = megabytes(first.len() as u64);
    let step = |name: String, payload: String, event| Step { name, payload, event };
    Ok(vec![
        step(format!("first fill of {flags} ({size})"), first, json!({})),
        step(format!("one of {flags} changed"), second.clone(), webhook(&second, &changed)?),
        step(format!("{} of {flags} changed", half.len()), third.clone(), webhook(&third, &half[0])?),
    ])
}

async fn timed(
    report: &mut Report,
    contestants: &[Contestant],
    endpoint: &str,
    steps: &[Step],
    rounds: usize,
) -> Result<()> {
    let mut times = vec![vec![Vec::new(); contestants.len()]; steps.len()];
    let mut peaks = vec![vec![Vec::new(); contestants.len()]; steps.len()];
    for _ in 0..rounds {
        for (index, contestant) in contestants.iter().enumerate() {
            let table = Table::create(endpoint).await?;
            let source = PayloadSource::start(steps[0].payload.clone()).await?;
            let placed = contestant.with(table.variables(endpoint)).with(source.variables());
            for (number, step) in steps.iter().enumerate() {
                source.set(step.payload.clone());
                let (time, peak) = once(&placed, &step.event).await?;
                times[number][index].push(time);
                peaks[number][index].push(peak);
            }
            table.call("DeleteTable", json!({})).await?;
        }
    }
    for ((step, times), peaks) in steps.iter().zip(times).zip(peaks) {
        let times: Vec<Duration> = times.into_iter().map(median).collect();
        report.times(&step.name, &times);
        report.sizes("  peak resident", &peaks.into_iter().map(median_bytes).collect::<Vec<_>>());
    }
    Ok(())
}

/// One invocation of a new process: how long it took, and its most memory.
async fn once(contestant: &Contestant, event: &Value) -> Result<(Duration, u64)> {
    let process = contestant.start().await?;
    let began = Instant::now();
    process.invoke_raw(event.to_string()).await.with_context(|| contestant.failure(&process))?;
    let time = began.elapsed();
    let peak = peak_resident(process.pid())?;
    process.kill().await;
    Ok((time, peak))
}

async fn counted(report: &mut Report, contestants: &[Contestant], endpoint: &str, steps: &[Step]) -> Result<()> {
    let proxy = Proxy::start(endpoint).await?;
    let mut counts: Vec<Vec<Counts>> = vec![Vec::new(); steps.len()];
    for contestant in contestants {
        let table = Table::create(endpoint).await?;
        let source = PayloadSource::start(steps[0].payload.clone()).await?;
        let placed = contestant.with(table.variables(&proxy.endpoint())).with(source.variables());
        for (step, counts) in steps.iter().zip(&mut counts) {
            source.set(step.payload.clone());
            once(&placed, &step.event).await?;
            counts.push(proxy.take_counts());
        }
        table.call("DeleteTable", json!({})).await?;
    }
    for (step, counts) in steps.iter().zip(counts) {
        let cell = |counts: &Counts| format!("{} / {} / {}", counts.total(), counts.write_units, counts.read_units);
        report.row(&format!("{}: requests / write / read units", step.name), counts.iter().map(cell).collect());
    }
    Ok(())
}
