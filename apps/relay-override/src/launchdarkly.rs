//! LaunchDarkly, as `rc` sees it: one token, the REST API, and where needed an environment's
//! payload.
//!
//! The token is an API access token; the SDK key that a payload needs is read with it.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use flagcache_launchdarkly::endpoints::BaseUri;
use flagcache_launchdarkly::rest::{
    Environment as LdEnvironment, Flag, PatchOperation, RestClient, RestError, pointer,
};
use flagcache_launchdarkly::{ExchangeError, Limits};
use serde_json::json;
use thiserror::Error;
use tokio::time::Instant;

use crate::change::{Change, FlagName, Target};
use crate::console::Console;
use crate::environment::{Environment, EnvironmentError};
use crate::exit::Exit;
use crate::variation::{Choice, ChoiceError};

/// Longest that one change may take, waiting for rate limits included.
const PATIENCE: Duration = Duration::from_mins(10);

/// Longest that a question may take whose answer is only nice to have.
const GLANCE: Duration = Duration::from_secs(4);

/// Why LaunchDarkly did not do it.
#[derive(Debug, Error)]
pub enum LaunchDarklyError {
    /// A variable is missing or wrong.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The API did not do it.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// The API answers, but its flag has no such environment.
    #[error("find environment {environment:?} in flag {flag:?} of project {project:?}; check its key")]
    NoEnvironment {
        /// The project's key.
        project: String,
        /// The environment's key.
        environment: String,
        /// The flag's key.
        flag: String,
    },
    /// The flag has no such variation.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
}

impl LaunchDarklyError {
    /// The exit code that it stands for.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Environment(_) | Self::Rest(RestError::MalformedToken | RestError::Client(_)) => Exit::Misused,
            Self::Rest(_) | Self::NoEnvironment { .. } | Self::Choice(_) => Exit::Failed,
        }
    }

    /// Whether no answer came, or none that means anything: later it may be another.
    pub const fn is_outage(&self) -> bool {
        match self {
            Self::Rest(RestError::Refused { status, .. }) => *status >= 500,
            Self::Rest(RestError::Exchange { source, .. }) => !matches!(source, ExchangeError::TooLarge { .. }),
            _ => false,
        }
    }

    /// Whether LaunchDarkly answers, but does not tell how the flag is.
    pub const fn is_without_state(&self) -> bool {
        matches!(self, Self::NoEnvironment { .. } | Self::Rest(RestError::Refused { status: 404 | 405 | 501, .. }))
    }

    /// Whether every further call would meet the same: the token is refused, or the limit is used
    /// up beyond our patience.
    pub const fn is_for_all(&self) -> bool {
        match self {
            Self::Rest(RestError::RateLimited { .. } | RestError::Redirected { .. } | RestError::NotJson { .. }) => {
                true
            }
            Self::Rest(RestError::Refused { status, .. }) => *status == 401,
            _ => false,
        }
    }
}

/// LaunchDarkly with one token.
#[derive(Debug, Clone)]
pub struct LaunchDarkly {
    /// For changes: patient.
    client: RestClient,
    /// For questions: quick to give up.
    glance: RestClient,
    api_uri: BaseUri,
    base_uri: BaseUri,
}

/// A flag in LaunchDarkly's one environment.
pub type FlagState = flagcache_launchdarkly::rest::FlagState;

impl LaunchDarkly {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// Where a variable is missing or wrong.
    pub fn new(environment: &Environment) -> Result<Self, LaunchDarklyError> {
        let (api_uri, base_uri, token) = (environment.api_uri()?, environment.base_uri()?, environment.api_key()?);
        let patient = Limits { attempts: 6, ..Limits::default() };
        let quick = Limits { connect_timeout: GLANCE / 2, attempt_timeout: GLANCE, attempts: 1, ..Limits::default() };
        Ok(Self {
            client: RestClient::new(api_uri.clone(), &token, patient)?,
            glance: RestClient::new(api_uri.clone(), &token, quick)?,
            api_uri,
            base_uri,
        })
    }

    /// Where the API is, for messages.
    pub fn address(&self) -> String {
        self.api_uri.to_string()
    }

    /// Where payloads are.
    pub const fn base_uri(&self) -> &BaseUri {
        &self.base_uri
    }

    /// The flag's state now.
    ///
    /// # Errors
    /// Where there is no answer, or it has no such environment.
    pub async fn state(&self, flag: &FlagName) -> Result<FlagState, LaunchDarklyError> {
        state(flag, &self.client.flag(&flag.project, &flag.flag, &flag.environment, patience()).await?)
    }

    /// The same for a look: one attempt, a few seconds.
    ///
    /// # Errors
    /// Where there is no answer, or it has no such environment.
    pub async fn glance(&self, flag: &FlagName) -> Result<FlagState, LaunchDarklyError> {
        state(flag, &self.glance.flag(&flag.project, &flag.flag, &flag.environment, Instant::now() + GLANCE).await?)
    }

    /// Makes the change and gives the flag's state after it, where the answer tells it: that the
    /// change is made, is said by the status.
    ///
    /// # Errors
    /// Where LaunchDarkly did not make it, or it is not known.
    pub async fn patch(&self, change: &Change, comment: &str) -> Result<Option<FlagState>, LaunchDarklyError> {
        let flag = &change.flag;
        let (field, value) = match &change.target {
            Target::State(state) => ("on", state.is_on().into()),
            // The whole of it: a rollout has no `variation` to be replaced.
            Target::Variation(choice) => ("fallthrough", json!({"variation": self.index(flag, choice).await?})),
        };
        let path = pointer(&["environments", &flag.environment, field]);
        let operations = [PatchOperation::Replace { path, value }];
        let answer = self.client.patch_flag(&flag.project, &flag.flag, &operations, comment, patience()).await?;
        Ok(state(flag, &answer).ok())
    }

    /// The index of a variation; asks for the flag's variations where a value was given.
    async fn index(&self, flag: &FlagName, choice: &Choice) -> Result<usize, LaunchDarklyError> {
        if let Choice::Index(index) = choice {
            return Ok(*index);
        }
        let answer = self.client.flag(&flag.project, &flag.flag, &flag.environment, patience()).await?;
        let variations: Vec<String> = answer.variations().map(ToString::to_string).collect();
        Ok(choice.index(&variations.iter().map(String::as_str).collect::<Vec<_>>())?)
    }

    /// All environments of a project.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn environments(&self, project: &str) -> Result<Vec<LdEnvironment>, LaunchDarklyError> {
        Ok(self.client.environments(project, Instant::now() + Duration::from_mins(1)).await?)
    }

    /// Whether the token is accepted, and whose it is.
    ///
    /// # Errors
    /// Where it is not, or there is no answer.
    pub async fn whose_token(&self) -> Result<String, LaunchDarklyError> {
        let identity = self.glance.caller_identity(Instant::now() + GLANCE).await?;
        Ok(identity.token_name.or(identity.member_id).unwrap_or_else(|| "without a name".to_owned()))
    }

    /// Whether LaunchDarkly answers at all, be it with a refusal.
    pub async fn answers(&self) -> bool {
        match self.whose_token().await {
            Err(error) => !error.is_outage(),
            Ok(_) => true,
        }
    }

    /// `rc update-ld-api`.
    ///
    /// # Errors
    /// Where LaunchDarkly did not make the change.
    pub async fn update(&self, change: &Change, console: &mut Console<'_>) -> Result<Exit, LaunchDarklyError> {
        let after = self.patch(change, "set by rc").await?;
        let version = after.map_or_else(String::new, |after| format!(" (v{})", after.version));
        match &change.target {
            Target::State(state) => console.say(format_args!("{} is {state} in LaunchDarkly{version}", change.flag)),
            Target::Variation(choice) => {
                console.say(format_args!("{} serves variation {choice} in LaunchDarkly{version}", change.flag));
            }
        }
        Ok(Exit::Done)
    }
}

/// What is said in LaunchDarkly's audit log about an override that was made at `at`.
pub fn comment(at: DateTime<Utc>) -> String {
    format!("offline override by rc at {}", at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn patience() -> Instant {
    Instant::now() + PATIENCE
}

fn state(name: &FlagName, flag: &Flag) -> Result<FlagState, LaunchDarklyError> {
    let FlagName { project, environment, flag: key } = name.clone();
    flag.state(&name.environment).ok_or(LaunchDarklyError::NoEnvironment { project, environment, flag: key })
}
