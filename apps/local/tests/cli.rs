//! The program itself: what it prints, how it ends.

#![expect(clippy::unwrap_used, reason = "a test")]

use local::patience::{in_time, output};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

fn local(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn ended(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = output(local(arguments)).await.unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

const FREE_PORTS: [&str; 5] = ["up", "--no-functions", "--dynamodb-port=0", "--launchdarkly-port=0", "--board-port=0"];

/// A running `local up`, and the URLs that it printed.
async fn up(arguments: &[&str]) -> (Child, String, Lines<BufReader<ChildStdout>>) {
    let mut child = local(arguments).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut banner = String::new();
    let told = async {
        while !banner.contains("Ctrl-C ends everything") {
            banner.push_str(&lines.next_line().await.unwrap().unwrap());
            banner.push('\n');
        }
    };
    in_time(told, || "what `local up` prints".to_owned()).await.unwrap();
    (child, banner, lines)
}

fn url<'a>(banner: &'a str, name: &str) -> &'a str {
    banner.lines().find_map(|line| line.strip_prefix(name)).unwrap().split_whitespace().next().unwrap()
}

#[tokio::test]
async fn up_serves_until_it_is_asked_to_end() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut child, banner, mut lines) = up(&FREE_PORTS).await;
        let launchdarkly = url(&banner, "LaunchDarkly");
        let payload =
            local::http_client().get(format!("{launchdarkly}/sdk/latest-all")).header("authorization", "sdk-local");
        assert_eq!(payload.send().await.unwrap().status(), 200);
        for name in ["DynamoDB", "flag board"] {
            assert_eq!(local::http_client().get(url(&banner, name)).send().await.unwrap().status(), 200, "{name}");
        }
        for variable in
            ["AWS_ENDPOINT_URL_DYNAMODB=http://127", "LAUNCHDARKLY_SDK_KEY=sdk-local", "LD_API_KEY=api-local"]
        {
            assert!(banner.contains(variable), "{variable} in {banner}");
        }
        assert!(!banner.contains('\u{1b}'), "colour only on a terminal");

        let on = local::http_client()
            .patch(format!("{launchdarkly}/api/v2/flags/default/sample-flag"))
            .header("authorization", "api-local")
            .body(r#"[{"op":"replace","path":"/environments/staging/on","value":true}]"#);
        assert_eq!(on.send().await.unwrap().status(), 200);
        let line = in_time(lines.next_line(), || "a line for the webhook".to_owned()).await.unwrap();
        assert!(line.unwrap().unwrap().contains("webhook  not sent"));

        kill_process(Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap(), signal).unwrap();
        let status = in_time(child.wait(), || format!("its end after {signal:?}")).await.unwrap();
        assert_eq!(status.unwrap().code(), Some(0));
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_one_clear_line() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, error) = ended(&["up", "--dynamodb-port", &port, "--launchdarkly-port", "0"]).await;
    assert_eq!(code, Some(1));
    assert_eq!(
        error,
        format!(
            "local: failed to serve DynamoDB on 127.0.0.1:{port}: the port is taken; choose another with --dynamodb-port\n"
        )
    );
}

#[tokio::test]
async fn the_boards_own_port_is_a_wish_and_a_named_one_is_an_order() {
    // Whoever has it, the program starts, and says where the board is.
    let _taken = tokio::net::TcpListener::bind("127.0.0.1:8080").await;
    let (_child, banner, _) = up(&FREE_PORTS[..4]).await;
    assert_eq!(local::http_client().get(url(&banner, "flag board")).send().await.unwrap().status(), 200);

    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = format!("--board-port={}", taken.local_addr().unwrap().port());
    let (code, error) = ended(&[&FREE_PORTS[..4], &[port.as_str()]].concat()).await;
    assert_eq!((code, error.contains("choose another with --board-port")), (Some(1), true), "{error}");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let (code, error) = ended(&["demo", "--functions", folder]).await;
    assert_eq!(code, Some(1));
    assert!(error.starts_with(&format!("local: failed to find the function {folder}/store: build")), "{error}");

    let data = format!("{folder}/data.json");
    let (code, error) = ended(&["up", "--dynamodb-port", "0", "--data", &data]).await;
    assert_eq!(
        (code, error.contains(&format!("failed to read the data {data}: No such file"))),
        (Some(1), true),
        "{error}"
    );
    std::fs::write(&data, r#"{"flags":{"a":{"key":"a"}}}"#).unwrap();
    let (_, error) = ended(&["up", "--dynamodb-port", "0", "--data", &data]).await;
    assert!(error.contains("the flag `a`: it has no `version`"), "{error}");

    let (code, _) = ended(&["up", "--dynamodb-port", "many"]).await;
    assert_eq!(code, Some(2), "wrong usage");
}

#[tokio::test]
async fn a_database_in_a_file_and_data_from_a_file_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let (data, database) = (folder.path().join("data.json"), folder.path().join("flags.db"));
    std::fs::write(&data, r#"{"flags":{"a":{"key":"a","version":1}}}"#).unwrap();
    let mut arguments = FREE_PORTS.to_vec();
    arguments.extend(["--data", data.to_str().unwrap(), "--database", database.to_str().unwrap()]);
    let (_child, banner, _) = up(&arguments).await;
    let url = format!("{}/sdk/latest-all", url(&banner, "LaunchDarkly"));
    let payload = local::http_client().get(url).header("authorization", "sdk-local").send().await.unwrap();
    assert_eq!(payload.text().await.unwrap(), r#"{"flags":{"a":{"key":"a","version":1}},"segments":{}}"#);
    assert!(database.exists());
}
