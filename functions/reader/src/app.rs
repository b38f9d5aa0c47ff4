//! Invocations in, answers out.
//!
//! Routes and their JSON are `flagcache`'s; here it is decided whether there is anything to answer from, and every
//! answer is told how old its data is.

use std::time::{Duration, SystemTime};

use flagcache::routes::{self, Request, Route};
use flagcache::{Config, ConfigError, Evaluator, Flags};
use flagcache_lambda::{Answer, Event, Invocation, Outcome};
use serde_json::Value;

use crate::health::{Health, Problem};

/// What is kept back of an invocation's time for the answer itself.
const ANSWERING: Duration = Duration::from_millis(200);
/// What is kept back when only events are left to send.
const PARTING: Duration = Duration::from_millis(100);
/// The longest that events keep the sandbox from its next invocation, and its owner paying.
const EVENTS: Duration = Duration::from_secs(3);

/// The function's state.
pub(crate) enum App {
    /// Serves flags, as soon as there are any.
    Ready(Box<Flags>),
    /// Somebody has to change a variable first; this is why.
    Misconfigured(String),
}

impl App {
    /// Reads the environment and the table. Takes a bounded time and never fails: what is wrong is answered later.
    pub(crate) async fn start() -> Self {
        Self::of(Self::flags().await)
    }

    fn of(flags: Result<Flags, ConfigError>) -> Self {
        match flags {
            Ok(flags) => Self::Ready(Box::new(flags)),
            Err(error) => {
                tracing::error!(%error, "misconfigured: every answer is an error until this is changed");
                Self::Misconfigured(error.to_string())
            }
        }
    }

    async fn flags() -> Result<Flags, ConfigError> {
        let config = Config::from_env()?;
        let aws = flagcache_aws::sdk_config().await?;
        if tracing::event_enabled!(tracing::Level::INFO) {
            let at = flagcache_aws::Resolved::of(&aws).await;
            let Config { table, prefix, .. } = &config;
            let (events, credentials) = (config.events.is_some(), at.credentials_source);
            tracing::info!(table, prefix, region = at.region, endpoint = at.endpoint, %credentials, events, "reader starts");
        }
        let flags = Flags::new(&config, flagcache_aws::dynamodb(&aws));
        flags.first_look().await;
        Ok(flags)
    }

    /// Answers an invocation.
    pub(crate) async fn answer(&self, event: Event) -> Outcome {
        let function = event.function_name.as_str();
        let within = remaining(event.deadline, ANSWERING);
        match (self, event.invocation) {
            (Self::Misconfigured(why), Invocation::Http(request)) if request.path == "/health" => {
                health(&Health::empty(Problem { code: MISCONFIGURED, message: why })).into()
            }
            (Self::Misconfigured(why), _) => Answer::error(500, MISCONFIGURED, why).into(),
            (Self::Ready(flags), Invocation::Http(request)) => http(flags, &request, function, within).await.into(),
            (Self::Ready(flags), Invocation::Schedule { .. }) => {
                flags.look(within).await;
                Outcome::Value(serde_json::to_value(Health::of(&flags.status())).unwrap_or_default())
            }
            (Self::Ready(flags), Invocation::Manual(event)) => {
                flags.look(within).await;
                let body = if event.is_null() { String::new() } else { event.to_string() };
                direct(from_flags(flags, |evaluator| routes::answer_event(evaluator, body.as_bytes(), function)))
            }
        }
    }

    /// Sends the events of what was answered. Nobody waits for it but the next invocation.
    pub(crate) async fn send_events(&self, deadline: SystemTime) {
        if let Self::Ready(flags) = self {
            flags.send_events(remaining(deadline, PARTING).min(EVENTS)).await;
        }
    }
}

const MISCONFIGURED: &str = "misconfigured";

async fn http(flags: &Flags, request: &flagcache_lambda::Request, function: &str, within: Duration) -> Answer {
    let (method, path) = (request.method.as_str(), request.path.as_str());
    let answer = match (path, Route::of(path)) {
        ("/health", _) if method != "GET" => sent(routes::wrong_method(method, &["GET"])),
        ("/health", _) => {
            flags.look(within).await;
            health(&Health::of(&flags.status()))
        }
        (_, None) => {
            let message = format!("there is nothing at {path}; there are /, /flags, /flags/KEY and /health");
            Answer::error(404, "not-found", &message)
        }
        (_, Some(route)) => {
            flags.look(within).await;
            match request.body.bytes() {
                Err(error) => Answer::error(400, "bad-request", &error.to_string()),
                Ok(body) => {
                    let request = Request { method, query: &request.query, body: &body };
                    from_flags(flags, |evaluator| routes::answer(evaluator, &route, &request, function))
                }
            }
        }
    };
    match flags.status().age {
        Some(age) => answer.with_header("Age", age.as_secs().to_string()),
        None => answer,
    }
}

/// The answer to a direct invocation. One that is refused counts as failed with Lambda, so the log says why.
fn direct(answer: Answer) -> Outcome {
    if answer.status >= 400 {
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let of = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
        tracing::warn!(code = of("code"), status = answer.status, error = of("message"), "the invocation fails");
    }
    answer.into()
}

/// An answer out of flags, or why there are none.
fn from_flags(flags: &Flags, answer: impl FnOnce(&Evaluator) -> routes::Answer) -> Answer {
    let Some(evaluator) = flags.evaluator() else {
        let fault = flags.status().fault;
        let (code, message) = fault
            .as_ref()
            .map_or(("empty", "no flags were read yet"), |fault| (fault.problem.code(), fault.message.as_str()));
        return Answer::error(503, code, message);
    };
    let mut answer = answer(evaluator);
    if let Some(evaluated) = answer.evaluated.take() {
        flags.record(|| evaluated);
    }
    sent(answer)
}

fn sent(answer: routes::Answer) -> Answer {
    let rendered = Answer::rendered(answer.status, answer.body);
    match answer.allow {
        Some(allow) => rendered.with_header("Allow", allow),
        None => rendered,
    }
}

fn health(health: &Health<'_>) -> Answer {
    Answer::rendered(health.http_status(), serde_json::to_string(health).unwrap_or_default())
}

/// How much time there is until this much before a deadline, by the wall clock, which is the deadline's own.
fn remaining(deadline: SystemTime, kept_back: Duration) -> Duration {
    deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(kept_back)
}

#[cfg(test)]
mod tests;
