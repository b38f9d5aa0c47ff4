//! The store beside LaunchDarkly's own Go store and the one that rewrites the table.

use crate::contestant::{Contestant, columns};
use crate::report::Report;
use crate::sample::median;
use anyhow::Result;
use flagcache_tests::binaries::binary;
use flagcache_tests::generate;
use flagcache_tests::payload_source::PayloadSource;
use flagcache_tests::table::Table;
use flagcache_tests::tools::Tools;
use local::lambda::Function;
use serde_json::{Value, json};
use std::time::Duration;

const SEED: u64 = 1;
/// Rounds that do not count: the emulator is a JVM, which compiles each of its paths only after many requests.
const WARM_UP: usize = 8;

/// Our store, where it is built, and those of others.
pub(crate) fn contestants(tools: &Tools) -> Vec<Contestant> {
    let mut contestants = vec![
        Contestant { name: "official Go init", function: tools.official_store() },
        Contestant { name: "predecessor", function: tools.predecessor() },
    ];
    if let Ok(store) = binary("store") {
        contestants.insert(0, Contestant { name: "store", function: Function::new(store) });
    }
    contestants
}

/// Measures cold starts of all stores, each over tables of its own.
pub(crate) async fn measure(contestants: &[Contestant], endpoint: &str, flags: usize, runs: usize) -> Result<Report> {
    let mut report = Report::new("Stores", &columns(contestants));
    timed(&mut report, contestants, endpoint, flags, runs).await?;
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

/// The event of LaunchDarkly's webhook for a changed flag, as an HTTP API sends it on.
pub(crate) fn webhook(payload: &str, flag: &str) -> Result<Value> {
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
