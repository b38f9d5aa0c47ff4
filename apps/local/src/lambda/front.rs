//! The API Gateway of one function: plain HTTP in front of a pool of its processes.

use super::error::InvokeError;
use super::event::{http_event, http_response};
use super::pool::FunctionPool;
use crate::server::Server;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The largest body that API Gateway takes: 10 MB.
const LARGEST_BODY: usize = 10 * 1024 * 1024;

/// A function's URL. Dropping it ends the server and kills the function's processes.
#[derive(Debug)]
pub struct HttpFront {
    server: Server,
    pool: Arc<FunctionPool>,
}

impl HttpFront {
    /// Serves `pool` on a free port of 127.0.0.1.
    pub async fn start(pool: FunctionPool) -> std::io::Result<Self> {
        Self::start_on(TcpListener::bind(("127.0.0.1", 0)).await?, pool)
    }

    /// Serves `pool` on `listener`.
    pub fn start_on(listener: TcpListener, pool: FunctionPool) -> std::io::Result<Self> {
        let pool = Arc::new(pool);
        let router = Router::new().fallback(handle).with_state(pool.clone());
        Ok(Self { server: Server::start(listener, router)?, pool })
    }

    /// The function's URL, `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        crate::server::url(self.address())
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The function behind it, to invoke it directly.
    pub fn pool(&self) -> &FunctionPool {
        &self.pool
    }
}

async fn handle(State(pool): State<Arc<FunctionPool>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return gateway_error(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large", "");
    };
    let event = http_event(&parts, &body, chrono::Utc::now()).to_string();
    // In a task of its own: who hangs up does not end the invocation, as with API Gateway.
    let answer = tokio::spawn(async move { pool.invoke(event).await }).await;
    match answer {
        Ok(Ok(invoked)) => match http_response(&invoked.body) {
            Some(response) => response.map(Body::from),
            None => internal_error("the function's answer makes no HTTP response"),
        },
        Ok(Err(error)) => internal_error(&causes(&error)),
        Err(error) => internal_error(&error.to_string()),
    }
}

/// API Gateway's answer where the function gave none; it keeps the cause to itself, which would
/// be of no use here.
fn internal_error(cause: &str) -> Response {
    gateway_error(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", cause)
}

fn gateway_error(status: StatusCode, message: &str, cause: &str) -> Response {
    let body = json!({"message": message, "cause": cause}).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn causes(error: &InvokeError) -> String {
    let mut text = format!("failed to {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
