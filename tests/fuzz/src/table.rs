//! A table that somebody has damaged, as a reader meets it through the AWS client.
//!
//! The first byte says what the rest is: `b` a base, `d` a delta, each in the place of the right one and with a checksum
//! that fits; `r` raw answers of DynamoDB, a line each for `BatchGetItem`, `GetItem` and `Query`. Whatever base and delta
//! are, the reader has flags in the end: those of the snapshot, or those of the official layout.

use crate::payload::evaluate;
use crate::snapshot::{demo_base, demo_delta};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flagcache_payload::{Items, Kind};
use flagcache_sdk::Evaluator;
use launchdarkly_server_sdk_dynamodb::SnapshotReader;
use launchdarkly_server_sdk_dynamodb::table::BasePointer;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const TABLE: &str = "flags";
/// After so many requests nothing more is answered: a page may claim that there is always another.
const MOST_REQUESTS: usize = 60;

/// What DynamoDB answers.
#[derive(Debug, Clone)]
struct Answers {
    batch: String,
    item: String,
    query: String,
    asked: Arc<AtomicUsize>,
}

pub(crate) fn run(bytes: &[u8]) {
    let Some((what, rest)) = bytes.split_first() else { return };
    let answers = match what {
        b'b' => Answers::of_snapshot(rest, &demo_delta()),
        b'd' => Answers::of_snapshot(&demo_base(), rest),
        _ => Answers::raw(rest),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else { return };
    let reader = runtime.block_on(async {
        let reader = SnapshotReader::new(client(answers).await, TABLE, "");
        let refreshed = reader.refresh().await;
        let has_failed = refreshed.is_err() && matches!(what, b'b' | b'd');
        assert!(!has_failed, "a damaged snapshot keeps a reader from the official layout: {refreshed:?}");
        reader
    });
    if let Some(flags) = reader.current() {
        for kind in Kind::ALL {
            flags.keys(kind).iter().for_each(|key| drop(flags.json(kind, key)));
        }
        evaluate(&Evaluator::new(flags));
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let whole = Answers::of_snapshot(&demo_base(), &demo_delta());
    let raw = [whole.batch, whole.item, whole.query].join("\n");
    [(b'b', demo_base()), (b'd', demo_delta()), (b'r', raw.into_bytes())]
        .map(|(what, rest)| [&[what], rest.as_slice()].concat())
        .to_vec()
}

async fn client(answers: Answers) -> aws_sdk_dynamodb::Client {
    let variables = |name: &str| match name {
        "AWS_REGION" => Some("us-east-1".to_owned()),
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("local".to_owned()),
        _ => None,
    };
    let config = flagcache_aws::from_lookup(&variables).await;
    let config = config.unwrap_or_else(|error| panic!("this is a configuration: {error}"));
    let config =
        aws_sdk_dynamodb::config::Builder::from(&config).http_client(answers).retry_config(RetryConfig::disabled());
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

impl Answers {
    fn raw(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines().map(str::to_owned);
        let mut line = || lines.next().unwrap_or_else(|| "{}".to_owned());
        Self { batch: line(), item: line(), query: line(), asked: Arc::default() }
    }

    /// A head with this base and delta, and a table in the official layout beside it.
    fn of_snapshot(base: &[u8], delta: &[u8]) -> Self {
        let pointer = BasePointer::new(41, 0, base);
        let number = |value: u64| json!({"N": value.to_string()});
        let binary = |bytes: &[u8]| json!({"B": BASE64_STANDARD.encode(bytes)});
        let ours = |key: &str| json!({"namespace": {"S": "$flagcache"}, "key": {"S": key}});
        let mut head = ours("head");
        for (name, value) in [
            ("format", 1),
            ("generation", 42),
            ("lineage", 7),
            ("nonce", 8),
            ("syncedAtMs", 1_700_000_000_000),
            ("flags", 1),
            ("segments", 0),
            ("baseGeneration", pointer.generation),
            ("baseSlot", pointer.slot),
            ("baseChunks", pointer.chunks),
            ("baseBytes", pointer.bytes),
            ("baseChecksum", pointer.checksum.into()),
        ] {
            head[name] = number(value);
        }
        head["delta"] = binary(delta);
        let mut chunk = ours("base:0:0");
        chunk["generation"] = number(pointer.generation);
        chunk["bytes"] = binary(base);
        let official = json!({
            "namespace": {"S": "features"}, "key": {"S": "f"}, "version": {"N": "1"},
            "item": {"S": r#"{"key":"f","version":1,"on":false}"#},
        });
        let text = |answer: Value| answer.to_string();
        Self {
            batch: text(json!({"Responses": {TABLE: [head, chunk]}, "UnprocessedKeys": {}})),
            item: text(json!({"Item": {"namespace": {"S": "$inited"}, "key": {"S": "$inited"}}})),
            query: text(json!({"Items": [official], "Count": 1})),
            asked: Arc::default(),
        }
    }
}

impl HttpClient for Answers {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Answers {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if self.asked.fetch_add(1, Ordering::Relaxed) >= MOST_REQUESTS {
            return HttpConnectorFuture::ready(Err(ConnectorError::other("enough".into(), None)));
        }
        let operation = request.headers().get("x-amz-target").unwrap_or_default();
        let body = match operation.rsplit('.').next() {
            Some("BatchGetItem") => &self.batch,
            Some("Query") => &self.query,
            _ => &self.item,
        };
        let answer =
            HttpResponse::new(200_u16.try_into().unwrap_or_else(|_| unreachable!()), SdkBody::from(body.as_str()));
        HttpConnectorFuture::ready(Ok(answer))
    }
}
