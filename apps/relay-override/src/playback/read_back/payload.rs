//! LaunchDarkly's own JSON of flags, from their environment's payload.
//!
//! The REST API shows flags in another shape, so the payload is asked for, with the SDK key that
//! the API tells. An answer may come from a cache and be older than the change that was just made:
//! then it is asked for again, for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use flagcache_launchdarkly::polling::{FetchError, Fetched, PollingClient};
use flagcache_launchdarkly::{ClientError, Limits};
use flagcache_payload::{Kind, Payload, PayloadError};
use secrecy::SecretString;
use thiserror::Error;
use tokio::time::Instant;

use super::super::Played;
use super::Texts;
use crate::change::FlagName;
use crate::launchdarkly::{LaunchDarkly, LaunchDarklyError};

const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Error)]
pub(super) enum ReadBackError {
    #[error(transparent)]
    LaunchDarkly(#[from] LaunchDarklyError),
    #[error("find environment {0:?} in the project")]
    NoEnvironment(String),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("fetch LaunchDarkly's flags")]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Payload(#[from] PayloadError),
    #[error("find {0} in LaunchDarkly's payload as it is now; the payload is still an older one")]
    Stale(FlagName),
}

type ByEnvironment<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a Played>>;

pub(super) fn by_environment<'a>(played: &[&'a Played]) -> ByEnvironment<'a> {
    let mut all = ByEnvironment::new();
    for played in played {
        let FlagName { project, environment, .. } = &played.flag;
        all.entry((project, environment)).or_default().push(*played);
    }
    all
}

pub(super) async fn flags(
    launchdarkly: &LaunchDarkly,
    project: &str,
    environment: &str,
    played: &[&Played],
) -> Result<Texts, ReadBackError> {
    let environments = launchdarkly.environments(project).await?;
    let found = environments.into_iter().find(|candidate| candidate.key == environment);
    let found = found.ok_or_else(|| ReadBackError::NoEnvironment(environment.to_owned()))?;
    let limits = Limits { attempts: 2, connect_timeout: PATIENCE / 2, ..Limits::default() };
    let client = PollingClient::new(launchdarkly.base_uri().clone(), limits)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let payload = fetch(&client, &found.sdk_key, deadline).await?;
        match pick(&payload, played) {
            Ok(texts) => return Ok(texts),
            Err(stale) if Instant::now() + PAUSE >= deadline => return Err(ReadBackError::Stale(stale)),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn fetch(client: &PollingClient, key: &SecretString, deadline: Instant) -> Result<Payload, ReadBackError> {
    match client.latest_all(key, None, deadline).await? {
        Fetched::Payload { body, .. } => Ok(Payload::parse(body)?),
        // Nobody sent an ETag.
        Fetched::NotModified => Ok(Payload::parse("{\"flags\":{}}".into())?),
    }
}

/// The flags' JSON, unless one of them is older than what the API said.
fn pick(payload: &Payload, played: &[&Played]) -> Result<Texts, FlagName> {
    let text = |played: &&Played| {
        let flag = &played.flag;
        let item = payload.get(Kind::Flag, &flag.flag).filter(|item| item.version >= played.after.version);
        item.map(|item| (flag.clone(), item.json.to_owned())).ok_or_else(|| flag.clone())
    };
    played.iter().map(text).collect()
}
