//! The workers of `prefork-server`, each asked by itself.
//!
//! A worker answers for its own memory, and which one accepts a connection is the kernel's choice.
//! So several connections are opened, and on each is asked first who is there (`GET /`) and then
//! for the flags (`GET /flag/KEY`): what comes over one connection comes from one worker.

use super::places::{Held, Seen, Sight};
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::net::TcpStream;

/// How many connections are opened to meet every worker.
const CONNECTIONS: usize = 8;
/// The largest answer that is read.
const LARGEST: usize = 1024 * 1024;

/// Asks as many workers as are met for the values of these flags.
pub(super) async fn look(url: &str, keys: &[String]) -> Seen {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut workers: BTreeMap<u64, BTreeMap<String, String>> = BTreeMap::new();
    for _ in 0..CONNECTIONS {
        let mut connection = connect(host).await?;
        let pid = ask(&mut connection, host, "/").await?["pid"].as_u64().unwrap_or(0);
        if workers.contains_key(&pid) {
            continue;
        }
        let mut values = BTreeMap::new();
        for key in keys {
            let path = format!("/flag/{}", utf8_percent_encode(key, NON_ALPHANUMERIC));
            let answer = ask(&mut connection, host, &path).await?;
            values.insert(key.clone(), answer["value"].to_string());
        }
        workers.insert(pid, values);
    }
    Ok(told(&workers, keys))
}

/// What the workers said, flag by flag: one value where they agree, else who says what.
fn told(workers: &BTreeMap<u64, BTreeMap<String, String>>, keys: &[String]) -> Sight {
    let held = keys.iter().map(|key| {
        let mut by_value: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (pid, values) in workers {
            let value = values.get(key).map_or("null", String::as_str);
            by_value.entry(value).or_default().push(pid.to_string());
        }
        let (text, note) = if by_value.len() == 1 {
            (by_value.into_keys().collect(), count(workers.len()))
        } else {
            let said = by_value.iter().map(|(value, pids)| format!("{value} ({})", pids.join(", ")));
            (said.collect::<Vec<_>>().join(" · "), "workers differ".to_owned())
        };
        (key.clone(), Held { text, note, version: None })
    });
    let pids: Vec<_> = workers.keys().map(ToString::to_string).collect();
    Sight { fact: count(pids.len()), detail: format!("pid {}", pids.join(", ")), flags: held.collect() }
}

fn count(workers: usize) -> String {
    if workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") }
}

async fn connect(host: &str) -> Result<SendRequest<Body>, String> {
    let stream = TcpStream::connect(host).await.map_err(|error| format!("not reached at {host}: {error}"))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // It ends when the sender is dropped.
    tokio::spawn(connection);
    Ok(sender)
}

async fn ask(connection: &mut SendRequest<Body>, host: &str, path: &str) -> Result<Value, String> {
    let request = Request::get(path).header("host", host).body(Body::empty()).map_err(|error| error.to_string())?;
    connection.ready().await.map_err(|error| error.to_string())?;
    let response = connection.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = to_bytes(Body::new(response.into_body()), LARGEST).await.map_err(|error| error.to_string())?;
    match status {
        StatusCode::OK => serde_json::from_slice(&body).map_err(|error| format!("{path}: {error}")),
        // A flag that this worker does not know yet.
        StatusCode::NOT_FOUND => Ok(Value::Null),
        status => Err(format!("{path}: {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_differ_are_named() {
        let worker = |value: &str| BTreeMap::from([("f".to_owned(), value.to_owned())]);
        let keys = ["f".to_owned()];
        let sight = told(&[(11, worker("true")), (12, worker("true"))].into(), &keys);
        assert_eq!((sight.flags["f"].text.as_str(), sight.flags["f"].note.as_str()), ("true", "2 workers"));
        let sight = told(&[(11, worker("true")), (12, worker("false"))].into(), &keys);
        assert_eq!(sight.flags["f"].text, "false (12) · true (11)");
        assert_eq!(sight.detail, "pid 11, 12");
    }
}
