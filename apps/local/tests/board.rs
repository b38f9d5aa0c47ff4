//! The flag board over HTTP, without functions and without a browser.

#![expect(clippy::unwrap_used, reason = "a test")]

use local::board::{Board, Places};
use local::dynamodb::EmbeddedDynamoDb;
use local::patience::in_time;
use local::standin::{Misbehaviour, Standin, StandinOptions, WebhookMode};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use std::sync::Arc;
use tokio::net::TcpListener;

struct Stage {
    board: Board,
    standin: Arc<Standin>,
}

impl Stage {
    async fn with(options: StandinOptions, change: impl FnOnce(&mut Places)) -> Self {
        let standin = Arc::new(Standin::start(options).await.unwrap());
        let dynamodb = EmbeddedDynamoDb::start().await.unwrap();
        dynamodb.create_flag_table("flags").unwrap();
        let mut places = Places {
            standin: standin.clone(),
            dynamodb: dynamodb.into(),
            table: "flags".to_owned(),
            functions: None,
            env_file: None,
            prefork: None,
        };
        change(&mut places);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { board: Board::start_on(listener, places).unwrap(), standin }
    }

    async fn start() -> Self {
        Self::with(StandinOptions::default(), |_| {}).await
    }

    fn get(&self, path: &str) -> RequestBuilder {
        local::http_client().get(format!("{}{path}", self.board.url()))
    }

    async fn text(&self, path: &str) -> String {
        self.get(path).send().await.unwrap().text().await.unwrap()
    }

    async fn state(&self) -> Value {
        serde_json::from_str(&self.text("/state").await).unwrap()
    }

    /// Sends a form as a browser does; the status after redirects.
    async fn post(&self, path: &str, form: &'static str) -> StatusCode {
        let request = local::http_client().post(format!("{}{path}", self.board.url())).body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.send().await.unwrap().status()
    }

    async fn row(&self, key: &str) -> Value {
        let state = self.state().await;
        state["rows"].as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone()
    }
}

/// Reads events until `text` was in one.
async fn read_until(events: &mut Response, text: &str) {
    let read = async {
        let mut seen = String::new();
        while !seen.contains(text) {
            seen.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
        }
    };
    in_time(read, || format!("{text:?} in an event")).await.unwrap();
}

#[tokio::test]
async fn a_switch_is_a_form_and_its_answer_is_the_page_with_what_happened() {
    let stage = Stage::start().await;
    assert!(stage.text("/").await.contains("Nothing has changed yet"));
    assert_eq!(stage.row("sample-flag").await["on"], false);

    assert_eq!(stage.post("/flags/sample-flag", "on=true").await, 200);

    let row = stage.row("sample-flag").await;
    assert_eq!((&row["on"], &row["version"]), (&true.into(), &2.into()));
    assert_eq!(row["cells"][0]["text"], "lost", "there is no store to send webhooks to");
    let page = stage.text("/").await;
    assert!(page.contains("sample-flag is on, but the table does not have it"), "{page}");
}

#[tokio::test]
async fn a_change_that_somebody_else_makes_is_shown_too() {
    let stage = Stage::start().await;
    let mut events = stage.get("/events").send().await.unwrap();
    read_until(&mut events, "data: <main").await;
    stage.standin.set_flag_on("sample-flag", true).unwrap();
    read_until(&mut events, "sample-flag is on, but").await;
    stage.standin.delete_flag("sample-flag").unwrap();
    read_until(&mut events, "9 flags").await;
}

#[tokio::test]
async fn faults_are_the_stand_ins_whoever_sets_them() {
    let stage = Stage::start().await;
    let on = async || {
        let seen = stage.state().await;
        let faults = seen["faults"].as_array().unwrap().iter().filter(|fault| fault["on"] == true);
        faults.map(|fault| fault["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(on().await, Vec::<String>::new());
    stage.standin.misbehave(Misbehaviour::stale(1));
    assert_eq!(stage.post("/faults/lost-webhooks", "on=true").await, 200);
    assert_eq!(on().await, ["stale-answers", "lost-webhooks"]);
    assert_eq!(stage.standin.webhook_mode(), WebhookMode::Off);
    for fault in ["stale-answers", "lost-webhooks"] {
        stage.post(&format!("/faults/{fault}"), "on=false").await;
    }
    assert_eq!((on().await, stage.standin.misbehaviours()), (vec![], vec![]));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused() {
    let stage = Stage::start().await;
    for (path, form, status) in [
        ("/flags/no-such-flag", "on=true", 404),
        ("/flags/sample-flag", "on=perhaps", 422),
        ("/flags/sample-flag", "", 422),
        ("/faults/earthquake", "on=true", 404),
        ("/sync", "", 409),
    ] {
        assert_eq!(stage.post(path, form).await, status, "{path} {form}");
    }
    assert_eq!(stage.get("/flags/sample-flag").send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn keys_and_values_are_text_and_never_markup() {
    let key = "<script>alert('x')</script>&\"";
    let payload = serde_json::json!({"flags": {key: {"key": key, "on": false, "version": 1}}});
    let stage = Stage::with(StandinOptions::default().data(payload.to_string()).unwrap(), |_| {}).await;
    let page = stage.text("/?filter=%22%3E%3Cscript%3Ealert(1)").await;
    assert!(!page.contains("<script>alert"), "{page}");
    let page = stage.text("/").await;
    assert!(page.contains("&lt;script&gt;alert") && !page.contains("<script>alert"), "{page}");
    let action = page.split("action=\"/flags/").nth(1).unwrap().split('"').next().unwrap().replace("&#x2f;", "/");
    assert_eq!(stage.post(&format!("/flags/{action}"), "on=true").await, 200);
    assert_eq!(stage.row(key).await["on"], true);
}

#[tokio::test]
async fn a_filter_finds_flags_among_many() {
    let flags: serde_json::Map<_, _> =
        (0..150).map(|number| (format!("flag-{number}"), serde_json::json!({"version": 1}))).collect();
    let payload = serde_json::json!({"flags": flags}).to_string();
    let stage = Stage::with(StandinOptions::default().data(payload).unwrap(), |_| {}).await;
    let all = stage.state().await;
    assert_eq!((all["rows"].as_array().unwrap().len(), &all["leftOut"]), (100, &50.into()));
    let found: Value = serde_json::from_str(&stage.text("/state?filter=FLAG-14").await).unwrap();
    let keys: Vec<_> = found["rows"].as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 11, "{keys:?}");
}

#[tokio::test]
async fn a_variable_that_changes_in_the_env_file_arrives_with_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".env");
    std::fs::write(&file, "SAMPLE_API_URL=https://api-v2.example.com\n").unwrap();
    let stage = Stage::with(StandinOptions::default(), |places| places.env_file = Some(file.clone())).await;
    assert_eq!(stage.row("SAMPLE_API_URL").await["cells"][3]["text"], "https://api-v2.example.com");

    let mut events = stage.get("/events").send().await.unwrap();
    stage.post("/flags/SAMPLE_API_URL", "on=false").await;
    std::fs::write(&file, "SAMPLE_API_URL=https://api-default.example.com\n").unwrap();
    read_until(&mut events, "https:&#x2f;&#x2f;api-default.example.com").await;
    let cell = stage.row("SAMPLE_API_URL").await["cells"][3].clone();
    assert_eq!((&cell["text"], &cell["tone"]), (&"https://api-default.example.com".into(), &"reached".into()));
    assert!(cell["after"].as_str().unwrap().ends_with('s'), "{cell}");
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let stage = Stage::start().await;
    let answer = stage.get("/").send().await.unwrap();
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    let page = answer.text().await.unwrap();
    for (path, kind) in [("/style.css", "text/css"), ("/script.js", "text/javascript"), ("/icon.svg", "image/svg")] {
        assert!(page.contains(path), "{path}");
        let answer = stage.get(path).send().await.unwrap();
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with(kind));
        let text = answer.text().await.unwrap().replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("http://") && !text.contains("https://"), "{path}");
    }
}
