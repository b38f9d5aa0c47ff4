//! The command line: what the user can say, and nothing of what is done about it.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Serve HTTP with live LaunchDarkly flags in every worker: fetch the flags once, fork, follow changes.
#[derive(Debug, Parser)]
#[command(
    name = "prefork-server",
    version,
    after_help = "Example:\n  \
        LAUNCHDARKLY_SDK_KEY=sdk-… prefork-server --bind 127.0.0.1:8000 --workers 4\n  \
        curl http://127.0.0.1:8000/flag\n\n\
        Variables (environment, else .env): LAUNCHDARKLY_SDK_KEY (required), LD_FLAG_KEY, LAUNCHDARKLY_BASE_URI,\n\
        LAUNCHDARKLY_STREAM_URI, LAUNCHDARKLY_EVENTS_URI, LOG_LEVEL, BIND, WORKERS, THREADS.\n\
        Signals: TERM, INT end gracefully; HUP replaces all workers; TTIN, TTOU one worker more, less; QUIT ends at once.\n\
        Exit codes: 0 told to end, 1 cannot run, 2 usage or configuration."
)]
pub struct Cli {
    /// Where to listen: HOST:PORT or :PORT [env: BIND] [default: 0.0.0.0:8000]
    #[arg(short, long, value_name = "ADDRESS")]
    pub bind: Option<String>,

    /// How many worker processes [env: WORKERS] [default: 2]
    #[arg(short, long, value_name = "N")]
    pub workers: Option<String>,

    /// How many threads each worker has [env: THREADS] [default: 2]
    #[arg(long, value_name = "N")]
    pub threads: Option<String>,

    /// Fetch the flags before the fork (the default)
    #[arg(long, overrides_with = "no_preload")]
    pub preload: bool,

    /// Leave it to the workers to get their flags
    #[arg(long, overrides_with = "preload")]
    pub no_preload: bool,

    /// One process, for development
    #[arg(long)]
    pub dev: bool,

    /// How flag changes come: one stream for all workers, or one for each
    #[arg(long, value_enum, default_value_t = Stream::Shared)]
    pub stream: Stream,

    /// Seconds that fetching the flags before the fork may take
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    pub preload_timeout: f64,

    /// Seconds without a sign of life after which a worker or the stream holder is killed
    #[arg(short, long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    pub timeout: f64,

    /// Seconds that requests under way may take when a worker ends
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    pub graceful_timeout: f64,

    /// Seconds that a client may take to send a request's head, and that a connection may be idle
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    pub keep_alive: f64,

    /// Replace a worker after this many requests; 0 for never
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_requests: u64,

    /// Add up to this many, at random, so that not all workers are replaced at once
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_requests_jitter: u64,

    /// How many connections may wait to be accepted
    #[arg(long, value_name = "N", default_value_t = 2_048, value_parser = clap::value_parser!(i32).range(1..))]
    pub backlog: i32,

    /// Write the master's process id to this file
    #[arg(short, long = "pid", value_name = "FILE")]
    pub pid_file: Option<PathBuf>,

    /// The file with variables that the environment does not have
    #[arg(long, value_name = "FILE", default_value = ".env")]
    pub env_file: PathBuf,
}

/// Who keeps a connection to LaunchDarkly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stream {
    /// One process for the whole group.
    Shared,
    /// Every worker.
    PerWorker,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("it may be a number of seconds from 0.1 to 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_later_of_preload_and_no_preload_wins() {
        let preload = |words: &[&str]| !Cli::parse_from([&["prefork-server"], words].concat()).no_preload;
        assert!(preload(&[]) && preload(&["--preload"]) && preload(&["--no-preload", "--preload"]));
        assert!(!preload(&["--no-preload"]) && !preload(&["--preload", "--no-preload"]));
    }
}
