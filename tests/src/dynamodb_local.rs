//! DynamoDB Local, AWS's own emulator, in memory and on a free port.

use crate::tools::Tools;
use anyhow::{Context, Result, bail};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// How long the Java program may take to listen.
const START_LIMIT: Duration = Duration::from_mins(1);

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
        let process = Command::new("java")
            .arg(format!("-Djava.library.path={}", libraries.display()))
            .arg("-cp")
            .arg(libraries.join("*"))
            .arg("com.amazonaws.services.dynamodbv2.local.main.ServerRunner")
            .args(["-inMemory", "-sharedDb", "-disableTelemetry", "-port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to run java")?;
        let mut emulator = Self { process, port };
        emulator.listening().await?;
        Ok(emulator)
    }

    /// The URL to give to clients.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn listening(&mut self) -> Result<()> {
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("DynamoDB Local ended instead of listening on port {}: {status}", self.port);
            }
            if began.elapsed() > START_LIMIT {
                bail!("DynamoDB Local does not listen on port {} after {START_LIMIT:?}", self.port);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for DynamoDbLocal {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
