//! A scripted HTTP server in place of an AWS service. Tests only.

use aws_config::SdkConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Answer(u16, String),
    Close,
    Hang,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::Answer(status, body.to_string())
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self::Answer(status, body.to_owned())
    }

    /// Breaks the connection off.
    pub(crate) fn close() -> Self {
        Self::Close
    }

    /// Never answers.
    pub(crate) fn hang() -> Self {
        Self::Hang
    }
}

/// A request: its `X-Amz-Target` and body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) target: String,
    pub(crate) body: Value,
}

pub(crate) struct Scripted {
    url: String,
    task: JoinHandle<()>,
}

impl Scripted {
    pub(crate) async fn start(script: impl Fn(Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(script);
        let task = tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let script = script.clone();
                tokio::spawn(async move { serve(connection, &*script).await });
            }
        });
        Self { url, task }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Stops listening; gives the address where nobody listens any more.
    pub(crate) async fn stop(self) -> String {
        self.task.abort();
        let _ = self.task.await;
        self.url
    }
}

async fn serve(connection: TcpStream, script: &(impl Fn(Asked) -> Reply + ?Sized)) -> Option<()> {
    let mut connection = BufReader::new(connection);
    loop {
        let (mut asked, mut length) = (Asked::default(), 0);
        let mut line = String::new();
        loop {
            line.clear();
            connection.read_line(&mut line).await.ok().filter(|&read| read > 0)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("x-amz-target") => asked.target = value.to_owned(),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
                _ if line == "\r\n" => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await.ok()?;
        asked.body = serde_json::from_slice(&body).ok()?;
        match script(asked) {
            Reply::Close => return None,
            Reply::Hang => std::future::pending().await,
            Reply::Answer(status, body) => {
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
                connection.get_mut().write_all((head + &body).as_bytes()).await.ok()?;
            }
        }
    }
}

/// A configuration whose services are all at this address.
pub(crate) async fn config(url: &str) -> SdkConfig {
    let url = url.to_owned();
    let lookup = move |name: &str| match name {
        "AWS_ENDPOINT_URL" => Some(url.clone()),
        "AWS_REGION" => Some("eu-west-1".to_owned()),
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("test".to_owned()),
        "AWS_MAX_ATTEMPTS" => Some("1".to_owned()),
        _ => None,
    };
    crate::config::from_lookup(&lookup).await.unwrap()
}

/// The same, giving an answer up almost at once.
pub(crate) fn impatient(config: &SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(50)).build();
    config.to_builder().timeout_config(timeouts).build()
}
