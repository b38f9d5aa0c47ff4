//! Secrets, read at run time: straight from a variable, or from an SSM `SecureString`.
//!
//! A parameter is kept for some minutes of wall-clock time (a sandbox freezes, and a monotonic clock
//! with it). A rotated secret shows as a signature that does not match; then [`Secrets::refresh`]
//! reads again at once, rationed so that forged signatures cannot hammer SSM. Values are held in a
//! type that does not print.

mod error;
mod kept;
mod source;

pub use error::{SecretError, SecretFault};
pub use source::SecretSource;

use crate::clients;
use aws_config::SdkConfig;
use kept::{Kept, Want};
use secrecy::SecretString;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

/// How long a parameter's value counts as current.
pub const MAX_AGE: Duration = Duration::from_mins(5);

/// How long it may still serve while SSM cannot be asked, for reasons that pass.
const STALE_AGE: Duration = Duration::from_hours(1);

type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

/// Reads secrets and keeps them.
pub struct Secrets {
    config: SdkConfig,
    client: OnceLock<aws_sdk_ssm::Client>,
    kept: Mutex<HashMap<String, Arc<Kept>>>,
    max_age: Duration,
    clock: Clock,
}

impl Secrets {
    /// Secrets whose parameters are kept for [`MAX_AGE`]. The SSM client is made when one is asked for.
    pub fn new(config: SdkConfig) -> Self {
        Self {
            config,
            client: OnceLock::new(),
            kept: Mutex::default(),
            max_age: MAX_AGE,
            clock: Box::new(SystemTime::now),
        }
    }

    /// The same, kept for this long.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// The secret, at most as old as agreed. While SSM is throttling or unreachable, an older one
    /// serves for up to an hour, with a warning.
    pub async fn get(&self, source: &SecretSource) -> Result<SecretString, SecretError> {
        self.read(source, Want::Recent).await
    }

    /// The secret as it is now: asked for when the one at hand turned out to be wrong. Callers at
    /// the same time share one read, and after a few of them only one in ten seconds asks SSM.
    pub async fn refresh(&self, source: &SecretSource) -> Result<SecretString, SecretError> {
        self.read(source, Want::New).await
    }

    async fn read(&self, source: &SecretSource, want: Want) -> Result<SecretString, SecretError> {
        let name = match source {
            SecretSource::Value(value) => return Ok(value.clone()),
            SecretSource::Parameter(name) => name,
        };
        let kept = self.kept(name);
        kept.read(want, self.max_age, &self.clock, || self.fetch(name)).await
    }

    fn kept(&self, name: &str) -> Arc<Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.entry(name.to_owned()).or_default().clone()
    }

    async fn fetch(&self, name: &str) -> Result<SecretString, SecretError> {
        let client = self.client.get_or_init(|| clients::ssm(&self.config));
        let region = self.config.region().map(ToString::to_string).unwrap_or_default();
        let answer = client.get_parameter().name(name).with_decryption(true).send().await;
        let answer = answer.map_err(|error| SecretError::explain(name, &region, &error))?;
        let value = answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
        // A file's last line break comes along easily, and is never part of a secret.
        match value.trim() {
            "" => Err(SecretError::empty(name)),
            value => Ok(SecretString::from(value)),
        }
    }
}

#[cfg(test)]
mod tests;
