//! A Parameter Store with a few parameters, which can be told to refuse.
//!
//! Speaks the JSON protocol of Systems Manager for `GetParameter` alone, as the Systems Manager API reference has it. A
//! parameter read without decryption comes as what it is at rest, so that whoever forgets to ask for it is found out.

use crate::loopback::{Answer, Request, Server};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A running Parameter Store. Dropping it ends it.
#[derive(Debug)]
pub struct ParameterStore {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    values: BTreeMap<String, String>,
    refusal: Option<Refusal>,
    asked: Vec<String>,
}

/// How it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The role may not read parameters.
    AccessDenied,
    /// Too many requests.
    Throttled,
    /// Status 500.
    Broken,
    /// The connection closes without an answer.
    HangUp,
    /// No answer, until it refuses otherwise or no longer.
    Silence,
}

impl ParameterStore {
    /// Starts one on a free port.
    pub async fn start<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> io::Result<Self> {
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let state = Arc::new(Mutex::new(State { values, ..State::default() }));
        let shared = Arc::clone(&state);
        let server = Server::start(move |request| {
            let shared = Arc::clone(&shared);
            async move {
                lock(&shared).ask(&request);
                while lock(&shared).refusal == Some(Refusal::Silence) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                lock(&shared).answer(&request)
            }
        })
        .await?;
        Ok(Self { server, state })
    }

    /// The variables by which programs find it.
    pub fn variables(&self) -> [(&'static str, String); 1] {
        [("AWS_ENDPOINT_URL_SSM", format!("http://{}", self.server.address()))]
    }

    /// Gives a parameter another value.
    pub fn set(&self, name: &str, value: &str) {
        lock(&self.state).values.insert(name.to_owned(), value.to_owned());
    }

    /// Refuses from now on, or no longer.
    pub fn refuse(&self, refusal: Option<Refusal>) {
        lock(&self.state).refusal = refusal;
    }

    /// How often a parameter was asked for, whatever the answer.
    pub fn reads_of(&self, name: &str) -> usize {
        lock(&self.state).asked.iter().filter(|asked| *asked == name).count()
    }
}

/// The parameter that a request asks for.
fn name(body: &Value) -> &str {
    body["Name"].as_str().unwrap_or_default()
}

impl State {
    fn ask(&mut self, request: &Request) {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        self.asked.push(name(&body).to_owned());
    }

    fn answer(&self, request: &Request) -> io::Result<Answer> {
        if request.headers.get("x-amz-target").is_none_or(|target| target != "AmazonSSM.GetParameter") {
            return Ok(answer(400, &json!({"__type": "UnknownOperationException"})));
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let name = name(&body);
        match self.refusal {
            Some(Refusal::AccessDenied) => {
                let message = format!(
                    "User: arn:aws:sts::123456789012:assumed-role/store/f is not authorized to perform: \
                     ssm:GetParameter on resource: arn:aws:ssm:eu-west-1:123456789012:parameter{name} because no \
                     identity-based policy allows the ssm:GetParameter action"
                );
                return Ok(answer(400, &json!({"__type": "AccessDeniedException", "Message": message})));
            }
            Some(Refusal::Throttled) => {
                return Ok(answer(400, &json!({"__type": "ThrottlingException", "message": "Rate exceeded"})));
            }
            Some(Refusal::Broken) => return Ok(answer(500, &json!({"__type": "InternalServerError"}))),
            Some(Refusal::HangUp) => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(Refusal::Silence) | None => {}
        }
        let Some(value) = self.values.get(name) else {
            return Ok(answer(400, &json!({"__type": "ParameterNotFound", "message": ""})));
        };
        let value = if body["WithDecryption"] == true { value } else { "AQICAHencrypted" };
        let parameter = json!({"Name": name, "Type": "SecureString", "Value": value, "Version": 1, "DataType": "text"});
        Ok(answer(200, &json!({"Parameter": parameter})))
    }
}

fn answer(status: u16, body: &Value) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Answer { status, headers, body: body.to_string().into() }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
