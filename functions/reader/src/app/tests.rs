//! Invocations of every kind, over tables in every state.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use flagcache::source::{Looked, News, Source};
use flagcache::{Fault, Problem as Kind};
use flagcache_lambda::event::Body;
use flagcache_payload::Payload;
use serde_json::{Value, json};

use super::*;

/// Answers looks in order; the last answer is given again and again.
struct Scripted(Mutex<VecDeque<Look>>);

type Look = Result<Option<News>, Fault>;

impl Source for Scripted {
    fn look(&self) -> Looked<'_> {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { answer.unwrap() })
    }
}

fn news() -> Look {
    let body =
        r#"{"flags":{"plain":{"key":"plain","version":3,"on":true,"variations":[1],"fallthrough":{"variation":0}}}}"#;
    Payload::parse(body.into())
        .map(|items| Some(News { items: Arc::new(items), generation: Some(42) }))
        .map_err(|error| Fault { problem: Kind::Other, message: error.to_string() })
}

fn fault() -> Look {
    Err(Fault { problem: Kind::NotFilled, message: "table `t` holds no flags: run store".to_owned() })
}

fn app(looks: Vec<Look>) -> App {
    let lookup = |name: &str| match name {
        "LAUNCHDARKLY_DYNAMODB_TABLE" => Some("t".to_owned()),
        "LAUNCHDARKLY_CACHE_TTL" => Some("0".to_owned()),
        _ => None,
    };
    let config = Config::from_lookup(&lookup).unwrap();
    App::of(Ok(Flags::over(&config, Box::new(Scripted(Mutex::new(looks.into()))))))
}

fn misconfigured() -> App {
    App::of(Err(Config::from_lookup(&|_| None).unwrap_err()))
}

fn event(invocation: Invocation) -> Event {
    Event {
        invocation,
        request_id: "id".to_owned(),
        deadline: SystemTime::now() + Duration::from_secs(30),
        function_name: "reader".to_owned(),
    }
}

async fn ask(app: &App, method: &str, path: &str, body: Body) -> (u16, Vec<(String, String)>, Value) {
    let request = flagcache_lambda::Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body,
        source: flagcache_lambda::event::Source::FunctionUrl,
    };
    match app.answer(event(Invocation::Http(request))).await {
        Outcome::Answer(answer) => (answer.status, answer.headers, serde_json::from_str(&answer.body).unwrap()),
        other => panic!("{other:?}"),
    }
}

async fn get(app: &App, path: &str) -> (u16, Value) {
    let (status, _, body) = ask(app, "GET", path, Body::default()).await;
    (status, body)
}

#[tokio::test]
async fn flags_are_answered_with_the_age_of_their_data() {
    let app = app(vec![news()]);
    for (path, status) in
        [("/", 200), ("/flags", 200), ("/flags/plain", 200), ("/flags/missing", 404), ("/health", 200)]
    {
        let (answered, headers, _) = ask(&app, "GET", path, Body::default()).await;
        assert_eq!((answered, headers), (status, vec![("Age".to_owned(), "0".to_owned())]), "{path}");
    }
    let expected =
        json!({"flag": "plain", "value": 1, "variation": 0, "reason": {"kind": "FALLTHROUGH"}, "initialized": true});
    assert_eq!(get(&app, "/flags/plain").await, (200, expected));
    assert_eq!(
        get(&app, "/health").await,
        (200, json!({"status": "ok", "initialized": true, "generation": 42, "ageSeconds": 0}))
    );
}

#[tokio::test]
async fn without_flags_the_cause_is_answered() {
    let app = app(vec![fault()]);
    let error = json!({"code": "not-filled", "message": "table `t` holds no flags: run store"});
    for path in ["/", "/flags", "/flags/plain"] {
        assert_eq!(get(&app, path).await, (503, json!({"error": error})), "{path}");
    }
    let (status, health) = get(&app, "/health").await;
    assert_eq!((status, &health["status"], &health["error"]), (503, &json!("empty"), &error));
}

#[tokio::test]
async fn a_table_that_fails_later_leaves_the_flags_as_they_were() {
    let app = app(vec![news(), fault()]);
    assert_eq!(get(&app, "/flags/plain").await.0, 200);
    assert_eq!(get(&app, "/flags/plain").await.0, 200);
    let (status, health) = get(&app, "/health").await;
    assert_eq!((status, &health["status"], &health["generation"]), (200, &json!("stale"), &json!(42)));
}

#[tokio::test]
async fn a_misconfiguration_is_every_answer_and_no_crash() {
    let app = misconfigured();
    let message = "LAUNCHDARKLY_DYNAMODB_TABLE is not set; set it to the name of the table that store fills";
    let error = json!({"code": "misconfigured", "message": message});
    assert_eq!(get(&app, "/flags").await, (500, json!({"error": error})));
    let (status, health) = get(&app, "/health").await;
    assert_eq!((status, &health["error"]), (503, &error));
    let outcome = app.answer(event(Invocation::Manual(json!({})))).await;
    assert!(matches!(outcome, Outcome::Answer(answer) if answer.status == 500));
    app.send_events(SystemTime::now()).await;
}

#[tokio::test]
async fn what_is_not_served_is_said() {
    let app = app(vec![news()]);
    let (status, body) = get(&app, "/nowhere").await;
    assert_eq!(status, 404);
    assert_eq!(body["error"]["message"], "there is nothing at /nowhere; there are /, /flags, /flags/KEY and /health");
    let (status, headers, _) = ask(&app, "POST", "/health", Body::default()).await;
    assert_eq!((status, headers[0].1.as_str()), (405, "GET"));
    let (status, headers, _) = ask(&app, "PUT", "/flags", Body::default()).await;
    assert_eq!((status, headers[0].1.as_str()), (405, "GET, POST"));
    assert_eq!(ask(&app, "POST", "/flags", Body::from_base64("~")).await.0, 400);
    assert_eq!(ask(&app, "POST", "/flags", Body::from_base64("e30=")).await.0, 200);
}

#[tokio::test]
async fn a_direct_invocation_is_answered_as_a_request_is() {
    let app = app(vec![news()]);
    for (payload, status, pointer, value) in [
        (json!({"flag": "plain"}), 200, "/value", json!(1)),
        (json!({"flag": "missing", "default": "d"}), 200, "/value", json!("d")),
        (json!({"flag": "missing"}), 404, "/error/code", json!("flag-not-found")),
        (json!({}), 200, "/flags/plain/version", json!(3)),
        (Value::Null, 200, "/flags/plain/version", json!(3)),
        (json!({"context": {"kind": "user"}}), 400, "/error/message", json!("context.key is missing")),
        (json!([1]), 400, "/error/message", json!("the body must be a JSON object")),
    ] {
        let Outcome::Answer(answer) = app.answer(event(Invocation::Manual(payload.clone()))).await else { panic!() };
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((answer.status, body.pointer(pointer)), (status, Some(&value)), "{payload}");
    }
}

#[tokio::test]
async fn a_schedule_does_no_harm() {
    let app = app(vec![news()]);
    let schedule = Invocation::Schedule { id: String::new(), time: String::new() };
    let Outcome::Value(value) = app.answer(event(schedule)).await else { panic!() };
    assert_eq!(value["status"], "ok");
}

#[test]
fn no_time_remains_after_a_deadline() {
    assert_eq!(remaining(SystemTime::UNIX_EPOCH, ANSWERING), Duration::ZERO);
    let soon = SystemTime::now() + Duration::from_millis(500);
    assert!(remaining(soon, ANSWERING) <= Duration::from_millis(300));
}
