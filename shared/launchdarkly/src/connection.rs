//! The HTTP client below the polling endpoint and the REST API, and its limits.
//!
//! Built to cost nothing at the start of a function: bundled roots instead of the system's, *ring*
//! handed over rather than installed for the whole process, and for an `http://` base URI (a
//! stand-in, a Relay Proxy next door) no roots at all. Redirects are never followed, so that a key
//! goes to nobody but who was named; bodies are decompressed by their readers, who need to know
//! how much of what was announced has arrived.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::endpoints::BaseUri;
use crate::retry;

/// How this project introduces itself.
const USER_AGENT: &str = concat!("flagcache/", env!("CARGO_PKG_VERSION"));

/// How long, how often and how much, for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest time to establish a connection, TLS included. Also how long sent data may go
    /// unacknowledged: a pooled connection that died while the function was frozen is found out.
    pub connect_timeout: Duration,
    /// Longest time for one attempt, from the request to the last byte of the answer.
    pub attempt_timeout: Duration,
    /// Most attempts, the first one included; 0 counts as 1.
    pub attempts: u32,
    /// Longest pause before the second attempt; doubled before each further one.
    pub first_pause: Duration,
    /// Longest pause, unless the server asks for a longer one.
    pub longest_pause: Duration,
    /// Largest body that is accepted, in bytes, decompressed.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(10),
            attempts: 4,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(2),
            body_bytes: 256 << 20,
        }
    }
}

/// The client cannot be built: TLS refuses its own defaults, or a proxy named by the environment
/// (`HTTPS_PROXY`) is no URL.
#[derive(Debug, Error)]
#[error("set up the HTTP client for {base_uri}")]
pub struct ClientError {
    base_uri: BaseUri,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A client for `base_uri`.
pub(crate) fn client(base_uri: &BaseUri, limits: &Limits) -> Result<reqwest::Client, ClientError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| ClientError { base_uri: base_uri.clone(), source };
    let tls = tls(base_uri.is_https()).map_err(|error| failed(error.into()))?;
    let builder = reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .user_agent(USER_AGENT)
        .connect_timeout(limits.connect_timeout)
        .redirect(Policy::none())
        .no_gzip();
    #[cfg(target_os = "linux")]
    let builder = builder.tcp_user_timeout(limits.connect_timeout);
    builder.build().map_err(|error| failed(error.into()))
}

fn tls(is_needed: bool) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    if is_needed {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// A header value that no debug output shows, or nothing where the secret holds characters that
/// no header may carry, such as a line break.
pub(crate) fn secret_header(secret: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(secret.expose_secret()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A header of an answer as text, where it is there and is visible ASCII.
pub(crate) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// How long the server asks to wait.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, reqwest::header::RETRY_AFTER)?;
    retry::after(value, std::time::SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_built_with_and_without_tls() {
        for uri in ["https://sdk.launchdarkly.com", "http://localhost:8030"] {
            assert!(client(&uri.parse().unwrap(), &Limits::default()).is_ok());
        }
    }

    #[test]
    fn secrets_stay_out_of_debug_output() {
        let header = secret_header(&SecretString::from("sdk-123")).unwrap();
        assert_eq!(format!("{header:?}"), "Sensitive");
        assert!(secret_header(&SecretString::from("sdk-123\n")).is_none());
    }
}
