//! Function processes, pools and the HTTP front, over the function in `examples/function.rs`.

#![expect(clippy::unwrap_used, reason = "a test")]

use local::lambda::{Function, FunctionError, HttpFront, InvokeError, SpawnError};
use local::patience::in_time;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

fn function() -> Function {
    let test = std::env::current_exe().unwrap();
    let binary: PathBuf = test.ancestors().nth(2).unwrap().join("examples/function");
    assert!(binary.exists(), "{} is missing: run `cargo build -p local --examples`", binary.display());
    Function::new(binary)
}

#[tokio::test]
async fn a_function_gets_events_and_lambdas_variables_and_nothing_else() {
    let process = function().env("MINE", "1").env("AWS_REGION", "eu-west-1").memory(256).spawn().await.unwrap();
    let answer = process.invoke(&json!({"a": [1]})).await.unwrap();

    assert_eq!(answer["event"], json!({"a": [1]}));
    let variables = &answer["variables"];
    assert_eq!(variables["MINE"], "1");
    assert_eq!(variables["AWS_REGION"], "eu-west-1");
    assert_eq!(variables["AWS_LAMBDA_FUNCTION_NAME"], "function");
    assert_eq!(variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "256");
    assert_eq!(variables.get("CARGO_MANIFEST_DIR"), None);
    let head = answer["head"].as_str().unwrap();
    for header in ["deadline-ms: 1", "invoked-function-arn: arn:aws:lambda:", "trace-id: root=1-"] {
        assert!(head.contains(&format!("lambda-runtime-{header}")), "{header} in {head}");
    }
}

#[tokio::test]
async fn times_of_the_start_and_of_each_invocation_are_measured() {
    let process = function().spawn().await.unwrap();
    let start = process.ready().await.unwrap();
    let invoked = process.invoke_raw(r#"{"sleepMs":30}"#).await.unwrap();
    assert!(start > Duration::ZERO, "{start:?}");
    assert!(invoked.duration >= Duration::from_millis(30), "{:?}", invoked.duration);
    assert_eq!(process.ready().await.unwrap(), start);
}

#[tokio::test]
async fn a_functions_error_is_told_and_the_next_invocation_is_served() {
    let process = function().spawn().await.unwrap();
    let error = process.invoke(&json!({"fail": "so"})).await.unwrap_err();
    let expected = FunctionError { error_type: "Asked".to_owned(), message: "so".to_owned() };
    assert_eq!(error.function_error(), Some(&expected));
    assert_eq!(process.invoke(&json!({"again": true})).await.unwrap()["event"], json!({"again": true}));
}

#[tokio::test]
async fn a_process_that_ends_fails_the_invocation_with_its_last_lines() {
    let process = function().spawn().await.unwrap();
    let error = process.invoke(&json!({"exit": 7})).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "get an answer: the process ended with exit status: 7; its last lines:\nstarted\ngoing"
    );
    assert!(!process.is_running());
    let again = process.invoke(&json!({})).await.unwrap_err();
    assert!(matches!(again, InvokeError::Died { .. }), "{again}");
}

#[tokio::test]
async fn a_failed_start_is_told() {
    let process = function().env("FAIL_AT_START", "no table").spawn().await.unwrap();
    let error = process.invoke(&json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "initialise the function: it failed with Start: no table");

    let error = Function::new("/nowhere/function").spawn().await.unwrap_err();
    assert!(matches!(error, SpawnError::Start { .. }), "{error}");
}

#[tokio::test]
async fn an_invocation_over_its_time_kills_the_process() {
    let process = function().timeout(Duration::from_millis(50)).spawn().await.unwrap();
    let error = process.invoke(&json!({"sleepMs": 60_000})).await.unwrap_err();
    assert_eq!(error.to_string(), "get an answer within 50ms");
    assert_eq!(process.exited().await, "signal: 9 (SIGKILL)");
}

#[tokio::test]
async fn answers_that_lambda_would_refuse_are_refused() {
    let process = function().spawn().await.unwrap();
    let error = process.invoke(&json!({"size": 7_000_000})).await.unwrap_err();
    assert_eq!(error.function_error().unwrap().error_type, "Function.ResponseSizeTooLarge");
    let error = process.invoke(&json!({"raw": "{"})).await.unwrap_err();
    assert!(matches!(error, InvokeError::NotJson(_)), "{error}");
}

#[tokio::test]
async fn a_dropped_process_is_killed() {
    let process = function().spawn().await.unwrap();
    process.ready().await.unwrap();
    let logs = process.logs().clone();
    drop(process);
    // Its outputs close when it is gone.
    let closed = in_time(logs.wait_for("never written"), || "the end of its outputs".to_owned()).await;
    assert_eq!(closed.unwrap(), None);
}

#[tokio::test]
async fn a_pool_serves_at_the_same_time_and_reuses_its_processes() {
    let pool = function().pool(3);
    let slow = || pool.invoke(r#"{"sleepMs":200}"#);
    let (one, two, three) = tokio::join!(slow(), slow(), slow());
    let pid = |answer: Result<local::lambda::Invoked, _>| answer.unwrap().json().unwrap()["pid"].as_u64().unwrap();
    let pids = std::collections::BTreeSet::from([pid(one), pid(two), pid(three)]);
    assert_eq!(pids.len(), 3);

    assert!(pids.contains(&pid(pool.invoke("{}").await)));
    assert_eq!(pool.cold_starts(), 3);
    pool.invoke(r#"{"exit":1}"#).await.unwrap_err();
    pool.invoke("{}").await.unwrap();
    assert_eq!(pool.cold_starts(), 3, "two were left");
}

#[tokio::test]
async fn http_reaches_the_function_and_its_answer_comes_back() {
    let front = HttpFront::start(function().pool(1)).await.unwrap();
    let answer = local::http_client().post(format!("{}/a?b=c", front.url())).body("text").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let event = &answer["event"];
    assert_eq!((&event["version"], &event["rawPath"], &event["body"]), (&json!("2.0"), &json!("/a"), &json!("text")));

    front.pool().invoke(r#"{"exit":1}"#).await.unwrap_err();
    let direct = front.pool().invoke(r#"{"direct":true}"#).await.unwrap().json().unwrap();
    assert_eq!(direct["event"], json!({"direct": true}));
}
