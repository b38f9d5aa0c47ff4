//! The reader beside readers made with LaunchDarkly's Go, Node and Python SDKs.

use crate::contestant::{ColdStart, Contestant, columns};
use crate::report::Report;
use crate::sample::{cpu_of_running, median, median_bytes};
use anyhow::Result;
use flagcache_tests::binaries::binary;
use flagcache_tests::generate;
use flagcache_tests::payload_source::PayloadSource;
use flagcache_tests::proxy::Proxy;
use flagcache_tests::table::Table;
use flagcache_tests::tools::Tools;
use local::lambda::Function;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SEED: u64 = 1;
/// Rounds of warm invocations, and how many of one and of all flags each has.
const WARM: (usize, usize, usize) = (10, 200, 20);
/// For how long each runs before it counts: the emulator is a JVM, which compiles each of its paths only after many
/// requests.
const WARM_UP: Duration = Duration::from_secs(2);

/// Fills a table, with our store where it is built, and measures all readers over it.
pub(crate) async fn measure(tools: &Tools, endpoint: &str, flags: usize, runs: usize) -> Result<Report> {
    let payload = generate::payload(SEED, flags, flags / 20);
    let table = Table::create(endpoint).await?;
    let mut contestants: Vec<Contestant> =
        tools.readers().into_iter().map(|(name, function)| Contestant { name, function }).collect();
    if let (Ok(store), Ok(reader)) = (binary("store"), binary("reader")) {
        let source = PayloadSource::start(payload).await?;
        let store = Function::new(store).envs(table.variables(endpoint)).envs(source.variables());
        store.spawn().await?.invoke(&json!({})).await?;
        contestants.insert(0, Contestant { name: "reader", function: Function::new(reader) });
    } else {
        table.fill(&payload).await?;
    }
    let placed: Vec<Contestant> =
        contestants.iter().map(|contestant| contestant.with(table.variables(endpoint))).collect();

    let context = generate::contexts(SEED, 1).remove(0);
    let all = json!({"context": context});
    let one = json!({"context": context, "flag": generate::flag_key(SEED, flags / 2), "default": null});
    let mut report = Report::new(&format!("Readers over {flags} flags"), &columns(&contestants));
    cold(&mut report, "one flag", &placed, &one, runs).await?;
    cold(&mut report, "all flags", &placed, &all, runs).await?;
    for (what, event) in [("one flag", &one), ("all flags", &all)] {
        counted(&mut report, what, &contestants, &table, endpoint, event).await?;
    }
    let (rounds, ones, alls) = WARM;
    warm(&mut report, "one flag", &placed, &one, rounds, ones).await?;
    warm(&mut report, "all flags", &placed, &all, rounds, alls).await?;
    Ok(report)
}

async fn cold(report: &mut Report, what: &str, contestants: &[Contestant], event: &Value, runs: usize) -> Result<()> {
    let mut seen: Vec<Vec<ColdStart>> = contestants.iter().map(|_| Vec::new()).collect();
    warm_up(contestants, event).await?;
    for _ in 0..runs {
        for (contestant, seen) in contestants.iter().zip(&mut seen) {
            seen.push(contestant.cold_start(event).await?);
        }
    }
    let each = |figure: fn(&ColdStart) -> Duration| -> Vec<Duration> {
        seen.iter().map(|starts| median(starts.iter().map(figure).collect())).collect()
    };
    report.times(&format!("spawn → first answer, {what}"), &each(|start| start.wall));
    report.times("  of it until ready", &each(|start| start.init));
    report.times("  CPU, user + system", &each(|start| start.cpu));
    let resident = |starts: &Vec<ColdStart>| median_bytes(starts.iter().map(|start| start.resident).collect());
    report.sizes("  resident afterwards", &seen.iter().map(resident).collect::<Vec<_>>());
    Ok(())
}

async fn warm_up(contestants: &[Contestant], event: &Value) -> Result<()> {
    for contestant in contestants {
        let until = Instant::now() + WARM_UP;
        while Instant::now() < until {
            contestant.cold_start(event).await?;
        }
    }
    Ok(())
}

async fn counted(
    report: &mut Report,
    what: &str,
    contestants: &[Contestant],
    table: &Table,
    endpoint: &str,
    event: &Value,
) -> Result<()> {
    let proxy = Proxy::start(endpoint).await?;
    let mut cells = Vec::new();
    for contestant in contestants {
        contestant.with(table.variables(&proxy.endpoint())).cold_start(event).await?;
        let counts = proxy.take_counts();
        cells.push(format!("{} / {}", counts.total(), counts.read_units));
    }
    report.row(&format!("requests / read units, cold, {what}"), cells);
    Ok(())
}

async fn warm(
    report: &mut Report,
    what: &str,
    contestants: &[Contestant],
    event: &Value,
    rounds: usize,
    each: usize,
) -> Result<()> {
    let mut running = Vec::new();
    for contestant in contestants {
        let process = contestant.start().await?;
        process.invoke_raw(event.to_string()).await?;
        running.push(process);
    }
    let mut times: Vec<Vec<Duration>> = running.iter().map(|_| Vec::new()).collect();
    let mut cpu = vec![Duration::ZERO; running.len()];
    for _ in 0..rounds {
        for (index, process) in running.iter().enumerate() {
            let before = cpu_of_running(process.pid())?;
            for _ in 0..each {
                times[index].push(process.invoke_raw(event.to_string()).await?.duration);
            }
            cpu[index] += cpu_of_running(process.pid())?.saturating_sub(before);
        }
    }
    let invocations = u32::try_from(rounds * each).unwrap_or(u32::MAX);
    report.times(&format!("warm p50, {what}"), &times.into_iter().map(median).collect::<Vec<_>>());
    report.times("  CPU each", &cpu.into_iter().map(|total| total / invocations).collect::<Vec<_>>());
    Ok(())
}
