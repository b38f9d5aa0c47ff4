//! Configurations of the SDK, checked before the SDK sees them.
//!
//! The SDK panics where an endpoint is no URI or a key cannot stand in a header, and takes whatever else it gets until
//! its first request fails. Which variables the words came from is the caller's affair; it names them in
//! [`ConfigError`]'s texts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use launchdarkly_sdk_transport::{HeaderValue, HttpTransport, HyperTransport, Uri};
use launchdarkly_server_sdk::{
    Config, ConfigBuilder, EventProcessorBuilder, NullEventProcessorBuilder, PersistentDataStoreBuilder,
    PersistentDataStoreFactory, ServiceEndpointsBuilder, StreamingDataSourceBuilder,
};

use crate::connection::{Connection, Watched};
use crate::observable::Observable;
use crate::sending::{Flushes, Told};

/// The polling service, from `launchdarkly-server-sdk`, `service_endpoints.rs`, as are the others.
pub const BASE_URI: &str = "https://sdk.launchdarkly.com";
/// The streaming service.
pub const STREAM_URI: &str = "https://stream.launchdarkly.com";
/// The events service.
pub const EVENTS_URI: &str = "https://events.launchdarkly.com";

/// How long a connection to the events service may take to come about, and to answer. The SDK sets no bound.
const EVENTS_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the stream may be silent before it counts as dead, as with LaunchDarkly's Go SDK; LaunchDarkly sends a
/// comment every three minutes. Without it a connection that died without a word would be listened to for ever.
const STREAM_SILENCE: Duration = Duration::from_mins(5);

/// How many events the SDK takes in at once unless told otherwise, its own default.
const EVENTS_CAPACITY: usize = 500;

/// How often the SDK sends what it took in, its own default.
const FLUSHED_EVERY: Duration = Duration::from_secs(5);

/// The same where every delivery is asked for: an idle process need not wake up for it.
const SELDOM: Duration = Duration::from_hours(24);

/// How long a connection to the stream may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the SDK cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An endpoint that no request could be sent to.
    #[error("{variable} is `{value}`, which is no http:// or https:// URI with a host")]
    Uri {
        /// The variable that holds it.
        variable: String,
        /// What it holds.
        value: String,
    },
    /// A key that cannot be sent.
    #[error("{variable} is empty or has characters that cannot be in a header; copy the server-side SDK key anew")]
    Key {
        /// The variable that holds it.
        variable: String,
    },
    /// What the SDK itself or its transport refuses.
    #[error("the SDK refuses its configuration: {0}")]
    Refused(String),
}

/// A server-side SDK key. Never printed.
#[derive(Clone)]
pub struct SdkKey(String);

impl SdkKey {
    /// A key from what a variable holds; blanks around it are dropped.
    pub fn new(variable: &str, value: &str) -> Result<Self, ConfigError> {
        let key = value.trim();
        if key.is_empty() || HeaderValue::from_str(key).is_err() {
            return Err(ConfigError::Key { variable: variable.to_owned() });
        }
        Ok(Self(key.to_owned()))
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SdkKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SdkKey(…)")
    }
}

/// A service of LaunchDarkly's, or what stands in for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(String);

impl Endpoint {
    /// An endpoint from what a variable holds.
    pub fn new(variable: &str, value: &str) -> Result<Self, ConfigError> {
        let value = value.trim();
        if !value.parse::<Uri>().is_ok_and(|uri| is_sound(&uri)) {
            return Err(ConfigError::Uri { variable: variable.to_owned(), value: without_user(value) });
        }
        Ok(Self(value.trim_end_matches('/').to_owned()))
    }

    fn is_encrypted(&self) -> bool {
        self.0.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
    }
}

fn is_sound(uri: &Uri) -> bool {
    let is_known = matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
    is_known
        && uri.authority().is_some_and(|authority| {
            let address = authority.as_str().rsplit('@').next().unwrap_or_default();
            // What follows the host and is no port, is too large a number for one.
            !authority.host().is_empty() && (authority.port_u16().is_some() || address == authority.host())
        })
}

/// With what may be a password masked.
fn without_user(value: &str) -> String {
    match value.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_inclusive("://").next().filter(|part| part.ends_with("://"));
            format!("{}…@{host}", scheme.unwrap_or_default())
        }
        None => value.to_owned(),
    }
}

/// Where LaunchDarkly is; by default LaunchDarkly's own addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Polling.
    pub base: Endpoint,
    /// Streaming.
    pub stream: Endpoint,
    /// Analytics events.
    pub events: Endpoint,
}

impl Default for Endpoints {
    fn default() -> Self {
        let own = |uri: &str| Endpoint(uri.to_owned());
        Self { base: own(BASE_URI), stream: own(STREAM_URI), events: own(EVENTS_URI) }
    }
}

/// The SDK reads flags from a store and gets none from LaunchDarkly. It caches nothing: the store is memory. Events are
/// sent when a flush is asked for.
pub fn daemon(
    key: &SdkKey,
    endpoints: &Endpoints,
    store: Arc<dyn PersistentDataStoreFactory>,
    events: bool,
) -> Result<Config, ConfigError> {
    let mut store = PersistentDataStoreBuilder::new(store);
    store.no_caching();
    build(base(key, endpoints).daemon_mode(true).data_store(&store), endpoints, events.then_some(SELDOM))
}

/// The SDK reads flags from a store as in [`daemon`], may remember each for `remembered`, takes in up to `capacity`
/// events at once, and tells what it begins to send. For a process that records many events.
pub(crate) fn recording(
    key: &SdkKey,
    endpoints: &Endpoints,
    store: Arc<dyn PersistentDataStoreFactory>,
    remembered: Duration,
    capacity: usize,
    flushes: &Flushes,
) -> Result<Config, ConfigError> {
    let mut store = PersistentDataStoreBuilder::new(store);
    store.cache_time(remembered);
    let builder = base(key, endpoints).daemon_mode(true).data_store(&store);
    let bounded = HyperTransport::builder().connect_timeout(EVENTS_TIMEOUT).read_timeout(EVENTS_TIMEOUT);
    let builder = if endpoints.events.is_encrypted() {
        let told = bounded.build_https().map(|transport| Told::new(transport, flushes.clone()));
        builder.event_processor(&events_over(told, capacity, FLUSHED_EVERY)?)
    } else {
        let told = bounded.build_http().map(|transport| Told::new(transport, flushes.clone()));
        builder.event_processor(&events_over(told, capacity, FLUSHED_EVERY)?)
    };
    builder.build().map_err(|error| ConfigError::Refused(error.to_string()))
}

/// The SDK follows LaunchDarkly's stream and keeps what it gets in a store as well.
pub fn streaming(
    key: &SdkKey,
    endpoints: &Endpoints,
    store: Arc<dyn PersistentDataStoreFactory>,
    events: bool,
) -> Result<Config, ConfigError> {
    let mut store = PersistentDataStoreBuilder::new(store);
    store.cache_forever();
    let builder = base(key, endpoints).data_store(&store);
    let bounded = HyperTransport::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(STREAM_SILENCE);
    let builder = if endpoints.stream.is_encrypted() {
        builder.data_source(StreamingDataSourceBuilder::new().transport(transport(bounded.build_https())?))
    } else {
        builder.data_source(StreamingDataSourceBuilder::new().transport(transport(bounded.build_http())?))
    };
    build(builder, endpoints, events.then_some(FLUSHED_EVERY))
}

/// The SDK follows LaunchDarkly's stream, hands every change to a store, keeps nothing itself and sends no events. The
/// connection tells how the stream stands; no event gets lost. A stream that is silent for this long is opened anew;
/// LaunchDarkly sends a heartbeat every three minutes.
pub fn watched(
    key: &SdkKey,
    endpoints: &Endpoints,
    store: &Observable,
    connection: &Connection,
    silence: Duration,
) -> Result<Config, ConfigError> {
    let mut data_store = PersistentDataStoreBuilder::new(Arc::new(store.clone()));
    data_store.no_caching();
    let builder = base(key, endpoints).data_store(&data_store);
    let bounded = || HyperTransport::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(silence);
    let builder = if endpoints.stream.is_encrypted() {
        let https = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().enable_http2();
        let connector = https.wrap_connector(watchful_connector());
        let transport = transport(bounded().build_with_connector(connector))?;
        let watched = Watched::new(transport, connection.clone(), store.clone());
        builder.data_source(StreamingDataSourceBuilder::new().transport(watched))
    } else {
        let transport = transport(bounded().build_with_connector(watchful_connector()))?;
        let watched = Watched::new(transport, connection.clone(), store.clone());
        builder.data_source(StreamingDataSourceBuilder::new().transport(watched))
    };
    build(builder, endpoints, None)
}

/// Has the kernel ask a silent peer every now and then whether it is still there: a host that is gone without a word is
/// found out in a minute.
fn watchful_connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(Duration::from_secs(30)));
    connector.set_keepalive_interval(Some(Duration::from_secs(10)));
    connector.set_keepalive_retries(Some(3));
    connector
}

fn base(key: &SdkKey, endpoints: &Endpoints) -> ConfigBuilder {
    let mut services = ServiceEndpointsBuilder::new();
    services.polling_base_url(&endpoints.base.0);
    services.streaming_base_url(&endpoints.stream.0);
    services.events_base_url(&endpoints.events.0);
    ConfigBuilder::new(key.expose()).service_endpoints(&services)
}

/// With events, sent this often, or without.
fn build(builder: ConfigBuilder, endpoints: &Endpoints, events: Option<Duration>) -> Result<Config, ConfigError> {
    let bounded = HyperTransport::builder().connect_timeout(EVENTS_TIMEOUT).read_timeout(EVENTS_TIMEOUT);
    let builder = match (events, endpoints.events.is_encrypted()) {
        (None, _) => builder.event_processor(&NullEventProcessorBuilder::new()),
        (Some(often), true) => builder.event_processor(&events_over(bounded.build_https(), EVENTS_CAPACITY, often)?),
        (Some(often), false) => builder.event_processor(&events_over(bounded.build_http(), EVENTS_CAPACITY, often)?),
    };
    builder.build().map_err(|error| ConfigError::Refused(error.to_string()))
}

/// Events over this transport, of which the SDK takes in so many at once, sent this often.
fn events_over<T: HttpTransport>(
    built: Result<T, std::io::Error>,
    capacity: usize,
    flushed_every: Duration,
) -> Result<EventProcessorBuilder<T>, ConfigError> {
    let mut events = EventProcessorBuilder::new();
    events.capacity(capacity).flush_interval(flushed_every).transport(transport(built)?);
    Ok(events)
}

fn transport<T>(built: Result<T, std::io::Error>) -> Result<T, ConfigError> {
    built.map_err(|error| ConfigError::Refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_must_be_uris_that_requests_can_be_sent_to() {
        for value in [
            "http://127.0.0.1:8030",
            "https://events.launchdarkly.com/",
            " HTTP://relay/base/ ",
            "http://u:p@[::1]:65535/",
        ] {
            assert!(Endpoint::new("V", value).is_ok(), "{value}");
        }
        for value in [
            "",
            "relay:8030",
            "/bulk",
            "ftp://relay",
            "http://",
            "http://a b",
            "https://relay?x=1",
            "http://relay:65536",
        ] {
            let error = Endpoint::new("LAUNCHDARKLY_EVENTS_URI", value).unwrap_err().to_string();
            let expected =
                format!("LAUNCHDARKLY_EVENTS_URI is `{value}`, which is no http:// or https:// URI with a host");
            assert_eq!(error, expected);
        }
        let error = Endpoint::new("V", "http://user:secret@a b").unwrap_err().to_string();
        assert!(error.starts_with("V is `http://…@a b`"), "{error}");
    }

    #[test]
    fn a_key_is_trimmed_checked_and_never_printed() {
        let key = SdkKey::new("LAUNCHDARKLY_SDK_KEY", " sdk-secret\n").unwrap();
        assert_eq!(key.expose(), "sdk-secret");
        assert_eq!(format!("{key:?}"), "SdkKey(…)");
        for value in ["", " ", "sdk-\nsecret", "sdk-\u{7}"] {
            let error = SdkKey::new("LAUNCHDARKLY_SDK_KEY", value).unwrap_err().to_string();
            assert!(error.starts_with("LAUNCHDARKLY_SDK_KEY is empty or has characters"), "{error}");
            assert!(!error.contains("secret"));
        }
    }

    #[test]
    fn daemon_mode_is_set_where_flags_come_from_a_store() {
        struct Nothing;
        impl PersistentDataStoreFactory for Nothing {
            fn create_persistent_data_store(
                &self,
            ) -> Result<Box<dyn launchdarkly_server_sdk::PersistentDataStore>, std::io::Error> {
                Err(std::io::Error::other("not needed"))
            }
        }
        let key = SdkKey::new("K", "sdk-key").unwrap();
        let plain = Endpoints { stream: Endpoint::new("S", "http://localhost:1").unwrap(), ..Endpoints::default() };
        assert!(daemon(&key, &plain, Arc::new(Nothing), false).unwrap().daemon_mode());
        assert!(!streaming(&key, &plain, Arc::new(Nothing), false).unwrap().daemon_mode());
        assert!(!streaming(&key, &Endpoints::default(), Arc::new(Nothing), true).unwrap().offline());
    }
}
