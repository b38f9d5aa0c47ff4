//! The REST API: reading and changing flags, listing environments.
//!
//! For the programs that act on behalf of a person with an API access token; what evaluates flags
//! never comes here. Answers are read leniently: only the fields that are needed, the rest kept as
//! raw JSON where it may matter. Rate limits are obeyed up to the caller's deadline and then
//! reported, so that a caller can stop with its work still queued.
//!
//! Format: <https://launchdarkly.com/docs/api>, version 20240415.

mod error;
mod model;
mod rate_limit;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, Url};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::connection::{self, Limits};
use crate::endpoints::BaseUri;
use crate::exchange::{self, Attempt};
use crate::retry;

pub use error::RestError;
pub use model::{CallerIdentity, Environment, Flag, FlagState, PatchOperation, pointer};
pub use rate_limit::RateLimit;

/// The version that this room was written for, whatever version the token was made with.
const API_VERSION: &str = "20240415";

/// Environments asked for at once; LaunchDarkly's own default is 20.
const PAGE: usize = 100;

/// Asks the REST API with one access token.
#[derive(Debug, Clone)]
pub struct RestClient {
    client: Client,
    base_uri: BaseUri,
    headers: HeaderMap,
    limits: Limits,
}

/// A call, to be sent once or several times.
struct Call {
    method: Method,
    url: Url,
    /// The JSON to send, where there is any.
    body: Option<String>,
    /// Whether sending it twice is as good as once, should an answer get lost.
    is_repeatable: bool,
}

impl RestClient {
    /// A client for the API below `base_uri`; connects to nothing yet. `token` is an API access
    /// token (`api-…`), not an SDK key.
    pub fn new(base_uri: BaseUri, token: &SecretString, limits: Limits) -> Result<Self, RestError> {
        let token = connection::secret_header(token).ok_or(RestError::MalformedToken)?;
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(AUTHORIZATION, token);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(HeaderName::from_static("ld-api-version"), HeaderValue::from_static(API_VERSION));
        Ok(Self { client: connection::client(&base_uri, &limits)?, base_uri, headers, limits })
    }

    /// Reads a flag, with its state in `environment` alone: smaller and quicker than with all.
    pub async fn flag(
        &self,
        project: &str,
        flag: &str,
        environment: &str,
        deadline: Instant,
    ) -> Result<Flag, RestError> {
        let mut url = self.url(&["flags", project, flag])?;
        url.query_pairs_mut().append_pair("env", environment);
        Ok(Flag { raw: self.call(Call::get(url), deadline).await? })
    }

    /// Changes a flag and gives it back as it is now, in all environments, as far as the answer
    /// tells it. `comment` appears in the audit log.
    ///
    /// A patch that tests a value is sent again only where it cannot have arrived: once applied,
    /// its test fails.
    pub async fn patch_flag(
        &self,
        project: &str,
        flag: &str,
        patch: &[PatchOperation],
        comment: &str,
        deadline: Instant,
    ) -> Result<Flag, RestError> {
        #[derive(Serialize)]
        struct PatchWithComment<'a> {
            comment: &'a str,
            patch: &'a [PatchOperation],
        }
        let body = serde_json::to_string(&PatchWithComment { comment, patch });
        let call = Call {
            method: Method::PATCH,
            url: self.url(&["flags", project, flag])?,
            body: Some(body.map_err(RestError::Unwritable)?),
            is_repeatable: !patch.iter().any(PatchOperation::is_test),
        };
        Ok(Flag { raw: self.call(call, deadline).await? })
    }

    /// Lists all environments of a project, whatever number of pages they fill.
    pub async fn environments(&self, project: &str, deadline: Instant) -> Result<Vec<Environment>, RestError> {
        let url = self.url(&["projects", project, "environments"])?;
        let mut environments = Vec::new();
        loop {
            let mut page = url.clone();
            page.query_pairs_mut()
                .append_pair("limit", &PAGE.to_string())
                .append_pair("offset", &environments.len().to_string());
            let page = model::environments(self.call(Call::get(page), deadline).await?)?;
            let is_last = page.is_last(environments.len());
            environments.extend(page.items);
            if is_last {
                return Ok(environments);
            }
        }
    }

    /// Says whose token this is: the cheapest way to learn whether it is accepted.
    pub async fn caller_identity(&self, deadline: Instant) -> Result<CallerIdentity, RestError> {
        let url = self.url(&["caller-identity"])?;
        model::caller_identity(self.call(Call::get(url), deadline).await?)
    }

    fn url(&self, segments: &[&str]) -> Result<Url, RestError> {
        // No URL can hold these as names: they would ask for something else.
        if let Some(name) = segments.iter().find(|name| matches!(**name, "" | "." | "..")) {
            return Err(RestError::Unaddressable { key: (*name).to_owned() });
        }
        Ok(self.base_uri.join(["api", "v2"].iter().chain(segments).copied()))
    }

    async fn call(&self, call: Call, deadline: Instant) -> Result<Value, RestError> {
        retry::retry(&self.limits, deadline, || self.attempt(&call, deadline)).await
    }

    async fn attempt(&self, call: &Call, deadline: Instant) -> Result<Value, RestError> {
        let attempt = Attempt::new(&self.limits, deadline);
        let mut request = self.client.request(call.method.clone(), call.url.clone()).headers(self.headers.clone());
        if let Some(body) = &call.body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        let failed = |source| RestError::exchange(call.name(), source, call.is_repeatable);
        let response = attempt.send(request, self.base_uri.authority()).await.map_err(failed)?;
        if response.status().is_success() {
            let body = attempt.body(response).await.map_err(failed)?;
            if body.trim_ascii().is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&body).map_err(|source| RestError::NotJson { call: call.name(), source });
        }
        Err(refusal(call, attempt, response).await)
    }
}

impl Call {
    fn get(url: Url) -> Self {
        Self { method: Method::GET, url, body: None, is_repeatable: true }
    }

    /// For messages: `GET /api/v2/…`.
    fn name(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }
}

async fn refusal(call: &Call, attempt: Attempt, response: Response) -> RestError {
    let status = response.status().as_u16();
    if response.status().is_redirection() {
        return RestError::Redirected { call: call.name(), location: exchange::location(&response) };
    }
    if status == 429 {
        return rate_limit::error(call.name(), response.headers());
    }
    let retry_after = connection::retry_after(response.headers());
    // The status says enough where the explanation is lost.
    let body = attempt.body(response).await.unwrap_or_default();
    let (code, message) = error::explanation(&body);
    RestError::Refused { call: call.name(), status, code, message, retry_after, is_repeatable: call.is_repeatable }
}

#[cfg(test)]
mod tests;
