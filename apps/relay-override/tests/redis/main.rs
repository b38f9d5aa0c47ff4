//! `rc`, the binary, against real Redis servers, each test with its own on free ports.
//!
//! - `override_flag`: `rc update-redis`
//! - `record`: what is in the journal after it, whatever happened
//! - `return_to_launchdarkly`: `rc playback` against LaunchDarkly's stand-in
//! - `look`: `rc status`, `rc revert`, `rc doctor`

#![expect(clippy::panic, clippy::unwrap_used, reason = "what a test relies on has to be there")]

mod look;
mod override_flag;
mod record;
mod return_to_launchdarkly;
mod server;
mod stage;
