//! The pipeline on one machine, as a library: what `local up` and `local demo` are made of, and
//! what the end-to-end tests drive.
//!
//! - [`board`]: a page that shows a change run through the pipeline;
//! - [`dynamodb`]: an embedded DynamoDB with an HTTP endpoint;
//! - [`lambda`]: runs function binaries under a Lambda Runtime API, and puts HTTP in front of them;
//! - [`patience`]: how long tests wait for any of it;
//! - [`standin`]: LaunchDarkly's polling, streaming, events and REST, with signed webhooks.
//!
//! Each part stands alone, listens on a free port unless told otherwise, and ends when its handle
//! is dropped. None of them knows the functions that run on top: those are reached through their
//! binaries and public interface only.
//!
#![doc = include_str!("../README.md")]

pub mod board;
pub mod dynamodb;
pub mod lambda;
pub mod patience;
mod server;
pub mod standin;

pub use dynoxide;

use std::sync::OnceLock;

/// The one HTTP client, also for tests: plain HTTP on this machine, so never through a proxy. It
/// keeps no connections, because a connection would not outlive the runtime it was opened on.
pub fn http_client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        // An error says that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
        // Between two pieces of an answer, so that a stream may last.
        builder.read_timeout(patience::PATIENCE).build().unwrap_or_default()
    })
}
