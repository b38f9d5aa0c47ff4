//! `/health` and `/metrics` over HTTP, where `--listen` asks for them.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::{Status, Word, metrics};

/// Listens, and serves in the background from then on; the address, as the port may have been 0.
pub async fn start(address: SocketAddr, status: Status) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/health", get(health)).route("/metrics", get(scrape)).with_state(status);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn health(State(status): State<Status>) -> impl IntoResponse {
    let facts = status.facts();
    let code = match facts.word() {
        Word::Ok | Word::Stale => StatusCode::OK,
        Word::Starting | Word::Failing => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, [(CONTENT_TYPE, "application/json")], facts.json())
}

async fn scrape(State(status): State<Status>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics::render(&status.facts()))
}
