//! Connections, plain or with TLS; TLS is set up when the first `https://` address is asked for,
//! so that a process that only talks to local endpoints never pays for it.

use super::trust::{Trust, TrustError};
use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tower_service::Service;

/// How long the other side may take to accept a connection. The TLS handshake after it counts to
/// the attempt: with the smallest share of a CPU that alone can take most of a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
pub(super) struct LazyTls {
    tcp: HttpConnector,
    trust: Arc<Trust>,
    tls: Arc<OnceLock<Result<HttpsConnector<HttpConnector>, TrustError>>>,
}

impl LazyTls {
    pub(super) fn new(trust: Trust) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self { tcp, trust: Arc::new(trust), tls: Arc::default() }
    }

    fn https(&self) -> Result<HttpsConnector<HttpConnector>, TrustError> {
        let tls = || Ok(HttpsConnector::from((self.tcp.clone(), self.trust.tls()?)));
        self.tls.get_or_init(tls).clone()
    }
}

impl Service<Uri> for LazyTls {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        if address.scheme() == Some(&Scheme::HTTPS) {
            return match self.https() {
                Ok(mut https) => https.call(address),
                Err(error) => Box::pin(std::future::ready(Err(error.into()))),
            };
        }
        let connection = self.tcp.call(address);
        Box::pin(async move { Ok(MaybeHttpsStream::Http(connection.await?)) })
    }
}
