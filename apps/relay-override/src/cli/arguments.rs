//! Options that several commands share: which flag, set to what, in which stores, recorded where.

#![expect(clippy::doc_markdown, reason = "these comments are the help text, in which backticks would show")]

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::change::{Change, FlagName, State, Target};
use crate::dynamodb_store::Place;
use crate::redis_store::KeyPrefix;
use crate::variation::Choice;

/// A flag in an environment, by keys.
#[derive(Debug, Clone, Args)]
pub struct FlagArgs {
    /// The project's key
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    pub project: String,
    /// The environment's key
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    pub environment: String,
    /// The flag's key
    #[arg(short, long, alias = "flag", value_parser = NonEmptyStringValueParser::new())]
    pub feature: String,
}

impl From<FlagArgs> for FlagName {
    fn from(arguments: FlagArgs) -> Self {
        let FlagArgs { project, environment, feature: flag } = arguments;
        Self { project, environment, flag }
    }
}

/// A flag and what it is to be set to.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// The flag.
    #[command(flatten)]
    pub flag: FlagArgs,
    /// The target.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// Either of them.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct TargetArgs {
    /// on or off
    #[arg(short, long, ignore_case = true)]
    pub state: Option<State>,
    /// The variation that whoever no rule matches gets, in the place of another or of a rollout: its index, or its value
    #[arg(long, value_name = "N|VALUE", allow_hyphen_values = true)]
    pub variation: Option<Choice>,
}

impl From<ChangeArgs> for Change {
    fn from(arguments: ChangeArgs) -> Self {
        let TargetArgs { state, variation } = arguments.target;
        // One of them is there: the group is required.
        let target = variation.map_or_else(|| Target::State(state.unwrap_or(State::Off)), Target::Variation);
        Self { flag: arguments.flag.into(), target }
    }
}

/// How long to wait for a store.
#[derive(Debug, Clone, Args)]
pub struct WaitArgs {
    /// Longest wait for a connection and for each answer of a host, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub timeout: Duration,
}

/// Which Redis.
#[derive(Debug, Clone, Args)]
pub struct RedisArgs {
    /// What stands before `:features` in the hash key [default: REDIS_KEY_PREFIX, else ld:{project}:{environment}]
    #[arg(long, value_name = "PREFIX")]
    pub key_prefix: Option<String>,
}

/// Which table.
#[derive(Debug, Clone, Args)]
pub struct DynamoDbArgs {
    /// The DynamoDB table [default: LAUNCHDARKLY_DYNAMODB_TABLE]
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub table: Option<String>,
    /// What stands before the namespaces in the table; may hold {project} and {environment} [default: LAUNCHDARKLY_DYNAMODB_PREFIX, else none]
    #[arg(long, value_name = "PREFIX")]
    pub table_prefix: Option<String>,
    /// The table's AWS region [default: AWS_REGION, AWS_DEFAULT_REGION or the profile's]
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub region: Option<String>,
}

impl From<&DynamoDbArgs> for Place {
    fn from(arguments: &DynamoDbArgs) -> Self {
        let DynamoDbArgs { table, table_prefix: prefix, region } = arguments.clone();
        Self { table, prefix, region }
    }
}

/// Which stores, of those that are set up.
#[derive(Debug, Clone, Args)]
pub struct StoresArgs {
    /// Which Redis.
    #[command(flatten)]
    pub redis: RedisArgs,
    /// Which table.
    #[command(flatten)]
    pub dynamodb: DynamoDbArgs,
    /// How long to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

impl RedisArgs {
    /// The prefix: the option's, else the environment's, else the usual one.
    pub fn prefix(&self, from_environment: Option<&str>) -> KeyPrefix {
        let prefix = self.key_prefix.as_deref().or(from_environment);
        prefix.map_or_else(KeyPrefix::default, |prefix| KeyPrefix(prefix.to_owned()))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|wait| !wait.is_zero()).ok_or_else(|| "not a number of seconds above 0".to_owned())
}

/// Where the journal is.
#[derive(Debug, Clone, Args)]
pub struct JournalArgs {
    /// The journal's folder
    #[arg(long, value_name = "FOLDER", default_value = "replay", env = "RC_REPLAY_DIR")]
    pub replay_dir: PathBuf,
}
