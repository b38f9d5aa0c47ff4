//! A proxy in front of DynamoDB that counts what a program asks of it and what that would cost.
//!
//! It works for any client of any language: requests are counted by operation, and capacity units
//! are computed by the published rules (`units`) from the sizes of the items themselves, which
//! the proxy looks up behind the client's back. So it slows its client down: count in one run,
//! measure times in another. It can also misbehave as told ([`Fault`]), which no emulator does.

mod counts;
mod fault;
mod half;
mod item;
mod units;

pub use counts::Counts;
pub use fault::{Fault, Misbehaviour};
pub use item::item_size;

use crate::loopback::{self, Answer, Server};
use counts::Charge;
use fault::Faults;
use half::halved;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde_json::{Value, json};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use units::Touch;

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
/// What stands before the operation's name in the target header.
const VERSION: &str = "DynamoDB_20120810.";
/// What the client's headers say of its connection or body, and what a new request says anew.
const HOP_HEADERS: [HeaderName; 4] =
    [http::header::HOST, http::header::CONTENT_LENGTH, http::header::CONNECTION, http::header::ACCEPT_ENCODING];

/// A running proxy. Dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    backend: String,
    client: reqwest::Client,
    counts: Mutex<Counts>,
    faults: Mutex<Faults>,
}

impl Proxy {
    /// Starts a proxy for the DynamoDB endpoint `backend` on a free port.
    pub async fn start(backend: &str) -> io::Result<Self> {
        // An error says that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .no_gzip()
            .timeout(Duration::from_mins(1))
            .build()
            .map_err(io::Error::other)?;
        let shared = Arc::new(Shared {
            backend: backend.to_owned(),
            client,
            counts: Mutex::default(),
            faults: Mutex::default(),
        });
        let state = Arc::clone(&shared);
        let server = Server::start(move |request| {
            let state = Arc::clone(&state);
            async move { state.handle(request).await }
        })
        .await?;
        Ok(Self { server, shared })
    }

    /// The URL to give to clients.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// What was asked since the start or the last call of this function.
    pub fn take_counts(&self) -> Counts {
        std::mem::take(&mut *self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Misbehaves as told from now on; several faults are tried in the order they were given.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).add(fault);
    }

    /// Behaves from now on, and says how many of the injected misbehaviours never happened.
    pub fn behave(&self) -> usize {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clear()
    }
}

impl Shared {
    async fn handle(&self, request: loopback::Request) -> io::Result<Answer> {
        let operation = operation(&request.headers);
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let misbehaviour = {
            let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            faults.next(&operation, &body)
        };
        match misbehaviour {
            None => self.pass(&operation, &request, body).await,
            Some(Misbehaviour::Answer { status, body }) => {
                self.count(&operation, Charge::default());
                Ok(canned(status, &body))
            }
            Some(Misbehaviour::Drop) => {
                self.count(&operation, Charge::default());
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Some(Misbehaviour::LoseAnswer) => {
                self.pass(&operation, &request, body).await?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Some(Misbehaviour::Delay(time)) => {
                tokio::time::sleep(time).await;
                self.pass(&operation, &request, body).await
            }
            Some(Misbehaviour::TakeHalf) => self.take_half(&operation, request, body).await,
        }
    }

    async fn take_half(&self, operation: &str, mut request: loopback::Request, body: Value) -> io::Result<Answer> {
        let Some(half) = halved(operation, &body) else { return self.pass(operation, &request, body).await };
        request.body = half.taken.to_string().into();
        let answer = self.pass(operation, &request, half.taken).await?;
        let mut reply: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status.is_success() {
            reply[half.field] = half.rest;
        }
        Ok(canned(answer.status, &reply))
    }

    async fn pass(&self, operation: &str, request: &loopback::Request, mut body: Value) -> io::Result<Answer> {
        let touched = units::touched(operation, &body);
        let before = self.sizes(&request.headers, &touched).await?;
        let bytes = if units::measured_by_the_backend(operation) {
            body["ReturnConsumedCapacity"] = json!("TOTAL");
            body.to_string().into_bytes()
        } else {
            request.body.to_vec()
        };
        let answer = self.send(&request.headers, operation, bytes).await?;
        let after = match operation {
            "UpdateItem" => self.sizes(&request.headers, &touched).await?,
            _ => Vec::new(),
        };
        let reply: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let charge = if units::is_charged(answer.status, &reply) {
            units::charge(&touched, &before, &after, &reply)
        } else {
            Charge::default()
        };
        self.count(operation, charge);
        Ok(answer)
    }

    /// The sizes of the items as they are now, 0 for those that are not there.
    async fn sizes(&self, headers: &HeaderMap, touched: &[Touch]) -> io::Result<Vec<usize>> {
        let mut sizes = Vec::with_capacity(touched.len());
        for touch in touched {
            let request = json!({"TableName": touch.table, "Key": touch.key, "ConsistentRead": true});
            let answer = self.send(headers, "GetItem", request.to_string().into_bytes()).await?;
            let found: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            sizes.push(found.get("Item").map_or(0, item_size));
        }
        Ok(sizes)
    }

    async fn send(&self, headers: &HeaderMap, operation: &str, body: Vec<u8>) -> io::Result<Answer> {
        let mut request = self.client.request(Method::POST, &self.backend).body(body);
        for (name, value) in headers {
            if name != TARGET && !HOP_HEADERS.contains(name) {
                request = request.header(name, value);
            }
        }
        let response =
            request.header(TARGET, format!("{VERSION}{operation}")).send().await.map_err(io::Error::other)?;
        let (status, mut headers) = (response.status(), response.headers().clone());
        headers.remove(http::header::TRANSFER_ENCODING);
        headers.remove(http::header::CONNECTION);
        let body = response.bytes().await.map_err(io::Error::other)?;
        Ok(Answer { status, headers, body })
    }

    fn count(&self, operation: &str, charge: Charge) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).add(operation, charge);
    }
}

fn operation(headers: &HeaderMap) -> String {
    let target = headers.get(TARGET).and_then(|target| target.to_str().ok()).unwrap_or_default();
    target.strip_prefix(VERSION).unwrap_or(target).to_owned()
}

fn canned(status: StatusCode, body: &Value) -> Answer {
    let mut headers = HeaderMap::new();
    let json = http::HeaderValue::from_static("application/x-amz-json-1.0");
    headers.insert(http::header::CONTENT_TYPE, json);
    Answer { status, headers, body: body.to_string().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;
    use anyhow::Result;
    use local::dynamodb::EmbeddedDynamoDb;

    async fn table_behind_proxy() -> Result<(EmbeddedDynamoDb, Proxy, Table)> {
        let database = EmbeddedDynamoDb::start().await?;
        let proxy = Proxy::start(&database.endpoint()).await?;
        let table = Table::create(&proxy.endpoint()).await?;
        proxy.take_counts();
        Ok((database, proxy, table))
    }

    fn key() -> Value {
        json!({"namespace": {"S": "features"}, "key": {"S": "a"}})
    }

    fn item(size: usize) -> Value {
        let mut item = key();
        item["item"] = json!({"S": "x".repeat(size)});
        item
    }

    #[tokio::test]
    async fn requests_and_units_are_counted_from_the_items_themselves() -> Result<()> {
        let (_database, proxy, table) = table_behind_proxy().await?;
        table.call("PutItem", json!({"Item": item(5_000)})).await?;
        table.call("PutItem", json!({"Item": item(10)})).await?;
        table.call("GetItem", json!({"Key": key()})).await?;
        let query = json!({
            "KeyConditionExpression": "namespace = :namespace",
            "ExpressionAttributeValues": {":namespace": {"S": "features"}},
            "ConsistentRead": true,
        });
        table.call("Query", query).await?;

        let counts = proxy.take_counts();

        let requests = [("GetItem", 1), ("PutItem", 2), ("Query", 1)];
        assert_eq!(counts.requests, requests.map(|(name, count)| (name.to_owned(), count)).into());
        assert_eq!(counts.to_string(), "4 requests, 1.5 read and 10 write units, GetItem 1, PutItem 2, Query 1");
        assert_eq!(proxy.take_counts(), Counts::default());
        Ok(())
    }

    #[tokio::test]
    async fn a_lost_answer_is_a_write_that_took_effect() -> Result<()> {
        let (_database, proxy, table) = table_behind_proxy().await?;
        proxy.inject(Fault::once(Misbehaviour::LoseAnswer).at("PutItem"));

        assert!(table.call("PutItem", json!({"Item": item(10)})).await.is_err());

        assert_eq!(table.items().await?, [item(10)]);
        assert_eq!(proxy.behave(), 0);
        Ok(())
    }

    #[tokio::test]
    async fn half_a_batch_takes_effect_and_the_rest_is_left_over() -> Result<()> {
        let (_database, proxy, table) = table_behind_proxy().await?;
        proxy.inject(Fault::once(Misbehaviour::TakeHalf).at("BatchWriteItem"));
        let mut other = item(10);
        other["key"] = json!({"S": "b"});
        let puts = json!([{"PutRequest": {"Item": item(10)}}, {"PutRequest": {"Item": other}}]);

        let answer = table.call("BatchWriteItem", json!({"RequestItems": {table.name(): puts}})).await?;

        assert_eq!(answer["UnprocessedItems"][table.name()], json!([puts[1]]));
        assert_eq!(table.items().await?, [item(10)]);
        Ok(())
    }

    #[tokio::test]
    async fn a_refused_write_takes_no_effect_and_says_why() -> Result<()> {
        let (_database, proxy, table) = table_behind_proxy().await?;
        proxy.inject(Fault::once(Misbehaviour::throttled()).at("PutItem"));

        let error = table.call("PutItem", json!({"Item": item(10)})).await.unwrap_err();

        assert!(error.to_string().contains("ProvisionedThroughputExceededException"), "{error}");
        assert!(table.items().await?.is_empty());
        table.call("PutItem", json!({"Item": item(10)})).await?;
        Ok(())
    }
}
