//! A Redis server of one's own, filled as the Relay Proxy fills it. Ended when dropped.

use anyhow::{Context, Result, bail};
use local::patience::PATIENCE;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

/// How often another port is tried where one was taken meanwhile.
const TRIES: u32 = 20;

/// A running server.
#[derive(Debug)]
pub struct RedisServer {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl RedisServer {
    /// Starts an empty one on a free port of 127.0.0.1; nothing where no `redis-server` is installed.
    pub fn start() -> Result<Option<Self>> {
        for _ in 0..TRIES {
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            let folder = tempfile::tempdir()?;
            let mut command = Command::new("redis-server");
            command
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
                .arg(folder.path());
            let mut process = match command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                started => started.context("failed to start redis-server")?,
            };
            let output = BufReader::new(process.stdout.take().context("it has no output")?);
            let server = Self { process, folder, port };
            let (said, lines) = mpsc::channel();
            // Somebody has to read its log to the end.
            std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(said.send(line))));
            loop {
                match lines.recv_timeout(PATIENCE) {
                    Ok(line) if line.contains("Ready to accept connections") => return Ok(Some(server)),
                    Ok(_) => {}
                    // It has ended: the port was taken.
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                    Err(silent) => return Err(silent).context("failed to hear from redis-server that it is ready"),
                }
            }
        }
        bail!("failed to start redis-server on a free port")
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it keeps its files.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Fills it with a payload below a prefix, as the Relay Proxy does.
    pub fn fill(&self, prefix: &str, payload: &str) -> Result<()> {
        let payload: BTreeMap<&str, BTreeMap<&str, &RawValue>> = serde_json::from_str(payload)?;
        let mut pipe = redis::pipe();
        for (kind, hash) in [("flags", "features"), ("segments", "segments")] {
            for (key, item) in payload.get(kind).into_iter().flatten() {
                pipe.hset(format!("{prefix}:{hash}"), *key, item.get()).ignore();
            }
        }
        pipe.set(format!("{prefix}:$inited"), "").ignore();
        Ok(pipe.query(&mut self.connect()?)?)
    }

    /// The flags below a prefix, by key.
    pub fn flags(&self, prefix: &str) -> Result<BTreeMap<String, String>> {
        Ok(redis::cmd("HGETALL").arg(format!("{prefix}:features")).query(&mut self.connect()?)?)
    }

    fn connect(&self) -> Result<redis::Connection> {
        let client = redis::Client::open(format!("redis://{}", self.address()))?;
        let connection = client.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(connection)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
