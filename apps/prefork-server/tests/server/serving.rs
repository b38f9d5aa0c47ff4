//! Endpoints, modes, configuration.

use super::stage::{Server, command, finished, sample_flag, standin, until};
use local::standin::{Endpoint, Misbehaviour, Standin, StandinOptions};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn endpoints_answer_as_the_contract_says() {
    let standin = standin().await;
    let server = Server::start(&standin, &[]).await;
    let health = server.json("/").await;
    let fields: Vec<&String> = health.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["initialized", "pid", "ppid", "status"]);
    assert_eq!((&health["status"], &health["initialized"]), (&json!("ok"), &json!(true)));
    assert_eq!(health["ppid"], server.master().as_raw());
    assert_eq!(server.get("/flag").await.unwrap(), r#"{"flag":"sample-flag","value":false,"initialized":true}"#);
    let named = server.json("/flag/SAMPLE_API_URL?key=somebody&kind=user").await;
    assert_eq!(named["value"], "https://api-v2.example.com");
    let context = server.json("/flag/new-checkout?context=%7B%22kind%22%3A%22user%22%2C%22key%22%3A%22k%22%7D").await;
    assert_eq!(context, json!({"flag": "new-checkout", "value": true, "initialized": true}));
    assert_eq!(server.json("/flag/unknown").await["value"], false);
}

#[tokio::test]
async fn the_flags_routes_are_those_of_the_reader() {
    let server = Server::start(&standin().await, &[]).await;
    let all = server.json("/flags?key=k").await;
    assert_eq!(all["flags"]["sample-flag"]["reason"]["kind"], "OFF");
    assert_eq!(server.json("/flags/sample-flag").await["variation"], 1);
    let (status, body) = server.ask("POST", "/flags/unknown", r#"{"context":{"key":"k"},"default":7}"#).await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["value"], &body["reason"]["errorKind"]), (200, &json!(7), &json!("FLAG_NOT_FOUND")));
    for (method, target, body, status) in [
        ("GET", "/flags/unknown", "", 404),
        ("GET", "/flags?kind=org", "", 400),
        ("POST", "/flags", "{", 400),
        ("DELETE", "/flags", "", 405),
        ("POST", "/", "", 405),
        ("POST", "/flag", "", 405),
        ("GET", "/nowhere", "", 404),
        ("GET", "/flag/", "", 404),
        ("GET", "/flag/a/b", "", 404),
    ] {
        assert_eq!(server.ask(method, target, body).await.unwrap().0, status, "{method} {target}");
    }
    let (head, body) = server
        .exchange(b"HEAD / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        .await
        .unwrap()
        .split_once("\r\n\r\n")
        .map(|(head, body)| (head.to_owned(), body.to_owned()))
        .unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && body.is_empty(), "{head}");
}

#[tokio::test]
async fn people_get_a_page_and_prometheus_its_metrics() {
    let server = Server::start(&standin().await, &[]).await;
    server.until_grown_to(3).await;
    let page = server.exchange(b"GET / HTTP/1.1\r\nhost: h\r\naccept: text/html\r\nconnection: close\r\n\r\n").await;
    let page = page.unwrap();
    assert!(page.contains("content-type: text/html"), "{page}");
    for worker in server.workers().await {
        assert!(page.contains(&format!(">{worker}</th>")), "{page}");
    }
    let before = requests(&server).await;
    server.get("/flag").await.unwrap();
    assert_eq!(requests(&server).await, before + 2);
    assert_eq!(server.json("/health").await["status"], "ok");
}

async fn requests(server: &Server) -> u64 {
    let metrics = server.get("/metrics").await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix("prefork_requests_total "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn workers_tell_that_they_are_forked() {
    let server = Server::start(&standin().await, &["--workers", "3"]).await;
    until(async || server.workers().await.len() == 3).await;
    for worker in server.workers().await {
        assert!(server.log().contains(&format!("postfork() completed successfully in worker {worker}\n")));
    }
}

#[tokio::test]
async fn without_preload_workers_get_their_flags_themselves() {
    let standin = standin().await;
    for options in [&["--no-preload"][..], &["--no-preload", "--stream", "per-worker"]] {
        let server = Server::start(&standin, options).await;
        until(async || server.json("/").await["initialized"] == true).await;
        standin.upsert_flag(&sample_flag(true, 0)).unwrap();
        server.until_all_say(true).await;
        standin.upsert_flag(&sample_flag(false, 0)).unwrap();
        server.until_all_say(false).await;
    }
    assert!(standin.requests_to(Endpoint::Polling).is_empty());
}

#[tokio::test]
async fn one_process_serves_for_development() {
    let standin = standin().await;
    let mut server = Server::start(&standin, &["--dev"]).await;
    assert_eq!(server.json("/").await["pid"], server.master().as_raw());
    assert!(server.children().is_empty());
    standin.upsert_flag(&sample_flag(true, 0)).unwrap();
    server.until_all_say(true).await;
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn without_launchdarkly_the_server_starts_and_recovers() {
    let standin = standin().await;
    standin.misbehave(Misbehaviour::status(503));
    standin.misbehave(Misbehaviour::status(503).at(Endpoint::Stream));
    let server = Server::start(&standin, &["--preload-timeout", "1"]).await;
    assert_eq!(server.get("/flag").await.unwrap(), r#"{"flag":"sample-flag","value":false,"initialized":false}"#);
    assert_eq!(server.json("/").await["initialized"], false);
    assert_eq!(server.ask("GET", "/flags", "").await.unwrap().0, 503);
    assert_eq!(server.ask("GET", "/health", "").await.unwrap().0, 503);
    standin.upsert_flag(&sample_flag(true, 0)).unwrap();
    standin.behave();
    server.until_all_say(true).await;
    assert_eq!(server.json("/").await["initialized"], true);
}

#[tokio::test]
async fn a_launchdarkly_that_never_answers_holds_the_start_up_for_a_bounded_time() {
    let standin = standin().await;
    standin.misbehave(Misbehaviour::delay(Duration::from_hours(1)));
    let server = Server::start(&standin, &["--preload-timeout", "0.3"]).await;
    assert!(server.log().contains("did not answer within 300 ms"), "{}", server.log());
}

#[tokio::test]
async fn the_env_file_gives_what_the_environment_does_not_have() {
    let standin = Standin::start(StandinOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("variables");
    std::fs::write(&file, "LAUNCHDARKLY_SDK_KEY=sdk-local\nLD_FLAG_KEY=new-checkout\nWORKERS=1\nTHREADS=1\n").unwrap();
    let mut command = command(&standin.url());
    command.env_remove("LAUNCHDARKLY_SDK_KEY");
    let server = Server::run(command, &["--env-file", file.to_str().unwrap()]).await;
    assert_eq!(server.json("/flag").await["flag"], "new-checkout");
    assert_eq!(server.workers().await.len(), 1);
}

#[tokio::test]
async fn wrong_configuration_ends_with_2_and_says_what_is_wrong() {
    let run = |name: &str, value: &str, options: &[&str]| {
        let mut command = command("http://127.0.0.1:1");
        command.env(name, value).args(options);
        finished(command)
    };
    for (name, value, expected) in [
        ("LAUNCHDARKLY_SDK_KEY", "", "prefork-server: LAUNCHDARKLY_SDK_KEY is not set"),
        ("WORKERS", "many", "prefork-server: read WORKERS=\"many\": it may be a whole number from 1 to 256"),
        ("THREADS", "0", "prefork-server: read THREADS=\"0\": it may be"),
        ("LAUNCHDARKLY_STREAM_URI", "here", "prefork-server: LAUNCHDARKLY_STREAM_URI is `here`"),
        ("LOG_LEVEL", "loud", "prefork-server: read LOG_LEVEL=\"loud\": it may be DEBUG, INFO"),
    ] {
        let (code, text) = run(name, value, &["--env-file", "/no/such/file"]);
        assert!(code == Some(2) && text.starts_with(expected), "{code:?} {text}");
    }
    let (code, text) = run("BIND", "nowhere", &[]);
    assert!(code == Some(2) && text.contains("BIND (--bind): listen on \"nowhere\""), "{code:?} {text}");
    assert_eq!(run("X", "", &["--timeout", "never"]).0, Some(2));
}

#[tokio::test]
async fn a_port_that_is_taken_ends_with_1_and_names_it() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = command("http://127.0.0.1:1");
    command.args(["--bind", &address]);
    let (code, text) = finished(command);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("listen on {address}: another process listens there already")), "{text}");
}
