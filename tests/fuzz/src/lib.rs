//! What strangers can send, and what a damaged table can hold, as functions of any bytes.
//!
//! A target must not panic, whatever the bytes; it panics where a promise is broken. The same functions are run by
//! `cargo fuzz` (the folder `fuzz` at the root, for nightly) and, over seeds that are changed by chance, by `make test`
//! (`tests/smoke.rs`). Pure but for `table`, whose DynamoDB answers with what it is given.
//!
//! - `request`: webhooks, Lambda events, audit-log entries, queries; `payload`: LaunchDarkly's answer
//! - `snapshot`: base and delta; `table`: the whole table
//! - `mutate`: how seeds are changed

#![allow(clippy::panic, reason = "a target that panics has found something")]

mod mutate;
mod payload;
mod request;
mod snapshot;
mod table;

pub use mutate::Mutator;

/// Something that takes any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, that of the `cargo fuzz` target too.
    pub name: &'static str,
    /// Takes the bytes in.
    pub run: fn(&[u8]),
    /// Bytes that mean something to it.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 8] = [
    Target { name: "webhook", run: request::webhook, seeds: request::webhook_seeds },
    Target { name: "event", run: request::event, seeds: request::event_seeds },
    Target { name: "audit_log", run: request::audit_log, seeds: request::audit_log_seeds },
    Target { name: "query", run: request::query, seeds: request::query_seeds },
    Target { name: "payload", run: payload::run, seeds: payload::seeds },
    Target { name: "base", run: snapshot::base, seeds: snapshot::base_seeds },
    Target { name: "delta", run: snapshot::delta, seeds: snapshot::delta_seeds },
    Target { name: "table", run: table::run, seeds: table::seeds },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Gives bytes to the target of this name.
///
/// # Panics
/// Where a promise is broken, or there is no such target.
pub fn fuzz(name: &str, bytes: &[u8]) {
    let target = target(name).unwrap_or_else(|| panic!("there is no target {name}"));
    (target.run)(bytes);
}

/// The demo environment, as LaunchDarkly would send it.
const DEMO: &str = include_str!("../../../apps/local/src/standin/demo.json");
