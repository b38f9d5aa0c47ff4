//! A server that does nothing: what HTTP itself costs. Four threads, as two workers of two threads have.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, Router::new().route("/", get(answer)).route("/flag", get(answer))).await
}

async fn answer() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], r#"{"flag":"sample-flag","value":false,"initialized":true}"#)
}
