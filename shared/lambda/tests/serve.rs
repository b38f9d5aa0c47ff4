//! The loop against a scripted Runtime API. `lambda_runtime` reads the process's environment, so
//! the test starts itself once more as the function.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use flagcache_lambda::{Answer, Event, Fault, Invocation, Outcome, logs, serve_then};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// How long the function may take for one step before the test has failed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

const TEST: &str = "every_invocation_is_answered_and_none_ends_the_process";

#[test]
fn every_invocation_is_answered_and_none_ends_the_process() {
    if let Ok(api) = std::env::var("AWS_LAMBDA_RUNTIME_API") {
        return function(&api);
    }
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let http = |method: &str| json!({"httpMethod": method, "path": "/", "body": "hello"});
    let (seen, log) = serve_events(&[
        http("GET").to_string(),
        "{".to_owned(),
        deep,
        String::new(),
        json!({"fail": true}).to_string(),
        http("PUT").to_string(),
        json!({"panic": true}).to_string(),
        json!({"answer": 42}).to_string(),
    ]);

    let answered = |id: usize| format!("/2018-06-01/runtime/invocation/{id}/response");
    let failed = |id: usize| format!("/2018-06-01/runtime/invocation/{id}/error");
    let paths: Vec<&str> = seen.iter().map(|(path, _)| path.as_str()).collect();
    let mut expected = Vec::new();
    for (id, path) in [answered, failed, failed, answered, failed, answered, failed, answered]
        .iter()
        .map(|path| path as &dyn Fn(usize) -> String)
        .enumerate()
    {
        expected.extend([path(id), "/after".to_owned()]);
    }
    assert_eq!(paths, expected);

    let body = |id: usize| &seen[id * 2].1;
    assert_eq!(body(0)["statusCode"], 200);
    assert_eq!(body(0)["body"], r#"{"function":"under-test","id":"0","time_left":true}"#);
    assert_eq!(body(2)["errorType"], "bad-event");
    assert_eq!(body(3), &Value::Null);
    assert_eq!(body(4), &json!({"errorType": "no-table", "errorMessage": "create it"}));
    assert_eq!(body(5)["statusCode"], 405);
    assert_eq!(body(7), &json!({"answer": 42}));

    let record: Value = serde_json::from_str(&log).unwrap();
    assert_eq!((&record["message"], &record["requestId"]), (&json!("served"), &json!("0")));
}

/// What the process under test does.
fn function(api: &str) {
    logs::init().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let api = api.to_owned();
    let after = async move |_| {
        let mut api = TcpStream::connect(&api).unwrap();
        api.write_all(b"POST /after HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        api.read_exact(&mut [0]).unwrap();
    };
    let _ = runtime.block_on(serve_then(handle, after));
}

async fn handle(event: Event) -> Outcome {
    match event.invocation {
        Invocation::Http(request) if request.method == "GET" => {
            tracing::info!("served");
            Outcome::Value(json!({
                "function": event.function_name, "id": event.request_id,
                "time_left": event.deadline > std::time::SystemTime::now(),
            }))
        }
        Invocation::Http(_) => Answer::error(405, "method", "only GET").into(),
        Invocation::Manual(value) if value["fail"] == true => Outcome::Fault(Fault::new("no-table", "create it")),
        Invocation::Manual(value) if value["panic"] == true => panic!("on purpose"),
        Invocation::Manual(value) => Outcome::Value(value),
        Invocation::Schedule { time, .. } => Outcome::Value(time.into()),
    }
}

/// Gives the function one event after the other; what it posted, and its log's line `served`.
fn serve_events(events: &[String]) -> (Vec<(String, Value)>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut function = start(&address.to_string());
    let (seen, posted) = std::sync::mpsc::channel();
    let events = events.to_vec();
    std::thread::spawn(move || {
        let events = std::sync::Arc::new(std::sync::Mutex::new(events.into_iter().enumerate()));
        for connection in listener.incoming() {
            let (events, seen) = (events.clone(), seen.clone());
            std::thread::spawn(move || {
                answer(&connection.unwrap(), |path, body| {
                    if path.ends_with("/next") {
                        return events.lock().unwrap().next();
                    }
                    seen.send((path.to_owned(), body)).unwrap();
                    Some((0, "{}".to_owned()))
                });
            });
        }
    });
    let posted = (0..16).map(|_| posted.recv_timeout(PATIENCE).unwrap()).collect();
    function.kill().unwrap();
    function.wait().unwrap();
    let output = BufReader::new(function.stdout.take().unwrap());
    let log = output.lines().map(Result::unwrap).find(|line| line.contains("served")).unwrap();
    (posted, log[log.find('{').unwrap()..].to_owned())
}

fn start(api: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env("AWS_LAMBDA_RUNTIME_API", api)
        .env("AWS_LAMBDA_FUNCTION_NAME", "under-test")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env_remove("LOG_LEVEL")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Serves one connection's requests; a request without an answer keeps waiting, like `/next` does.
fn answer(connection: &TcpStream, mut reply: impl FnMut(&str, Value) -> Option<(usize, String)>) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let Some((id, event)) = reply(&path, serde_json::from_slice(&body).unwrap_or_default()) else {
            std::thread::park();
            return None;
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nlambda-runtime-aws-request-id: {id}\r\n\
             lambda-runtime-deadline-ms: 4102444800000\r\n\r\n",
            event.len()
        );
        let mut connection = connection;
        connection.write_all((head + &event).as_bytes()).ok()?;
    }
}
