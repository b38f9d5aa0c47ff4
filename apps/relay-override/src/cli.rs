//! The command line: what the user can say, and nothing of what is done about it.

#![expect(clippy::doc_markdown, reason = "these comments are the help text, in which backticks would show")]

mod arguments;

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, Resettable, TypedValueParser};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use flagcache_program::Level;

use crate::change::FlagName;

pub use arguments::{ChangeArgs, DynamoDbArgs, FlagArgs, JournalArgs, RedisArgs, StoresArgs, TargetArgs, WaitArgs};

/// Keep control of feature flags while LaunchDarkly is unreachable.
///
/// Overrides flags in the Relay Proxy's Redis or the pipeline's DynamoDB table, records every
/// override, and plays the record back once LaunchDarkly answers again.
#[derive(Debug, Parser)]
#[command(
    name = "rc",
    version,
    arg_required_else_help = true,
    after_help = "Example, the whole outage:\n  \
        rc update-redis -p shop -e production -f new-checkout -s off\n  \
        rc status\n  \
        rc playback --wait\n\n\
        Variables (environment, else .env): REDIS_HOSTS, REDIS_USERNAME, REDIS_PASSWORD, REDIS_PASSWORD_FILE,\n\
        REDIS_CA_FILE, REDIS_CLIENT_CERT_FILE, REDIS_CLIENT_KEY_FILE, REDIS_KEY_PREFIX,\n\
        LAUNCHDARKLY_DYNAMODB_TABLE, LAUNCHDARKLY_DYNAMODB_PREFIX and the AWS SDK's own, LD_API_KEY,\n\
        LAUNCHDARKLY_API_URI, LAUNCHDARKLY_BASE_URI, LOG_LEVEL.\n\
        Exit codes: 0 all done, 1 some host or entry failed, 2 usage or configuration."
)]
pub struct Cli {
    /// How much is logged on standard error: CRITICAL, ERROR, WARNING, INFO or DEBUG [default: LOG_LEVEL, else WARNING]
    #[arg(short, long, value_name = "LVL", global = true, ignore_case = true, hide_possible_values = true,
        value_parser = PossibleValuesParser::new(Level::NAMES).try_map(|name| name.parse::<Level>()))]
    pub verbosity: Option<Level>,

    /// The file with variables that the environment does not have
    #[arg(long, value_name = "FILE", global = true, default_value = ".env")]
    pub env_file: PathBuf,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The command line of this process; ends it where that is wrong. An empty variable counts as not set.
    pub fn from_process() -> Self {
        let command = Self::command().mut_subcommands(|command| {
            command.mut_args(|argument| {
                let is_empty = argument.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
                if is_empty { argument.env(Resettable::Reset) } else { argument }
            })
        });
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turn a flag on or off, or serve a variation, in the Relay Proxy's Redis, on every host, and record it
    #[command(
        visible_alias = "update",
        after_help = "Example:\n  rc update-redis -p shop -e production -f new-checkout -s off\n\n\
            One line a host: updated v12 → v13, unchanged, no such flag, unreachable: …\n\
            Running it again is harmless: hosts that have the state are left as they are."
    )]
    UpdateRedis(UpdateRedis),

    /// The same in the DynamoDB table that Lambda functions read, and record it
    #[command(after_help = "Example:\n  rc update-dynamodb -p shop -e production -f new-checkout -s off\n  \
        rc update-dynamodb -p shop -e production -f theme --variation blue --table flags --region eu-west-1\n\n\
        The table's item and snapshot change in one transaction. The store function keeps the override\n\
        until LaunchDarkly answers again.")]
    UpdateDynamodb(UpdateDynamoDb),

    /// Send the recorded changes to LaunchDarkly, in order
    #[command(
        visible_alias = "replay",
        after_help = "Example:\n  rc playback --wait --squash\n\n\
            Done changes move to archive, failed ones stay in toDo; running it again goes on with those."
    )]
    Playback(Playback),

    /// Turn a flag on or off, or serve a variation, in LaunchDarkly itself
    #[command(after_help = "Example:\n  rc update-ld-api -p shop -e production -f new-checkout -s on")]
    UpdateLdApi(UpdateLdApi),

    /// Write the configuration of a Relay Proxy (v8) for all environments of a project
    #[command(after_help = "Example:\n  rc generate-relay-config -p shop --output /etc/ld-relay.conf")]
    GenerateRelayConfig(GenerateRelayConfig),

    /// Show what is pending: what each host holds, what LaunchDarkly says, what playback would do
    #[command(after_help = "Example:\n  rc status --json")]
    Status(Status),

    /// Take pending overrides back on every host
    #[command(after_help = "Example:\n  rc revert -p shop -e production -f new-checkout\n  rc revert --all --dry-run")]
    Revert(Revert),

    /// Check that an override would work: hosts, keys, persistence, the Relay Proxy's cache, LaunchDarkly
    #[command(after_help = "Example:\n  rc doctor -p shop -e production")]
    Doctor(Doctor),

    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  rc completions bash > /etc/bash_completion.d/rc")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },

    /// Print the man page, or write it and one for each command into a folder
    #[command(after_help = "Example:\n  rc man --folder /usr/local/share/man/man1")]
    Man {
        /// Where to write them: rc.1, rc-update-redis.1, …
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

/// `rc update-redis`.
#[derive(Debug, Args)]
pub struct UpdateRedis {
    /// What to change.
    #[command(flatten)]
    pub change: ChangeArgs,
    /// Where.
    #[command(flatten)]
    pub redis: RedisArgs,
    /// How long to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// Where to record it.
    #[command(flatten)]
    pub journal: JournalArgs,
    /// Only say what would happen
    #[arg(long)]
    pub dry_run: bool,
}

/// `rc update-dynamodb`.
#[derive(Debug, Args)]
pub struct UpdateDynamoDb {
    /// What to change.
    #[command(flatten)]
    pub change: ChangeArgs,
    /// Where.
    #[command(flatten)]
    pub dynamodb: DynamoDbArgs,
    /// How long to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// Where to record it.
    #[command(flatten)]
    pub journal: JournalArgs,
    /// Only say what would happen
    #[arg(long)]
    pub dry_run: bool,
}

/// `rc playback`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own, free to be combined")]
pub struct Playback {
    /// Where the record is.
    #[command(flatten)]
    pub journal: JournalArgs,
    /// Which stores to compare afterwards.
    #[command(flatten)]
    pub stores: StoresArgs,
    /// Send only the last of several changes of one flag
    #[arg(long)]
    pub squash: bool,
    /// Also where somebody has changed the flag in LaunchDarkly since the override
    #[arg(long)]
    pub force: bool,
    /// Only say what would happen
    #[arg(long)]
    pub dry_run: bool,
    /// Wait until LaunchDarkly answers
    #[arg(long = "wait")]
    pub waits: bool,
}

/// `rc update-ld-api`.
#[derive(Debug, Args)]
pub struct UpdateLdApi {
    /// What to change.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `rc generate-relay-config`.
#[derive(Debug, Args)]
pub struct GenerateRelayConfig {
    /// The project's key
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    pub project: String,
    /// The file to write, with mode 0600
    #[arg(short, long, value_name = "FILE", default_value = "ld-relay.conf")]
    pub output: PathBuf,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
    /// Which of REDIS_HOSTS this Relay Proxy writes to, by its name [default: the first]
    #[arg(long, value_name = "HOST")]
    pub redis_host: Option<String>,
    /// What stands before `:features` in the hash keys [default: REDIS_KEY_PREFIX, else ld:{project}:{environment}]
    #[arg(long, value_name = "PREFIX")]
    pub key_prefix: Option<String>,
}

/// `rc status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Where the record is.
    #[command(flatten)]
    pub journal: JournalArgs,
    /// Which stores.
    #[command(flatten)]
    pub stores: StoresArgs,
    /// For programs
    #[arg(long)]
    pub json: bool,
}

/// `rc revert`.
#[derive(Debug, Args)]
pub struct Revert {
    /// The project's key
    #[arg(short, long, required_unless_present = "all")]
    pub project: Option<String>,
    /// The environment's key
    #[arg(short, long, required_unless_present = "all")]
    pub environment: Option<String>,
    /// The flag's key
    #[arg(short, long, alias = "flag", required_unless_present = "all")]
    pub feature: Option<String>,
    /// All pending overrides
    #[arg(long, conflicts_with_all = ["project", "environment", "feature"])]
    pub all: bool,
    /// Only say what would happen
    #[arg(long)]
    pub dry_run: bool,
    /// Where the record is.
    #[command(flatten)]
    pub journal: JournalArgs,
    /// Which stores.
    #[command(flatten)]
    pub stores: StoresArgs,
}

impl Revert {
    /// The flag; nothing for all of them.
    pub fn flag(&self) -> Option<FlagName> {
        let (project, environment, flag) = (self.project.clone()?, self.environment.clone()?, self.feature.clone()?);
        Some(FlagName { project, environment, flag })
    }
}

/// `rc doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The project's key: its hash is looked up too
    #[arg(short, long, requires = "environment")]
    pub project: Option<String>,
    /// The environment's key
    #[arg(short, long, requires = "project")]
    pub environment: Option<String>,
    /// The Relay Proxy's configuration, for how long it caches
    #[arg(long, value_name = "FILE", default_value = "ld-relay.conf")]
    pub relay_config: PathBuf,
    /// Which stores.
    #[command(flatten)]
    pub stores: StoresArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_use_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Example:\n  rc "), "{}", command.get_name());
        }
    }

    #[test]
    fn names_and_aliases_are_those_that_scripts_use() {
        for line in [
            "rc update-redis -p p -e e -f f -s on",
            "rc update -p p -e e -f f -s OFF -v debug",
            "rc update-dynamodb -p p -e e -f f --variation -1 --table t --table-prefix x --region r --timeout 1",
            "rc update-ld-api -p p -e e -f f --variation=index:1",
            "rc playback --wait --timeout 1",
            "rc -v INFO update-redis --project p --environment e --feature f --state off --dry-run",
            "rc playback",
            "rc replay --replay-dir r",
            "rc update-ld-api -p p -e e -f f -s on",
            "rc generate-relay-config -p p",
            "rc status",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn wrong_usage_names_what_is_wrong() {
        for (line, expected) in [
            ("rc update-redis -p p -e e -f f -s true", "invalid value 'true' for '--state <STATE>'"),
            ("rc update-redis -p p -e e -s on", "--feature <FEATURE>"),
            ("rc update-redis -p p -e e -f f", "<--state <STATE>|--variation <N|VALUE>>"),
            ("rc update-redis -p p -e e -f f -s on --variation 1", "cannot be used with"),
            ("rc update-redis -p p -e e -f f --variation index:x", "no whole number follows `index:`"),
            ("rc status --timeout 0", "not a number of seconds above 0"),
            ("rc revert -p p", "--environment <ENVIRONMENT>"),
            ("rc -v LOUD status", "invalid value 'LOUD'"),
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
