//! `rc` beside the Python tool that it replaces: an override on three Redis hosts, and playback.

use crate::report::Report;
use crate::sample::{median, median_bytes, peak_resident};
use anyhow::{Context, Result, ensure};
use flagcache_tests::binaries::binary;
use flagcache_tests::redis_server::RedisServer;
use flagcache_tests::tools::Tools;
use local::standin::{Standin, StandinOptions};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Runs that do not count.
const WARM_UP: usize = 3;
const HOSTS: usize = 3;
const ENTRIES: usize = 100;
const MANY_ENTRIES: usize = 500;
/// How often a process is asked for its peak of memory: the last answer counts.
const PEAK_EVERY: Duration = Duration::from_millis(2);

/// One of the two tools.
struct Tool {
    name: &'static str,
    program: PathBuf,
    /// How a journal line begins.
    in_journal: String,
}

/// Measures both; nothing where there is no `redis-server`.
pub(crate) async fn measure(tools: &Tools, runs: usize) -> Result<Option<Report>> {
    let mut contestants = Vec::new();
    if let Ok(program) = binary("rc") {
        contestants.push(Tool { name: "rc", program, in_journal: "rc".to_owned() });
    }
    let program = tools.relay_commander();
    let in_journal = program.display().to_string();
    contestants.push(Tool { name: "Python tool", program, in_journal });
    let mut columns: Vec<&str> = contestants.iter().map(|tool| tool.name).collect();
    columns.push("1st : 2nd");
    let mut report = Report::new("Overrides", &columns);
    let Some(walls) = overrides(&contestants, runs).await? else { return Ok(None) };
    report.times(&format!("update-redis on {HOSTS} hosts, spawn → exit"), &walls);
    let mut walls = Vec::new();
    for tool in &contestants {
        // The Python tool takes its time.
        let runs = if tool.name == "rc" { runs } else { 1 };
        walls.push(playback(tool, ENTRIES, runs).await?.0);
    }
    report.times(&format!("playback of {ENTRIES} entries, spawn → exit"), &walls);
    if let Some(tool) = contestants.first().filter(|tool| tool.name == "rc") {
        for entries in [ENTRIES, MANY_ENTRIES] {
            let (_, peak) = playback(tool, entries, runs.min(5)).await?;
            report.sizes(&format!("  peak memory with {entries} entries"), &[peak]);
        }
    }
    Ok(Some(report))
}

/// One flag, turned on and off; the tools take turns.
async fn overrides(contestants: &[Tool], runs: usize) -> Result<Option<Vec<Duration>>> {
    let mut servers = Vec::new();
    for _ in 0..HOSTS {
        let Some(server) = RedisServer::start()? else { return Ok(None) };
        server.fill("ld:p:e", &payload(ENTRIES))?;
        servers.push(server);
    }
    let hosts: Vec<String> = servers.iter().map(RedisServer::address).collect();
    let folders = contestants.iter().map(|_| tempfile::tempdir()).collect::<Result<Vec<_>, _>>()?;
    let mut walls = vec![Vec::new(); contestants.len()];
    for round in 0..WARM_UP + runs {
        for (index, tool) in contestants.iter().enumerate() {
            // Each has a flag of its own, which every run of it changes.
            let flag = format!("flag-{index}");
            let state = if round % 2 == 0 { "on" } else { "off" };
            let mut command = Command::new(&tool.program);
            command.args(["update-redis", "-p", "p", "-e", "e", "-f", &flag, "-s", state]);
            command.current_dir(folders[index].path()).env("REDIS_HOSTS", hosts.join(","));
            let (wall, _) = timed(command, tool.name).await?;
            if round >= WARM_UP {
                walls[index].push(wall);
            }
        }
    }
    Ok(Some(walls.into_iter().map(median).collect()))
}

/// The median time, and the median peak of memory.
async fn playback(tool: &Tool, entries: usize, runs: usize) -> Result<(Duration, u64)> {
    let (mut walls, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let options = StandinOptions::default().project("p").environment("e").data(payload(entries))?;
        let standin = Standin::start(options).await?;
        let folder = tempfile::tempdir()?;
        fill_journal(folder.path(), tool, entries)?;
        let mut command = Command::new(&tool.program);
        command.arg("playback").current_dir(folder.path());
        command.env("LD_API_KEY", "api-local").env("LAUNCHDARKLY_API_URI", standin.url());
        let (wall, peak) = timed(command, tool.name).await?;
        let played: Value = serde_json::from_slice(&standin.data())?;
        let flags = played["flags"].as_object().context("no flags")?;
        ensure!(flags.values().all(|flag| flag["on"] == true), "{} did not play all back", tool.name);
        walls.push(wall);
        peaks.push(peak);
    }
    Ok((median(walls), median_bytes(peaks)))
}

fn fill_journal(folder: &Path, tool: &Tool, entries: usize) -> Result<()> {
    let to_do = folder.join("replay/toDo");
    std::fs::create_dir_all(&to_do)?;
    std::fs::create_dir_all(folder.join("replay/archive"))?;
    for number in 0..entries {
        let line = format!("{} update-ld-api -p p -e e -f flag-{number} -s on", tool.in_journal);
        std::fs::write(to_do.join(format!("{number:04}.txt")), line)?;
    }
    Ok(())
}

/// Runs a process to its end: how long that took, and its peak of memory.
async fn timed(mut command: Command, name: &str) -> Result<(Duration, u64)> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let start = Instant::now();
    let mut process = command.spawn().with_context(|| format!("failed to start {name}"))?;
    let pid = process.id().unwrap_or_default();
    let mut peak = 0;
    let mut look = tokio::time::interval(PEAK_EVERY);
    let status = loop {
        tokio::select! {
            biased;
            ended = process.wait() => break ended?,
            _ = look.tick() => peak = peak_resident(pid).unwrap_or(peak),
        }
    };
    let wall = start.elapsed();
    ensure!(status.success(), "{name} ended with {status}");
    Ok((wall, peak))
}

/// Flags that are off.
fn payload(flags: usize) -> String {
    let flag = |number: usize| {
        let key = format!("flag-{number}");
        let flag = json!({
            "key": key, "version": 1, "on": false, "offVariation": 1, "variations": [true, false],
            "fallthrough": {"variation": 0}, "rules": [], "targets": [], "prerequisites": [], "salt": key,
        });
        (key, flag)
    };
    let flags: serde_json::Map<String, Value> = (0..flags).map(flag).collect();
    json!({"flags": flags, "segments": {}}).to_string()
}
