//! The smallest function: what a binary must say to a Lambda Runtime API, in plain HTTP. The tests
//! run it; what it does is told by the event.

#![expect(clippy::unwrap_used, reason = "whatever fails here is to end the process")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its lines are what the tests look for")]

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const RUNTIME: &str = "/2018-06-01/runtime";

fn main() {
    println!("started");
    if let Ok(message) = std::env::var("FAIL_AT_START") {
        let error = json!({"errorType": "Start", "errorMessage": message}).to_string();
        request("POST", &format!("{RUNTIME}/init/error"), &error);
        std::process::exit(1);
    }
    loop {
        let (head, event) = request("GET", &format!("{RUNTIME}/invocation/next"), "");
        let id = head.lines().find_map(|line| line.strip_prefix("lambda-runtime-aws-request-id: ")).unwrap();
        let path = format!("{RUNTIME}/invocation/{id}");
        match answer(&serde_json::from_str(&event).unwrap(), &head) {
            Ok(answer) => request("POST", &format!("{path}/response"), &answer),
            Err(error) => request("POST", &format!("{path}/error"), &error),
        };
    }
}

fn answer(event: &Value, head: &str) -> Result<String, String> {
    if let Some(message) = event.get("fail") {
        return Err(json!({"errorType": "Asked", "errorMessage": message}).to_string());
    }
    if let Some(status) = event["exit"].as_i64() {
        eprintln!("going");
        std::process::exit(i32::try_from(status).unwrap());
    }
    if let Some(milliseconds) = event["sleepMs"].as_u64() {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }
    if let Some(size) = event["size"].as_u64() {
        return Ok(format!("\"{}\"", "x".repeat(usize::try_from(size).unwrap())));
    }
    if event["raw"].is_string() {
        return Ok(event["raw"].as_str().unwrap().to_owned());
    }
    let variables: serde_json::Map<_, _> = std::env::vars().map(|(name, value)| (name, value.into())).collect();
    Ok(json!({"event": event, "head": head, "variables": variables, "pid": std::process::id()}).to_string())
}

/// One request, on a connection of its own; the answer's head in lower case, and its body.
fn request(method: &str, path: &str, body: &str) -> (String, String) {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
    let mut stream = TcpStream::connect(&api).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}
