//! The command line: `env-sync --help` is the manual.
//!
//! Every option can come from a variable too; an empty variable counts as none. What the words mean together is
//! checked in `settings`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, Resettable};
use clap::{CommandFactory, FromArgMatches, Parser};
use secrecy::SecretString;

use crate::edit::Format;
use crate::names::Illegal;
use crate::value::Types;

/// The flags that are kept where none are named: those that `terraform/` creates.
pub const SAMPLE_FLAGS: &str = "SAMPLE_API_URL,SAMPLE_SERVICE_URL,SAMPLE_APP_URL";

const AFTER_HELP: &str = "\
Examples:
  LD_SDK_KEY=sdk-… env-sync
  LD_SDK_KEY=sdk-… FLAGS=api-url,theme env-sync --names convert --env-file-path /run/app/.env
  LD_SDK_KEY=sdk-… env-sync --exec 'systemctl reload app'
  LD_SDK_KEY=sdk-… env-sync -- node server.js
  LD_SDK_KEY=sdk-… env-sync --once --all --types any --format json --env-file-path flags.json
  LD_SDK_KEY=sdk-… env-sync --dry-run

The file is edited, not rewritten: comments, order, `export` and lines of others stay.
It is replaced atomically, has mode 0600 unless --mode says otherwise, and is left alone
while nothing changes. While LaunchDarkly cannot be reached, the last known values stay.

Signals:
  SIGTERM, SIGINT   write what is pending, send events, end
  SIGHUP            compare the file with the flags now

Exit codes:
  0  stopped by a signal; --once or --dry-run done
  1  LaunchDarkly refuses the SDK key; another env-sync keeps the file; --once could not do
     all it should, or --dry-run sees that it could not
  2  usage or configuration; nothing was touched
  with a COMMAND: the command's own code, or 128 and the signal that ended it";

/// Keeps a .env file in step with LaunchDarkly flags, live over LaunchDarkly's stream.
#[derive(Debug, Parser)]
#[command(name = "env-sync", version, about, after_help = AFTER_HELP, max_term_width = 110)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own, free to be combined")]
pub struct Cli {
    /// Server-side SDK key (better as a variable: other users see command lines)
    #[arg(long, alias = "sdk-key", env = "LD_SDK_KEY", hide_env_values = true, value_name = "KEY")]
    pub ld_sdk_key: Option<SecretString>,

    /// File that holds the SDK key, such as a mounted secret
    #[arg(long, env = "LD_SDK_KEY_FILE", value_name = "FILE")]
    pub ld_sdk_key_file: Option<PathBuf>,

    /// Keys of the flags to keep in the file, separated by commas
    #[arg(long, env = "FLAGS", hide_env_values = true, value_name = "KEYS", default_value = SAMPLE_FLAGS)]
    pub flags: String,

    /// Keep every flag of the environment in the file
    #[arg(long)]
    pub all: bool,

    /// The file
    #[arg(long, env = "ENV_FILE_PATH", hide_env_values = true, value_name = "FILE", default_value = ".env")]
    pub env_file_path: PathBuf,

    /// How the file spells its lines
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    /// The file's mode, octal
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = mode)]
    pub mode: u32,

    /// Copy the file to FILE.YYYYMMDD-HHMMSS before its content changes
    #[arg(long, env = "BACKUP_ENABLED", hide_env_values = true, value_name = "true|false", default_value = "true")]
    pub backup_enabled: String,

    /// Delete all backups but the newest N
    #[arg(long, value_name = "N")]
    pub keep_backups: Option<usize>,

    /// Milliseconds without a further change before the file is written; at most five times this after the first
    #[arg(long, env = "DEBOUNCE_MS", hide_env_values = true, value_name = "MS", default_value = "400")]
    pub debounce_ms: String,

    /// Shortest time between two changes of the file, such as 30s
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    pub min_interval: std::time::Duration,

    /// Wait a random time up to this before COMMAND, --exec or --signal, so that a fleet does not reload at once
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    pub splay: std::time::Duration,

    /// Which values are written
    #[arg(long, value_enum, default_value_t)]
    pub types: Types,

    /// The variable that a flag becomes; once for each flag. Such flags need not be in --flags
    #[arg(long, value_name = "FLAG=NAME")]
    pub map: Vec<String>,

    /// What stands before all names but those of --map
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub prefix: String,

    /// What becomes of flag keys that are no legal variable names
    #[arg(long, value_enum, default_value_t)]
    pub names: Illegal,

    /// Key of the context that flags are evaluated for
    #[arg(
        long,
        alias = "context-key",
        env = "LD_CONTEXT_KEY",
        hide_env_values = true,
        value_name = "KEY",
        default_value = "sample-daemon"
    )]
    pub ld_context_key: String,

    /// Its name
    #[arg(
        long,
        alias = "context-name",
        env = "LD_CONTEXT_NAME",
        hide_env_values = true,
        value_name = "NAME",
        default_value = "Daemon"
    )]
    pub ld_context_name: String,

    /// Write the file once and end
    #[arg(long)]
    pub once: bool,

    /// Show what would change and end, with the exit code of --once; values are hidden
    #[arg(long)]
    pub dry_run: bool,

    /// Let --dry-run show values
    #[arg(long)]
    pub show_values: bool,

    /// How long --once and --dry-run wait for LaunchDarkly, and COMMAND before it gets the file's last known values
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub timeout: std::time::Duration,

    /// Run CMD with `sh -c` after a change, with the values in its environment
    #[arg(long, value_name = "CMD", value_parser = NonEmptyStringValueParser::new())]
    pub exec: Option<String>,

    /// How long CMD may run before it is killed
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    pub exec_timeout: std::time::Duration,

    /// Send a signal to the process whose id is in a file after a change, such as /run/nginx.pid:HUP
    #[arg(long, value_name = "PID_FILE:SIGNAL")]
    pub signal: Option<String>,

    /// Run --exec and --signal at the start too, where the file was right already
    #[arg(long)]
    pub run_on_start: bool,

    /// Serve /health and /metrics here, such as 127.0.0.1:9100
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,

    /// Keep the state of /health in this file as well
    #[arg(long, value_name = "FILE")]
    pub health_file: Option<PathBuf>,

    /// DEBUG, INFO, WARNING, ERROR or CRITICAL
    #[arg(long, env = "LOG_LEVEL", hide_env_values = true, value_name = "LEVEL", default_value = "INFO")]
    pub log_level: String,

    /// LaunchDarkly's polling service, if not LaunchDarkly's own; checked, but not asked while there is a stream
    #[arg(long, env = "LAUNCHDARKLY_BASE_URI", hide_env_values = true, value_name = "URI")]
    pub base_uri: Option<String>,

    /// LaunchDarkly's stream, if not LaunchDarkly's own
    #[arg(long, env = "LAUNCHDARKLY_STREAM_URI", hide_env_values = true, value_name = "URI")]
    pub stream_uri: Option<String>,

    /// LaunchDarkly's events service, if not LaunchDarkly's own
    #[arg(long, env = "LAUNCHDARKLY_EVENTS_URI", hide_env_values = true, value_name = "URI")]
    pub events_uri: Option<String>,

    /// Open a stream anew that was silent for this long
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    pub stream_silence: std::time::Duration,

    /// Send no analytics events
    #[arg(long)]
    pub no_events: bool,

    /// Run this with the values in its environment, and start it anew when they change
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

impl Cli {
    /// The command line and the environment; ends the program where they are wrong. An empty variable counts as none.
    pub fn from_words(words: impl IntoIterator<Item = OsString>) -> Self {
        let command = Self::command().mut_args(|argument| {
            let is_empty = argument.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
            if is_empty { argument.env(Resettable::Reset) } else { argument }
        });
        let mut command = command;
        // clap says that something is not UTF-8, and not which variable.
        let broken = command
            .get_arguments()
            .filter_map(clap::Arg::get_env)
            .find(|name| std::env::var(name).is_err_and(|error| matches!(error, std::env::VarError::NotUnicode(_))));
        if let Some(name) = broken.map(|name| name.to_string_lossy().into_owned()) {
            command.error(clap::error::ErrorKind::InvalidUtf8, format_args!("{name} is not UTF-8 text")).exit();
        }
        Self::from_arg_matches(&command.get_matches_from(words)).unwrap_or_else(|error| error.exit())
    }
}

fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777);
    let mode = mode.ok_or("a mode is three octal digits, such as 600 or 640")?;
    if mode & 0o600 == 0o600 { Ok(mode) } else { Err("its owner must be able to read and write the file".to_owned()) }
}

/// A time: `250ms`, `30s`, `5m`, `1h`, or seconds without a unit.
fn time(text: &str) -> Result<std::time::Duration, String> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let unit = match &text[end..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time is a number with ms, s, m or h".to_owned()),
    };
    let seconds = text[..end].parse::<f64>().map_err(|_| "a time is a number with ms, s, m or h".to_owned())?;
    std::time::Duration::try_from_secs_f64(seconds * unit).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        let read = |text| time(text).map(|time| time.as_millis());
        assert_eq!(
            [read("250ms"), read("30s"), read("1.5"), read("2m")].map(Result::unwrap),
            [250, 30_000, 1500, 120_000]
        );
        for text in ["", "s", "-1s", "1d", "1e9s", "a"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn modes_are_octal_and_leave_the_owner_in() {
        assert_eq!([mode("600"), mode("0640"), mode("0o644")].map(Result::unwrap), [0o600, 0o640, 0o644]);
        for text in ["", "rw", "888", "7777", "400", "044"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
