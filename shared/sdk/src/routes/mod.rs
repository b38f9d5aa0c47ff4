//! The routes `/`, `/flags` and `/flags/KEY` on plain data: what a request says in, status and JSON out.
//!
//! Every server that speaks them serves them by this code; how requests arrive and how fresh the flags are is the
//! server's affair. Events are not recorded here: the answer says what was evaluated ([`Evaluated`]), the server hands
//! it to [`crate::Events`].

mod request;

use std::borrow::Cow;

use launchdarkly_server_sdk_evaluation::Context;
use serde::Serialize;

pub use self::request::{Refusal, Request, query_pairs};
use crate::evaluation::{Evaluation, Evaluator, Filter, Shape};
use crate::json::{Everything, Failure, OneFlag, ValueOnly};

/// A path that is served here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/`: the values of all flags.
    Root,
    /// `/flags`: all flags in detail.
    All,
    /// `/flags/KEY`: one flag.
    One(Cow<'a, str>),
}

impl<'a> Route<'a> {
    /// The route of a path, percent-encoded or not; nothing where the path is not served here.
    pub fn of(path: &'a str) -> Option<Self> {
        match path.strip_suffix('/').unwrap_or(path) {
            "" => Some(Self::Root),
            "/flags" => Some(Self::All),
            path => {
                let key = path.strip_prefix("/flags/").filter(|key| !key.is_empty() && !key.contains('/'))?;
                Some(Self::One(percent_encoding::percent_decode_str(key).decode_utf8_lossy()))
            }
        }
    }

    const fn allowed(&self) -> &'static [&'static str] {
        match self {
            Self::Root => &["GET"],
            Self::All | Self::One(_) => &["GET", "POST"],
        }
    }
}

/// What is sent back.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
    /// For a 405: the methods that are allowed.
    pub allow: Option<String>,
    /// The evaluation that counts as one for analytics; all-flags answers do not, as with LaunchDarkly's SDKs.
    pub evaluated: Option<Evaluated>,
}

/// An evaluation of one flag that was asked for.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// For whom.
    pub context: Context,
    /// Of which flag.
    pub flag: String,
    /// The caller's default.
    pub default: Option<serde_json::Value>,
    /// Whether the reason was asked for, so that it goes into the event too.
    pub with_reason: bool,
}

/// Answers a request for a route. `default_key` is the key of the context where the request names none.
pub fn answer(evaluator: &Evaluator, route: &Route<'_>, request: &Request<'_>, default_key: &str) -> Answer {
    if !route.allowed().contains(&request.method) {
        return wrong_method(request.method, route.allowed());
    }
    let words = match request.words(default_key) {
        Ok(words) => words,
        Err(refusal) => return refusal.into(),
    };
    let filter = if words.client_side_only { Filter::ClientSide } else { Filter::Everything };
    match route {
        Route::Root => everything(evaluator, &words.context, filter, Shape::Values),
        Route::All => everything(evaluator, &words.context, filter, Shape::Details),
        Route::One(key) => one(evaluator, key, words.context, words.default),
    }
}

/// Answers a `GET` for one flag's value alone, which is `false` where the flag gives none and the request no default, as
/// with a boolean variation of LaunchDarkly's SDKs.
pub fn answer_value(
    evaluator: &Evaluator,
    key: &str,
    request: &Request<'_>,
    default_key: &str,
    initialized: bool,
) -> Answer {
    if request.method != "GET" {
        return wrong_method(request.method, &["GET"]);
    }
    match request.words(default_key) {
        Err(refusal) => refusal.into(),
        Ok(words) => {
            let default = words.default.unwrap_or(serde_json::Value::Bool(false));
            let evaluation = evaluator.flag(key, &words.context);
            let answer = Answer::ok(&ValueOnly::new(key, &evaluation, Some(&default), initialized));
            let (context, flag) = (words.context, key.to_owned());
            let evaluated = (!is_broken(&evaluation)).then_some(Evaluated {
                context,
                flag,
                default: Some(default),
                with_reason: false,
            });
            Answer { evaluated, ..answer }
        }
    }
}

/// Answers an invocation without HTTP: `{"context":{…},"flag":KEY,"default":…}`, as `POST /flags/KEY` or, with no flag
/// named, `POST /flags` would be.
pub fn answer_event(evaluator: &Evaluator, event: &[u8], default_key: &str) -> Answer {
    let request = Request { method: "POST", query: &[], body: event };
    match (request.flag(), request.words(default_key)) {
        (Err(refusal), _) | (_, Err(refusal)) => refusal.into(),
        (Ok(Some(key)), Ok(words)) => one(evaluator, &key, words.context, words.default),
        (Ok(None), Ok(words)) => everything(evaluator, &words.context, Filter::Everything, Shape::Details),
    }
}

fn everything(evaluator: &Evaluator, context: &Context, filter: Filter, shape: Shape) -> Answer {
    Answer::ok(&Everything::new(evaluator.all(context, filter, shape)))
}

fn one(evaluator: &Evaluator, key: &str, context: Context, default: Option<serde_json::Value>) -> Answer {
    let evaluation = evaluator.flag(key, &context);
    let mut answer = if evaluation.is_unknown() && default.is_none() {
        let message = format!("flag `{key}` does not exist in this environment and the request gives no default");
        Refusal { status: 404, code: "flag-not-found", message }.into()
    } else {
        Answer::ok(&OneFlag::new(key, &evaluation, default.as_ref()))
    };
    let evaluated = || Evaluated { context, flag: key.to_owned(), default, with_reason: true };
    answer.evaluated = (!is_broken(&evaluation)).then(evaluated);
    answer
}

/// The SDK's client would take a broken flag for an unknown one and tell LaunchDarkly so; it is not recorded.
pub const fn is_broken(evaluation: &Evaluation) -> bool {
    evaluation.version.is_none() && !evaluation.is_unknown()
}

/// The answer to a method that a route does not know.
pub fn wrong_method(method: &str, allowed: &[&str]) -> Answer {
    let allow = allowed.join(", ");
    let message = format!("method {method} is not allowed here; use {allow}");
    let refusal = Refusal { status: 405, code: "method-not-allowed", message };
    Answer { allow: Some(allow), ..refusal.into() }
}

impl Answer {
    fn ok(body: &impl Serialize) -> Self {
        Self { status: 200, body: text(body), allow: None, evaluated: None }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let body = text(&Failure::new(refusal.code, &refusal.message));
        Self { status: refusal.status, body, allow: None, evaluated: None }
    }
}

/// Every key of an answer is text and every number is finite, which is all that could make this fail.
fn text(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_else(|_| "{}".to_owned())
}

#[cfg(test)]
mod tests;
