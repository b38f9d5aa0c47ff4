//! DynamoDB Local, AWS's own emulator, in memory and on a free port.

use crate::tools::Tools;
use anyhow::{Context, Result, bail};
use local::patience::in_time;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::net::TcpStream;

/// How often another port is tried where one was taken meanwhile.
const TRIES: u32 = 5;
/// Runs Java until the standard input closes, which it also does when this program is killed; ends where Java does.
const UNTIL_INPUT_ENDS: &str =
    r#"exec 3<&0; java "$@" </dev/null & java=$!; { cat <&3 >/dev/null; kill -KILL "$java"; } & wait "$java""#;

/// A running emulator. Dropping it ends it.
#[derive(Debug)]
pub struct DynamoDbLocal {
    process: Child,
    port: u16,
}

impl DynamoDbLocal {
    /// Starts an emulator without tables.
    pub async fn start(tools: &Tools) -> Result<Self> {
        for _ in 0..TRIES {
            if let Some(emulator) = Self::try_start(&tools.dynamodb_local()).await? {
                return Ok(emulator);
            }
        }
        bail!("DynamoDB Local ends instead of listening; is Java 17 there?")
    }

    /// Nothing where it has ended at once, as it does where the port was taken meanwhile.
    async fn try_start(libraries: &Path) -> Result<Option<Self>> {
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
        let mut emulator = Self { process, port };
        Ok(emulator.is_listening().await?.then_some(emulator))
    }

    /// The URL to give to clients.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn is_listening(&mut self) -> Result<bool> {
        let address = (Ipv4Addr::LOCALHOST, self.port);
        let listens = async {
            loop {
                // First: who answers on the port of one that has ended is somebody else.
                if self.process.try_wait()?.is_some() {
                    return Ok(false);
                }
                if TcpStream::connect(address).await.is_ok() {
                    return Ok(true);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        in_time(listens, || format!("DynamoDB Local to listen on {address:?}")).await?
    }
}

impl Drop for DynamoDbLocal {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // Without an answer there is nothing left to wait for.
        let _ = self.process.wait();
    }
}
