//! The one HTTP client under all AWS clients: HTTP/1.1, a shared pool, TLS on first need.
//!
//! It stands in for the SDK's own default client, whose start loads and parses the machine's root
//! certificates. Retries and the time that an attempt may take are the SDK's business, not this
//! room's; only reaching the other side is bounded here.

mod connect;
#[cfg(test)]
mod tests;
mod trust;

pub(crate) use trust::Trust;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use connect::LazyTls;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::fmt;

/// An HTTP client for an `SdkConfig`; clones of that share it and its connections.
#[derive(Debug)]
pub(crate) struct Http(SharedHttpConnector);

impl Http {
    /// A client that believes these certificates. Opens nothing yet.
    pub(crate) fn new(trust: Trust) -> Self {
        let pool = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(LazyTls::new(trust));
        Self(SharedHttpConnector::new(Pool(pool)))
    }
}

impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.0.clone()
    }
}

struct Pool(Client<LazyTls, SdkBody>);

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pool")
    }
}

impl HttpConnector for Pool {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let answer = self.0.request(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await.map_err(classify)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// Says what the SDK's retries need to know: timed out, broken connection, or something else.
fn classify(error: Error) -> ConnectorError {
    let causes = || std::iter::successors(Some(&error as &(dyn std::error::Error + 'static)), |&cause| cause.source());
    let io = causes().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    let http = causes().find_map(|cause| cause.downcast_ref::<hyper::Error>());
    let timed_out = io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut);
    let broken = http.is_some_and(|http| http.is_closed() || http.is_canceled());
    let cut_off = http.is_some_and(hyper::Error::is_incomplete_message);
    if timed_out {
        ConnectorError::timeout(error.into())
    } else if error.is_connect() {
        ConnectorError::io(error.into()).never_connected()
    } else if io.is_some() || broken {
        ConnectorError::io(error.into())
    } else {
        let kind = cut_off.then_some(ErrorKind::TransientError);
        ConnectorError::other(error.into(), kind)
    }
}
