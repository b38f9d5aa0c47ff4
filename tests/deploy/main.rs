//! The stack from nothing to gone, with the command lines that a person types.
//!
//! Everything runs against an AWS emulator (`flagcache_tests::rehearsal`): the real `make`, `sam` and `aws`, the real
//! build with cargo-lambda, and the bootstraps that were uploaded. What an emulator cannot tell is listed in the README.
//! Run with `make test-deploy`.
//!
//! - `missing`: what the commands say while something is missing
//! - `story`: one environment deployed, filled, connected, destroyed
//! - `production`: what is asked, and what is left, where the table is protected

mod missing;
mod production;
mod story;

use anyhow::{Context, Result};
use flagcache_tests::rehearsal::{Ran, Rehearsal};
use serde_json::Value;

const STAGING: &[(&str, &str)] = &[("ENV", "staging")];
const PRODUCTION: &[(&str, &str)] = &[("ENV", "production")];

fn succeeded(ran: Ran) -> Result<Ran> {
    anyhow::ensure!(ran.success, "failed: {}\n{}", ran.stdout, ran.stderr);
    Ok(ran)
}

/// Fails unless it refused, saying why and with what to go on, and nothing that only its makers understand.
fn refused(ran: &Ran, why: &str, command: &str) {
    assert!(!ran.success, "{ran:?}");
    assert!(ran.stderr.contains(why) && ran.stderr.contains(command), "{}", ran.stderr);
    for noise in ["Traceback", "line 1", "unbound variable", "botocore"] {
        assert!(!ran.stderr.contains(noise), "{noise}: {}", ran.stderr);
    }
}

async fn put_parameter(rehearsal: &Rehearsal, name: &str, value: &str) -> Result<Value> {
    let words = ["ssm", "put-parameter", "--overwrite", "--type", "SecureString", "--name", name, "--value", value];
    rehearsal.aws(&words).await
}

async fn table(rehearsal: &Rehearsal, name: &str) -> Result<Value> {
    Ok(rehearsal.aws(&["dynamodb", "describe-table", "--table-name", name]).await?["Table"].take())
}

fn json_of(text: &str) -> Result<Value> {
    serde_json::from_str(text.trim()).with_context(|| format!("no JSON: {text}"))
}
