//! An embedded DynamoDB with a table in the official layout alone, LaunchDarkly's stand-in, and a
//! folder in which `rc` is run.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use local::dynamodb::EmbeddedDynamoDb;
use local::standin::{Standin, StandinOptions};
use serde_json::{Value, json};
use tokio::process::Command;

/// How `rc` calls the table.
pub(crate) const NAME: &str = "dynamodb:eu-west-1/flags";

const FLAG: &str = r#"{"key":"f", "salt":"é","weight":0.10,"on":false,"version":12,"variations":["red","blue",2],"fallthrough":{"rollout":{"variations":[{"variation":0,"weight":100000}]}},"offVariation":0}"#;
const OTHER: &str =
    r#"{"key":"g","on":false,"version":1,"variations":[1,0],"fallthrough":{"variation":0},"offVariation":0}"#;

pub(crate) struct Stage {
    folder: tempfile::TempDir,
    dynamodb: EmbeddedDynamoDb,
    standin: Standin,
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let data = format!(r#"{{"flags":{{"f":{FLAG},"g":{OTHER}}},"segments":{{}}}}"#);
        let options = StandinOptions::default().project("p").environment("e").data(data).unwrap();
        let stage = Self {
            folder: tempfile::tempdir().unwrap(),
            dynamodb: EmbeddedDynamoDb::start().await.unwrap(),
            standin: Standin::start(options).await.unwrap(),
        };
        stage.dynamodb.create_flag_table("flags").unwrap();
        stage.put("features", "f", 12, FLAG).await;
        stage.put("features", "g", 1, OTHER).await;
        stage.call("PutItem", &json!({"Item": {"namespace": {"S": "$inited"}, "key": {"S": "$inited"}}})).await;
        stage
    }

    pub(crate) async fn put(&self, namespace: &str, key: &str, version: u64, json: &str) {
        let item = json!({
            "namespace": {"S": namespace}, "key": {"S": key},
            "version": {"N": version.to_string()}, "item": {"S": json},
        });
        self.call("PutItem", &json!({"Item": item})).await;
    }

    /// The JSON of flag `f` as the table holds it.
    pub(crate) async fn flag(&self) -> String {
        let key = json!({"namespace": {"S": "features"}, "key": {"S": "f"}});
        self.call("GetItem", &json!({"Key": key})).await["Item"]["item"]["S"].as_str().unwrap().to_owned()
    }

    /// Flag `f` as LaunchDarkly has it.
    pub(crate) fn theirs(&self) -> Value {
        let data: Value = serde_json::from_slice(&self.standin.data()).unwrap();
        data["flags"]["f"].clone()
    }

    async fn call(&self, operation: &str, request: &Value) -> Value {
        let mut request = request.clone();
        request["TableName"] = json!("flags");
        let answer = local::http_client()
            .post(self.dynamodb.endpoint())
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("x-amz-date", "20200101T000000Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=A/20200101/r/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
            )
            .body(request.to_string())
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{operation}: {}", answer.status());
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    pub(crate) fn command_with(&self, variables: &[(&str, &str)], line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rc"));
        command.args(line.split_whitespace()).current_dir(self.folder.path()).env_clear();
        command.envs([
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("LAUNCHDARKLY_DYNAMODB_TABLE", "flags"),
            ("LD_API_KEY", "api-local"),
        ]);
        command.env("AWS_ENDPOINT_URL_DYNAMODB", self.dynamodb.endpoint());
        command.env("LAUNCHDARKLY_API_URI", self.standin.url()).env("LAUNCHDARKLY_BASE_URI", self.standin.url());
        command.envs(variables.iter().copied()).kill_on_drop(true);
        command
    }

    pub(crate) async fn run_with(&self, variables: &[(&str, &str)], line: &str) -> Ran {
        let output = local::patience::output(self.command_with(variables, line)).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub(crate) async fn run(&self, line: &str) -> Ran {
        self.run_with(&[], line).await
    }

    /// The lines of the pending changes, in order.
    pub(crate) fn pending(&self) -> Vec<String> {
        let folder = self.folder.path().join("replay/toDo");
        let Ok(listed) = std::fs::read_dir(&folder) else { return Vec::new() };
        let mut paths: Vec<_> = listed.map(|file| file.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read_to_string(path).unwrap().trim_end().to_owned()).collect()
    }

    /// A way to the table that lets everything through up to a request with this word in it, says
    /// that it has come, and lets nothing through any more.
    pub(crate) fn stalled_at(&self, word: &'static str) -> (SocketAddr, Receiver<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (address, table) = (listener.local_addr().unwrap(), self.dynamodb.address());
        let (sender, reached) = channel();
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let sender = sender.clone();
                std::thread::spawn(move || pass_on(client, table, word, || sender.send(()).unwrap_or_default()));
            }
        });
        (address, reached)
    }
}

fn pass_on(mut client: TcpStream, table: SocketAddr, word: &str, reached: impl Fn()) {
    let mut server = TcpStream::connect(table).unwrap();
    let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut answers, &mut to_client));
    let mut buffer = [0; 16_384];
    let mut is_stalled = false;
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        if buffer[..length].windows(word.len()).any(|bytes| bytes == word.as_bytes()) {
            is_stalled = true;
            reached();
        }
        if !is_stalled {
            server.write_all(&buffer[..length]).unwrap();
        }
    }
}
