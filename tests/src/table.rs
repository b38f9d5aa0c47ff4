//! A table of the official layout on an emulator: made, filled and read over plain HTTP.
//!
//! Without an AWS client, so that a fault in how we use one cannot hide behind the same use here.

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use local::patience::PATIENCE;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most writes that DynamoDB takes in one batch.
const BATCH: usize = 25;
/// Emulators want a signature to be there and check nothing of it.
const SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=AKIALOCAL/20200101/us-east-1/dynamodb/aws4_request, \
                         SignedHeaders=host;x-amz-date;x-amz-target, Signature=0";

/// A table with the keys `namespace` and `key`.
#[derive(Debug, Clone)]
pub struct Table {
    endpoint: String,
    name: String,
    client: reqwest::Client,
}

impl Table {
    /// Makes an empty table with a name of its own.
    pub async fn create(endpoint: &str) -> Result<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        // An error says that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let table = Self {
            endpoint: endpoint.to_owned(),
            name: format!("flags-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)),
            client: reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?,
        };
        let request = json!({
            "AttributeDefinitions": [
                {"AttributeName": "namespace", "AttributeType": "S"},
                {"AttributeName": "key", "AttributeType": "S"},
            ],
            "KeySchema": [
                {"AttributeName": "namespace", "KeyType": "HASH"},
                {"AttributeName": "key", "KeyType": "RANGE"},
            ],
            "BillingMode": "PAY_PER_REQUEST",
        });
        table.call("CreateTable", request).await?;
        Ok(table)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The variables by which programs find it, through `endpoint` where that is not its own.
    pub fn variables(&self, endpoint: &str) -> [(&'static str, String); 2] {
        [("LAUNCHDARKLY_DYNAMODB_TABLE", self.name.clone()), ("AWS_ENDPOINT_URL_DYNAMODB", endpoint.to_owned())]
    }

    /// Calls an operation on this table; for one that names tables itself, the name is ignored.
    pub async fn call(&self, operation: &str, mut request: Value) -> Result<Value> {
        request["TableName"] = json!(self.name);
        self.send(operation, &request).await
    }

    /// Every item of the table, as attribute values.
    pub async fn items(&self) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut from = Value::Null;
        loop {
            let mut request = json!({"ConsistentRead": true});
            if !from.is_null() {
                request["ExclusiveStartKey"] = from;
            }
            let mut page = self.call("Scan", request).await?;
            match page["Items"].take() {
                Value::Array(found) => items.extend(found),
                _ => bail!("a page of the scan has no items: {page}"),
            }
            from = page["LastEvaluatedKey"].take();
            if from.is_null() {
                return Ok(items);
            }
        }
    }

    /// Fills it with a payload in the official layout alone, as programs other than ours do.
    pub async fn fill(&self, payload: &str) -> Result<()> {
        let payload: BTreeMap<&str, BTreeMap<String, &RawValue>> =
            serde_json::from_str(payload).context("failed to read the payload")?;
        let mut writes = Vec::new();
        for (kind, namespace) in [("segments", "segments"), ("flags", "features")] {
            for (key, raw) in payload.get(kind).into_iter().flatten() {
                let item: Value = serde_json::from_str(raw.get())?;
                writes.push(json!({"PutRequest": {"Item": {
                    "namespace": {"S": namespace},
                    "key": {"S": key},
                    "version": {"N": item["version"].to_string()},
                    "item": {"S": raw.get()},
                }}}));
            }
        }
        let batches: Vec<Value> =
            writes.chunks(BATCH).map(|batch| json!({"RequestItems": {&*self.name: batch}})).collect();
        stream::iter(&batches)
            .map(|batch| self.send("BatchWriteItem", batch))
            .buffer_unordered(4)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        let mark = json!({"namespace": {"S": "$inited"}, "key": {"S": "$inited"}});
        self.call("PutItem", json!({"Item": mark})).await?;
        Ok(())
    }

    async fn send(&self, operation: &str, request: &Value) -> Result<Value> {
        let answer = self
            .client
            .post(&self.endpoint)
            .header("Content-Type", "application/x-amz-json-1.0")
            .header("X-Amz-Target", format!("DynamoDB_20120810.{operation}"))
            .header("X-Amz-Date", "20200101T000000Z")
            .header("Authorization", SIGNATURE)
            .body(request.to_string())
            .send()
            .await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            bail!("{operation} on table {} failed with status {status}: {text}", self.name);
        }
        serde_json::from_str(&text).with_context(|| format!("{operation} did not answer with JSON"))
    }
}
