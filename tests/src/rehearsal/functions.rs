//! Runs the functions of the rehearsed AWS: the bootstrap that was uploaded, under the Lambda Runtime API, with the
//! variables, memory and timeout that the stack gives it. Every invocation is a cold start.

use super::REGION;
use crate::loopback::{Answer, Request, Server};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use local::lambda::{Function, InvokeError, Invoked};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Where the emulator sends invocations. Dropping it ends it.
pub(super) struct Functions {
    server: Server,
    aws: Arc<OnceLock<String>>,
}

impl Functions {
    pub(super) async fn start() -> io::Result<Self> {
        let aws = Arc::new(OnceLock::new());
        let known = Arc::clone(&aws);
        let server = Server::start(move |request| invoke(request, Arc::clone(&known))).await?;
        Ok(Self { server, aws })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The emulator wants this URL before it has one itself.
    pub(super) fn use_aws_at(&self, endpoint: &str) {
        let _ = self.aws.set(endpoint.to_owned());
    }
}

/// An invocation as the emulator hands it over.
#[derive(Deserialize)]
struct Call {
    name: String,
    bootstrap: PathBuf,
    variables: BTreeMap<String, String>,
    memory: u32,
    timeout: u64,
    event: Value,
}

async fn invoke(request: Request, aws: Arc<OnceLock<String>>) -> io::Result<Answer> {
    let call: Call = serde_json::from_slice(&request.body)?;
    let function = Function::new(&call.bootstrap)
        .named(&call.name)
        .memory(call.memory)
        .timeout(Duration::from_secs(call.timeout))
        .env("AWS_REGION", REGION)
        .env("AWS_ENDPOINT_URL", aws.get().map_or("", String::as_str))
        .envs(call.variables);
    let invoked = match function.spawn().await {
        Ok(process) => {
            let answer = process.invoke_raw(call.event.to_string()).await;
            described(answer, &process.logs().lines())
        }
        Err(error) => described(Err(error.into()), &[]),
    };
    Ok(Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::from(invoked.to_string()) })
}

/// The answer as it came, byte for byte.
fn described(answer: Result<Invoked, InvokeError>, log: &[String]) -> Value {
    match answer {
        Ok(invoked) => json!({"answer": String::from_utf8_lossy(&invoked.body), "failed": false, "log": log}),
        Err(error) => {
            let (kind, message) = match error.function_error() {
                Some(reported) => (reported.error_type.clone(), reported.message.clone()),
                None => ("Runtime.ExitError".to_owned(), error.to_string()),
            };
            let answer = json!({"errorType": kind, "errorMessage": message}).to_string();
            json!({"answer": answer, "failed": true, "log": log})
        }
    }
}
