//! Where LaunchDarkly is: the four base URIs, from the environment or LaunchDarkly's own.
//!
//! Every program of the project reads these variables, so that the same ones point all of them to
//! a Relay Proxy, to LaunchDarkly's federal or EU instance, or to a stand-in. Takes the
//! environment as a function and never reads it itself. Defaults:
//! <https://launchdarkly.com/docs/sdk/concepts/domain-list>.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use url::Url;

/// One of LaunchDarkly's services, as the environment names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// The environment variable that moves it.
    pub variable: &'static str,
    /// Where it is unless moved.
    pub default: &'static str,
}

/// The polling endpoint, which hands out an environment's payload.
pub const BASE: Endpoint = Endpoint { variable: "LAUNCHDARKLY_BASE_URI", default: "https://sdk.launchdarkly.com" };

/// The stream, which pushes an environment's payload and its changes.
pub const STREAM: Endpoint =
    Endpoint { variable: "LAUNCHDARKLY_STREAM_URI", default: "https://stream.launchdarkly.com" };

/// Where SDKs send analytics events.
pub const EVENTS: Endpoint =
    Endpoint { variable: "LAUNCHDARKLY_EVENTS_URI", default: "https://events.launchdarkly.com" };

/// The REST API.
pub const API: Endpoint = Endpoint { variable: "LAUNCHDARKLY_API_URI", default: "https://app.launchdarkly.com" };

/// The base URIs of all four services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// [`BASE`].
    pub base: BaseUri,
    /// [`STREAM`].
    pub stream: BaseUri,
    /// [`EVENTS`].
    pub events: BaseUri,
    /// [`API`].
    pub api: BaseUri,
}

impl Endpoints {
    /// Reads all four; `variable` gives a variable's value, or nothing where it is not set.
    pub fn from_env(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, EndpointError> {
        Ok(Self {
            base: BASE.from_env(variable)?,
            stream: STREAM.from_env(variable)?,
            events: EVENTS.from_env(variable)?,
            api: API.from_env(variable)?,
        })
    }
}

impl Endpoint {
    /// Reads this one. An empty value counts as not set.
    pub fn from_env(self, variable: &dyn Fn(&str) -> Option<String>) -> Result<BaseUri, EndpointError> {
        let value = variable(self.variable).unwrap_or_default();
        let value = value.trim();
        let value = if value.is_empty() { self.default } else { value };
        value.parse().map_err(|problem| EndpointError { endpoint: self, value: without_credentials(value), problem })
    }
}

/// A variable that holds no base URI.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "read {}={value:?}: {problem}; it may be an http:// or https:// URL such as {}",
    endpoint.variable,
    endpoint.default
)]
pub struct EndpointError {
    /// What was to be read.
    pub endpoint: Endpoint,
    /// The variable's value, without what may be a secret in it.
    pub value: String,
    /// What is wrong with it.
    pub problem: BaseUriError,
}

/// Why something is no base URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BaseUriError {
    /// Not a URL at all.
    #[error("not a URL ({0})")]
    Malformed(url::ParseError),
    /// A URL of another scheme.
    #[error("neither http nor https")]
    Scheme,
    /// A URL with a user or a password. They would have to share the `Authorization` header with
    /// the key that each request carries.
    #[error("a user or password is not allowed")]
    Credentials,
    /// A URL with a query or a fragment, which no path could be added to.
    #[error("a query or fragment is not allowed")]
    Query,
}

/// The URI that a service's paths are added to: `http` or `https`, a host, possibly a path; no
/// user, password, query or fragment, so that it can be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUri(Url);

impl BaseUri {
    /// Whether requests to it are encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// This URI with `segments` added to its path, each percent-encoded as one segment; `.` and
    /// `..` are left out, as URLs cannot hold them as names.
    pub fn join<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        // Only URLs without a host, such as `data:`, refuse path segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Host and port, for messages.
    pub(crate) fn authority(&self) -> &str {
        self.0.authority()
    }
}

impl FromStr for BaseUri {
    type Err = BaseUriError;

    fn from_str(value: &str) -> Result<Self, BaseUriError> {
        let url = Url::parse(value).map_err(BaseUriError::Malformed)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BaseUriError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BaseUriError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BaseUriError::Query);
        }
        Ok(Self(url))
    }
}

/// Without a slash at the end, as SDKs expect base URIs.
impl fmt::Display for BaseUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for BaseUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// `value` with user, password and query masked, be it a URL or not.
fn without_credentials(value: &str) -> String {
    let (address, query) = match value.find(['?', '#']) {
        Some(at) => (&value[..at], &value[at..=at]),
        None => (value, ""),
    };
    let mask = if query.is_empty() { "" } else { "…" };
    match address.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_inclusive("://").next().filter(|part| part.ends_with("://"));
            format!("{}…@{host}{query}{mask}", scheme.unwrap_or(""))
        }
        None => format!("{address}{query}{mask}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(value: &str) -> Result<BaseUri, EndpointError> {
        BASE.from_env(&|name| (name == "LAUNCHDARKLY_BASE_URI").then(|| value.to_owned()))
    }

    #[test]
    fn nothing_set_means_launchdarkly_itself() {
        let endpoints = Endpoints::from_env(&|_| None).unwrap();
        for (uri, expected) in [
            (endpoints.base, "https://sdk.launchdarkly.com"),
            (endpoints.stream, "https://stream.launchdarkly.com"),
            (endpoints.events, "https://events.launchdarkly.com"),
            (endpoints.api, "https://app.launchdarkly.com"),
        ] {
            assert_eq!(uri.to_string(), expected);
        }
        assert_eq!(base(" ").unwrap().to_string(), "https://sdk.launchdarkly.com");
    }

    #[test]
    fn each_variable_moves_its_own_service() {
        let endpoints = Endpoints::from_env(&|name| Some(format!("http://localhost:8030/{name}"))).unwrap();
        for (uri, expected) in [
            (endpoints.base, "http://localhost:8030/LAUNCHDARKLY_BASE_URI"),
            (endpoints.stream, "http://localhost:8030/LAUNCHDARKLY_STREAM_URI"),
            (endpoints.events, "http://localhost:8030/LAUNCHDARKLY_EVENTS_URI"),
            (endpoints.api, "http://localhost:8030/LAUNCHDARKLY_API_URI"),
        ] {
            assert_eq!(uri.to_string(), expected);
        }
    }

    #[test]
    fn paths_are_added_whole() {
        for (value, segments, expected) in [
            ("http://h", &["sdk", "latest-all"][..], "http://h/sdk/latest-all"),
            ("http://h/", &["sdk", "latest-all"], "http://h/sdk/latest-all"),
            ("https://h:1/relay/", &["sdk"], "https://h:1/relay/sdk"),
            ("http://h", &["a/b?c#d", "é %"], "http://h/a%2Fb%3Fc%23d/%C3%A9%20%25"),
        ] {
            let uri: BaseUri = value.parse().unwrap();
            assert_eq!(uri.join(segments.iter().copied()).as_str(), expected);
        }
    }

    #[test]
    fn a_wrong_value_is_named_without_its_secrets() {
        for (value, expected) in [
            ("sdk.launchdarkly.com", r#""sdk.launchdarkly.com": not a URL (relative URL without a base)"#),
            ("http://", r#""http://": not a URL (empty host)"#),
            ("ftp://h", r#""ftp://h": neither http nor https"#),
            ("localhost:8030", r#""localhost:8030": neither http nor https"#),
            ("https://u:secret@h/p", r#""https://…@h/p": a user or password is not allowed"#),
            ("u:secret@h", r#""…@h": neither http nor https"#),
            ("https://:se@cret@", r#""https://…@": not a URL (empty host)"#),
            ("https://h/?token=secret", r#""https://h/?…": a query or fragment is not allowed"#),
        ] {
            assert_eq!(
                base(value).unwrap_err().to_string(),
                format!(
                    "read LAUNCHDARKLY_BASE_URI={expected}; it may be an http:// or https:// URL \
                     such as https://sdk.launchdarkly.com"
                )
            );
        }
    }
}
