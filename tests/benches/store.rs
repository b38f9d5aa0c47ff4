//! The store beside LaunchDarkly's own Go store and the one that rewrites the table.

use crate::contestant::{Contestant, columns};
use crate::report::Report;
use crate::sample::{median, peak_resident};
use anyhow::{Context, Result};
use flagcache_tests::binaries::binary;
use flagcache_tests::generate;
use flagcache_tests::payload_source::PayloadSource;
use flagcache_tests::proxy::Proxy;
use flagcache_tests::table::Table;
use flagcache_tests::tools::Tools;
use local::lambda::{Function, FunctionProcess};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SEED: u64 = 1;
/// Rounds that do not count: the emulator is a JVM, which compiles each of its paths only after many requests.
const WARM_UP: usize = 8;
/// How many of the generated flags weigh 10 MB.
const TEN_MEGABYTES: usize = 8_250;

/// Measures all stores, each over tables of its own.
pub(crate) async fn measure(tools: &Tools, endpoint: &str, flags: usize, runs: usize) -> Result<Report> {
    let mut contestants = vec![
        Contestant { name: "official Go init", function: tools.official_store() },
        Contestant { name: "predecessor", function: tools.predecessor() },
    ];
    if let Ok(store) = binary("store") {
        contestants.insert(0, Contestant { name: "store", function: Function::new(store) });
    }
    let mut report = Report::new("Stores", &columns(&contestants));
    timed(&mut report, &contestants, endpoint, flags, runs).await?;
    for flags in [flags, flags * 10] {
        counted(&mut report, &contestants, endpoint, flags).await?;
    }
    memory(&mut report, &contestants, endpoint).await?;
    Ok(report)
}

/// First fills and single changes, each from a cold start, each run over a new table.
async fn timed(
    report: &mut Report,
    contestants: &[Contestant],
    endpoint: &str,
    flags: usize,
    runs: usize,
) -> Result<()> {
    let before = generate::payload(SEED, flags, flags / 20);
    let changed = generate::flag_key(SEED, flags / 2);
    let after = generate::toggled(&before, &changed)?;
    let mut walls = [vec![Vec::new(); contestants.len()], vec![Vec::new(); contestants.len()]];
    let mut cpus = walls.clone();
    for round in 0..WARM_UP + runs {
        for (index, contestant) in contestants.iter().enumerate() {
            let table = Table::create(endpoint).await?;
            let source = PayloadSource::start(before.clone()).await?;
            let placed = contestant.with(table.variables(endpoint)).with(source.variables());
            for (step, event) in [json!({}), webhook(&after, &changed)?].iter().enumerate() {
                let start = placed.cold_start(event).await?;
                if round >= WARM_UP {
                    walls[step][index].push(start.wall);
                    cpus[step][index].push(start.cpu);
                }
                source.set(after.clone());
            }
            table.call("DeleteTable", json!({})).await?;
        }
    }
    let [first, second] = walls;
    let [first_cpu, second_cpu] = cpus;
    let medians = |each: Vec<Vec<Duration>>| each.into_iter().map(median).collect::<Vec<_>>();
    report.times(&format!("first fill of {flags}, spawn → answer"), &medians(first));
    report.times("  CPU, user + system", &medians(first_cpu));
    report.times(&format!("one flag of {flags} changed, spawn → answer"), &medians(second));
    report.times("  CPU, user + system", &medians(second_cpu));
    Ok(())
}

/// What a first fill and one changed flag ask of the table.
async fn counted(report: &mut Report, contestants: &[Contestant], endpoint: &str, flags: usize) -> Result<()> {
    let before = generate::payload(SEED, flags, flags / 20);
    let changed = generate::flag_key(SEED, flags / 2);
    let after = generate::toggled(&before, &changed)?;
    let proxy = Proxy::start(endpoint).await?;
    let mut cells = [Vec::new(), Vec::new()];
    for contestant in contestants {
        let table = Table::create(endpoint).await?;
        let source = PayloadSource::start(before.clone()).await?;
        let placed = contestant.with(table.variables(&proxy.endpoint())).with(source.variables());
        for (event, cells) in [json!({}), webhook(&after, &changed)?].iter().zip(&mut cells) {
            placed.cold_start(event).await?;
            let counts = proxy.take_counts();
            cells.push(format!("{} / {} / {}", counts.total(), counts.write_units, counts.read_units));
            source.set(after.clone());
        }
        table.call("DeleteTable", json!({})).await?;
    }
    let [first, second] = cells;
    report.row(&format!("first fill of {flags}: requests / write / read units"), first);
    report.row(&format!("one flag of {flags} changed: requests / write / read units"), second);
    Ok(())
}

/// The most memory that a first fill of 10 MB takes, and one change of it.
async fn memory(report: &mut Report, contestants: &[Contestant], endpoint: &str) -> Result<()> {
    let payload = generate::payload(SEED, TEN_MEGABYTES, 0);
    let changed = generate::flag_key(SEED, 0);
    let after = generate::toggled(&payload, &changed)?;
    let mut peaks = [Vec::new(), Vec::new()];
    let mut times = Vec::new();
    for contestant in contestants {
        let table = Table::create(endpoint).await?;
        let source = PayloadSource::start(payload.clone()).await?;
        let placed = contestant.with(table.variables(endpoint)).with(source.variables());
        let began = Instant::now();
        peaks[0].push(peak(&placed, &json!({})).await?);
        times.push(began.elapsed());
        source.set(after.clone());
        peaks[1].push(peak(&placed, &webhook(&after, &changed)?).await?);
        table.call("DeleteTable", json!({})).await?;
    }
    let megabytes = crate::report::megabytes(payload.len() as u64);
    report.times(&format!("first fill of {megabytes}, once"), &times);
    report.sizes(&format!("peak resident, first fill of {megabytes}"), &peaks[0]);
    report.sizes("peak resident, one flag of it changed", &peaks[1]);
    Ok(())
}

async fn peak(contestant: &Contestant, event: &Value) -> Result<u64> {
    let process: FunctionProcess = contestant.start().await?;
    process.invoke_raw(event.to_string()).await.with_context(|| contestant.failure(&process))?;
    let peak = peak_resident(process.pid())?;
    process.kill().await;
    Ok(peak)
}

/// The event of LaunchDarkly's webhook for a changed flag, as an HTTP API sends it on.
fn webhook(payload: &str, flag: &str) -> Result<Value> {
    let payload: Value = serde_json::from_str(payload)?;
    let entry = json!({
        "kind": "flag",
        "accesses": [{"action": "updateOn", "resource": format!("proj/default:env/production:flag/{flag}")}],
        "currentVersion": {
            "key": flag,
            "environments": {"production": {"version": payload["flags"][flag]["version"]}},
        },
    });
    Ok(json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {"http": {"method": "POST", "path": "/", "sourceIp": "127.0.0.1"}, "requestId": "bench", "stage": "$default"},
        "body": entry.to_string(),
        "isBase64Encoded": false,
    }))
}
