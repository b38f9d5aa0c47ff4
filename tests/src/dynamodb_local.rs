//! DynamoDB Local, AWS's own emulator, in memory and on a free port.

use crate::tools::Tools;
use anyhow::{Context, Result, bail};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// How long the Java program may take to listen.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Runs Java until the standard input closes, which it also does when this program is killed.
const UNTIL_INPUT_ENDS: &str = r#"java "$@" </dev/null & java=$!; cat >/dev/null; kill "$java"; wait "$java""#;

/// A running emulator. Dropping it ends it.
#[derive(Debug)]
pub struct DynamoDbLocal {
    process: Child,
    port: u16,
}

impl DynamoDbLocal {
    /// Starts an emulator without tables.
    pub async fn start(tools: &Tools) -> Result<Self> {
        let libraries = tools.dynamodb_local();
        // The port is free again before the emulator takes it, for it cannot choose one itself.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let process = Command::new("sh")
            .args(["-c", UNTIL_INPUT_ENDS, "java"])
            .arg(format!("-Djava.library.path={}", libraries.display()))
            .arg("-cp")
            .arg(libraries.join("*"))
            .arg("com.amazonaws.services.dynamodbv2.local.main.ServerRunner")
            .args(["-inMemory", "-sharedDb", "-disableTelemetry", "-port", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to run sh")?;
        let emulator = Self { process, port };
        emulator.listening().await?;
        Ok(emulator)
    }

    /// The URL to give to clients.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn listening(&self) -> Result<()> {
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
            if began.elapsed() > START_LIMIT {
                bail!("DynamoDB Local does not listen on port {} after {START_LIMIT:?}; is Java 17 there?", self.port);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for DynamoDbLocal {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // Without an answer there is nothing left to wait for.
        let _ = self.process.wait();
    }
}
