//! `prefork-server` beside its predecessor, gunicorn with Flask and LaunchDarkly's Python SDK, and a server that does
//! nothing.
//!
//! All have two workers of two threads (the bare one four threads) and the same flags, and are loaded by wrk, which takes
//! its share of the same cores: ratios count. CPU time and memory are those of all processes of a server.

use crate::report::Report;
use crate::sample::{cpu_of_running, median};
use anyhow::{Context, Result, ensure};
use flagcache_tests::binaries::binary;
use flagcache_tests::generate;
use local::standin::{Standin, StandinOptions};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SEED: u64 = 1;
const FLAG: &str = "sample-flag";
/// An even number, so that the flag is as it was afterwards.
const CHANGES: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);
/// Rounds in which each server is loaded once; what else the machine does should meet all of them.
const ROUNDS: usize = 5;

/// A running server, with everything it has forked.
struct Contestant {
    name: &'static str,
    child: Child,
    address: SocketAddr,
}

/// What wrk says.
#[derive(Debug, Clone, Copy)]
struct Loaded {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    /// Of the server, for 10,000 requests.
    cpu: Duration,
}

impl Loaded {
    /// Figure by figure.
    fn median(rounds: &[Self]) -> Self {
        let time = |figure: fn(&Self) -> Duration| median(rounds.iter().map(figure).collect());
        let mut rates: Vec<f64> = rounds.iter().map(|round| round.per_second).collect();
        rates.sort_by(f64::total_cmp);
        Self {
            per_second: rates[rates.len() / 2],
            p50: time(|round| round.p50),
            p99: time(|round| round.p99),
            cpu: time(|round| round.cpu),
        }
    }
}

/// Loads each server in turn and compares them.
pub(crate) async fn measure(flags: usize, seconds: u64) -> Result<Report> {
    let standin = Standin::start(StandinOptions::default()).await?;
    standin.set_data(&generate::payload(SEED, flags, flags / 20))?;
    let flag = serde_json::json!({
        "key": FLAG, "on": true, "version": 1, "variations": [true, false], "offVariation": 1, "salt": "s",
        "fallthrough": {"variation": 0}, "targets": [], "contextTargets": [], "rules": [], "prerequisites": [],
        "clientSideAvailability": {"usingEnvironmentId": true, "usingMobileKey": true},
    });
    standin.upsert_flag(&flag)?;
    let tools = tools()?;
    let contestants = [
        Contestant::start("prefork-server", &ours()?, &standin)?,
        Contestant::start("gunicorn + Flask", &predecessor(&tools), &standin)?,
        Contestant::start("bare axum", &[tools.join("bare-axum").display().to_string(), "ADDRESS".into()], &standin)?,
    ];
    let names: Vec<&str> = contestants.iter().map(|contestant| contestant.name).chain(["1st : 2nd"]).collect();
    let mut report = Report::new(&format!("Servers over {flags} flags, wrk -t2 -c32"), &names);
    for contestant in &contestants {
        contestant.ready().await?;
    }
    for path in ["/", "/flag"] {
        let mut rounds = vec![Vec::new(); contestants.len()];
        for contestant in &contestants {
            contestant.load(&tools, path, 1)?;
        }
        for _ in 0..ROUNDS {
            for (contestant, rounds) in contestants.iter().zip(&mut rounds) {
                rounds.push(contestant.load(&tools, path, seconds)?);
            }
        }
        let loaded: Vec<Loaded> = rounds.iter().map(|rounds| Loaded::median(rounds)).collect();
        let rates = loaded.iter().map(|load| format!("{:.0}", load.per_second)).collect();
        report.row(&format!("requests/s, GET {path}"), rates);
        let each = |figure: fn(&Loaded) -> Duration| loaded.iter().map(figure).collect::<Vec<_>>();
        report.times("  p50", &each(|load| load.p50));
        report.times("  p99", &each(|load| load.p99));
        report.times("  CPU for 10,000 requests", &each(|load| load.cpu));
    }
    let memory: Result<Vec<u64>> = contestants.iter().map(Contestant::memory).collect();
    report.sizes("memory (PSS), all processes", &memory?);
    let mut times = Vec::new();
    for contestant in &contestants[..2] {
        times.push(contestant.change(&standin).await?);
    }
    report.times("change → all workers", &times);
    Ok(report)
}

fn tools() -> Result<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = Command::new(tests.join("interop/install-server")).stdin(Stdio::null()).status()?;
    ensure!(installed.success(), "failed to install the peers of prefork-server; the lines above say why");
    let tools = std::env::var_os("FLAGCACHE_TOOLS_DIR").map_or_else(|| tests.join("../.tools"), PathBuf::from);
    tools.join("server").canonicalize().context("failed to find the installed peers")
}

fn ours() -> Result<Vec<String>> {
    let program = binary("prefork-server")?.display().to_string();
    Ok([program.as_str(), "--bind", "ADDRESS", "--workers", "2", "--threads", "2"].map(str::to_owned).to_vec())
}

fn predecessor(tools: &Path) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/flask").display().to_string();
    let program = tools.join("venv/bin/gunicorn").display().to_string();
    let config = format!("{folder}/gunicorn.conf.py");
    [&program, "--config", &config, "--chdir", &folder, "--bind", "ADDRESS", "app:app"].map(str::to_owned).to_vec()
}

impl Contestant {
    fn start(name: &'static str, words: &[String], standin: &Standin) -> Result<Self> {
        // The port is free again when this ends; nobody else here takes ports at that pace.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let words: Vec<String> = words.iter().map(|word| word.replace("ADDRESS", &address.to_string())).collect();
        let uris = ["LAUNCHDARKLY_BASE_URI", "LAUNCHDARKLY_STREAM_URI", "LAUNCHDARKLY_EVENTS_URI"];
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).envs(uris.map(|variable| (variable, standin.url())));
        command.env("LAUNCHDARKLY_SDK_KEY", "sdk-local").env("LD_FLAG_KEY", FLAG).env("LOG_LEVEL", "WARNING");
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("failed to start {name}"))?;
        Ok(Self { name, child, address })
    }

    async fn ready(&self) -> Result<()> {
        let start = Instant::now();
        while Connection::open(self.address, "/").await.is_err() {
            ensure!(start.elapsed() < PATIENCE, "{} does not answer", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn load(&self, tools: &Path, path: &str, seconds: u64) -> Result<Loaded> {
        let own = tools.join("wrk");
        let wrk = if own.is_file() { own } else { PathBuf::from("wrk") };
        let before = self.cpu()?;
        let output = Command::new(wrk)
            .args(["-t2", "-c32", "--latency", &format!("-d{seconds}s"), &format!("http://{}{path}", self.address)])
            .output()
            .context("failed to run wrk")?;
        let cpu = self.cpu()?.saturating_sub(before);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(!text.contains("Non-2xx"), "{} answers with errors: {text}", self.name);
        let figure = |label: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(label));
            line.map(|rest| rest.trim().to_owned()).with_context(|| format!("wrk tells no {label:?}: {text}"))
        };
        let per_second: f64 = figure("Requests/sec:")?.parse()?;
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let requests = per_second * seconds as f64;
        Ok(Loaded {
            per_second,
            p50: time(&figure("50%")?)?,
            p99: time(&figure("99%")?)?,
            cpu: cpu.div_f64(requests / 10_000.0),
        })
    }

    /// All its processes.
    fn processes(&self) -> Vec<u32> {
        let mut all = vec![self.child.id()];
        let mut next = 0;
        while let Some(pid) = all.get(next).copied() {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            next += 1;
        }
        all
    }

    fn cpu(&self) -> Result<Duration> {
        self.processes().into_iter().map(cpu_of_running).sum()
    }

    fn memory(&self) -> Result<u64> {
        let pss = |pid: u32| -> Result<u64> {
            let map = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            let line = map.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
            Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
        };
        self.processes().into_iter().map(pss).sum()
    }

    /// From a change in LaunchDarkly until every worker answers with it; the median of several.
    async fn change(&self, standin: &Standin) -> Result<Duration> {
        let mut times = Vec::new();
        for round in 0..CHANGES {
            let mut workers = self.connection_to_each_worker().await?;
            let on = round % 2 == 1;
            let expected = format!("\"value\":{on}");
            let start = Instant::now();
            standin.set_flag_on(FLAG, on).context("the flag is there and is the other way round")?;
            for worker in &mut workers {
                while !worker.get("/flag").await?.replace(' ', "").contains(&expected) {
                    ensure!(start.elapsed() < PATIENCE, "a worker of {} is left behind", self.name);
                }
            }
            times.push(start.elapsed());
        }
        Ok(median(times))
    }

    async fn connection_to_each_worker(&self) -> Result<Vec<Connection>> {
        let mut found: Vec<(String, Connection)> = Vec::new();
        let start = Instant::now();
        while found.len() < 2 {
            ensure!(start.elapsed() < PATIENCE, "only one worker of {} answers", self.name);
            let (connection, health) = Connection::open(self.address, "/").await?;
            let pid =
                health.split("\"pid\":").nth(1).and_then(|rest| rest.split([',', '}']).next()).unwrap_or_default();
            if found.iter().all(|(known, _)| known != pid) {
                found.push((pid.to_owned(), connection));
            }
        }
        Ok(found.into_iter().map(|(_, connection)| connection).collect())
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        let processes = self.processes();
        for pid in processes.into_iter().skip(1).map(|pid| pid.to_string()) {
            let _ = Command::new("kill").args(["-9", &pid]).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that is kept where the server keeps it.
struct Connection(TcpStream, SocketAddr);

impl Connection {
    async fn open(address: SocketAddr, path: &str) -> Result<(Self, String)> {
        let mut connection = Self(TcpStream::connect(address).await?, address);
        let answer = connection.get(path).await?;
        Ok((connection, answer))
    }

    async fn get(&mut self, path: &str) -> Result<String> {
        let Self(stream, address) = self;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        let mut piece = [0; 2_048];
        loop {
            let count = stream.read(&mut piece).await?;
            ensure!(count > 0, "the connection was closed");
            answer.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&answer);
            if text.trim_end().ends_with('}') {
                return Ok(text.into_owned());
            }
        }
    }
}

/// `1.23ms` and its like.
fn time(text: &str) -> Result<Duration> {
    let split = text.find(|letter: char| letter.is_ascii_alphabetic()).context("a time without a unit")?;
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        _ => 1.0,
    };
    Ok(Duration::from_secs_f64(number.trim().parse::<f64>()? * seconds))
}
