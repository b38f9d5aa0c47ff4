//! A running `store` of which nothing that it says may hold a secret: every answer and all of its output are searched
//! after each invocation, whatever the test is about.

use crate::gateway::{Gateway, Request};
use crate::pipeline::{AWS_SECRET, HttpAnswer, SDK_KEY, SECRET, deliver};
use anyhow::{Context, Result, ensure};
use local::lambda::{Function, FunctionProcess, InvokeError};
use local::patience::in_time;
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A running `store`.
#[derive(Debug)]
pub struct Watched {
    process: FunctionProcess,
    secrets: Mutex<Vec<String>>,
}

impl Watched {
    /// Starts a function.
    pub async fn start(function: &Function) -> Result<Self> {
        let secrets = [SDK_KEY, SECRET, AWS_SECRET].map(str::to_owned).to_vec().into();
        Ok(Self { process: function.spawn().await?, secrets })
    }

    /// Looks out for another secret too.
    pub fn keep_secret(&self, secret: impl Into<String>) {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).push(secret.into());
    }

    /// Delivers a request as an HTTP API does.
    pub async fn post(&self, request: &Request) -> Result<HttpAnswer> {
        self.post_through(Gateway::HttpApi, request).await
    }

    /// Delivers a request.
    pub async fn post_through(&self, gateway: Gateway, request: &Request) -> Result<HttpAnswer> {
        // Short ones are no signatures, and stand in many a text.
        request.signatures().filter(|value| value.len() > 16).for_each(|value| self.keep_secret(value));
        let answer = deliver(&self.process, &request.event(gateway)).await?;
        self.ensure_secrecy(&format!("{answer:?}"))?;
        Ok(answer)
    }

    /// Invokes it with any event; what it answers.
    pub async fn invoke(&self, event: &Value) -> Result<Value> {
        let answer = self.process.invoke(event).await.with_context(|| self.process.logs().text())?;
        self.ensure_secrecy(&answer.to_string())?;
        Ok(answer)
    }

    /// Makes a manual run.
    pub async fn run(&self) -> Result<Value> {
        self.invoke(&json!({})).await
    }

    /// Invokes it with an event of which it cannot make anything: the error's type and message.
    pub async fn fault(&self, event: &Value) -> Result<(String, String)> {
        match self.process.invoke(event).await {
            Err(InvokeError::Function(error)) => {
                self.ensure_secrecy(&error.message)?;
                Ok((error.error_type, error.message))
            }
            other => anyhow::bail!("expected a failure, got {other:?}"),
        }
    }

    /// The process.
    pub fn process(&self) -> &FunctionProcess {
        &self.process
    }

    /// The first line of its log with this message, as JSON; waits for it.
    pub async fn line(&self, message: &str) -> Result<Value> {
        let mut lines = self.lines(message, 1).await?;
        Ok(lines.swap_remove(0))
    }

    /// All lines of its log with this message, as JSON, as soon as there are so many.
    pub async fn lines(&self, message: &str, count: usize) -> Result<Vec<Value>> {
        self.json_lines(count, &format!("{count} log lines {message:?}"), |line| line["message"] == message).await
    }

    /// All lines of metrics, as soon as there are so many.
    pub async fn metrics(&self, count: usize) -> Result<Vec<Value>> {
        self.json_lines(count, &format!("{count} lines of metrics"), |line| line.get("_aws").is_some()).await
    }

    async fn json_lines(&self, count: usize, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        let found = || -> Vec<Value> {
            let lines = self.process.logs().lines();
            let parsed = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
            parsed.filter(|line| is_wanted(line)).collect()
        };
        let enough = async {
            loop {
                let lines = found();
                if lines.len() >= count {
                    return lines;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        Ok(in_time(enough, || format!("{what}:\n{}", self.process.logs().text())).await?)
    }

    /// Searches an answer, and all output so far.
    fn ensure_secrecy(&self, answer: &str) -> Result<()> {
        let output = self.process.logs().text();
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets.iter() {
            ensure!(!answer.contains(secret.as_str()), "an answer holds the secret {secret}:\n{answer}");
            ensure!(!output.contains(secret.as_str()), "the output holds the secret {secret}:\n{output}");
        }
        Ok(())
    }
}
