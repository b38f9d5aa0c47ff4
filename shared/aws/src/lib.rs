//! AWS clients from the environment, secrets from SSM, and AWS errors as cause and remedy.
#![doc = include_str!("../README.md")]

pub mod clients;
pub mod config;
pub mod errors;
mod http;
#[cfg(test)]
mod scripted;
pub mod secrets;

pub use clients::{Resolved, dynamodb, ssm};
pub use config::{ConfigError, CredentialsSource, from_lookup, sdk_config};
pub use errors::{Cause, Explained, Place, explain};
pub use secrets::{SecretError, SecretFault, SecretSource, Secrets};

/// Where variables are read from: the environment, or a test's own.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A variable's value; an empty one counts as none.
fn variable(lookup: Lookup, name: &str) -> Option<String> {
    let value = lookup(name)?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}
