//! A worker's HTTP: requests in, answers out.
//!
//! `/` and `/flag` without a query are the hot paths and take no detour: a ready-made body, or one evaluation for a
//! context that was built once. Everything else of flags is answered by the routes that the other programs share.

mod body;
mod metrics;
mod page;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flagcache_prefork::Freshness;
use flagcache_prefork::board::Row;
use flagcache_prefork::flags::Live;
use flagcache_sdk::json::{Failure, ValueOnly};
use flagcache_sdk::recorder::Note;
use flagcache_sdk::routes::{self, Answer, Request as FlagRequest, Route, query_pairs};
use flagcache_sdk::{Context, Evaluator, FlagValue, context};
use futures::future::Either;
use http::header::{ACCEPT, AGE, ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::Service;
use serde::Serialize;

/// The key of the context where a request names none.
const DEFAULT_CONTEXT: &str = "prefork-server";

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

type Reply = Response<Full<Bytes>>;

/// Answers requests. Shared between the connections of a worker.
#[derive(Clone)]
pub struct Http(Arc<Inner>);

struct Inner {
    live: Arc<Live>,
    row: Row,
    freshness: Freshness,
    /// The flag of `GET /flag`.
    flag: Arc<str>,
    context: Option<Arc<Context>>,
    /// `GET /` before and after there are flags.
    health: [Bytes; 2],
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    initialized: bool,
    pid: u32,
    ppid: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forked_without_postfork: bool,
}

/// As the `reader` function says it, as far as it applies.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    status: &'static str,
    initialized: bool,
    age_seconds: Option<u64>,
    workers: usize,
    /// Milliseconds since 1970.
    updated_at: Option<u64>,
}

impl Http {
    /// Answers from these flags, which are this fresh; `flag` is the one of `GET /flag`.
    pub fn new(live: Arc<Live>, row: Row, freshness: Freshness, flag: &str) -> Self {
        let health = [false, true].map(|initialized| health(initialized, false));
        let context = context::keyed(DEFAULT_CONTEXT).ok().map(Arc::new);
        Self(Arc::new(Inner { live, row, freshness, flag: flag.into(), context, health }))
    }
}

impl Service<Request<Incoming>> for Http {
    type Response = Reply;
    type Error = Infallible;
    type Future =
        Either<Ready<Result<Reply, Infallible>>, Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.method() == Method::POST {
            let inner = Arc::clone(&self.0);
            return Either::Right(Box::pin(async move { Ok(inner.answer_with_body(request).await) }));
        }
        Either::Left(ready(Ok(self.0.answer(&request, b""))))
    }
}

impl Inner {
    async fn answer_with_body(&self, request: Request<Incoming>) -> Reply {
        let (head, incoming) = request.into_parts();
        match body::collect(incoming).await {
            Ok(body) => self.answer(&Request::from_parts(head, ()), &body),
            Err(body::Refused { status, code, message }) => refusal(status, code, message),
        }
    }

    fn answer<B>(&self, request: &Request<B>, body: &[u8]) -> Reply {
        let path = request.uri().path();
        // hyper leaves the body of an answer to HEAD out.
        let method = if request.method() == Method::HEAD { "GET" } else { request.method().as_str() };
        match path {
            "/" => self.root(request, method),
            "/flag" => self.flag(&self.flag, request, method),
            "/health" if method == "GET" => self.aged(self.ready()),
            "/metrics" if method == "GET" => {
                let initialized = self.live.is_initialized();
                reply(StatusCode::OK, TEXT, metrics::text(self.row.board(), self.freshness, initialized))
            }
            "/health" | "/metrics" => sent(routes::wrong_method(method, &["GET"])),
            _ => match (path.strip_prefix("/flag/"), Route::of(path)) {
                (Some(key), _) if !key.is_empty() && !key.contains('/') => match Route::of(&format!("/flags/{key}")) {
                    Some(Route::One(key)) => self.flag(&Arc::from(&*key), request, method),
                    _ => nothing_there(path),
                },
                (_, Some(route @ (Route::All | Route::One(_)))) => {
                    self.aged(self.routes(&route, request, method, body))
                }
                _ => nothing_there(path),
            },
        }
    }

    fn root<B>(&self, request: &Request<B>, method: &str) -> Reply {
        if method != "GET" {
            return sent(routes::wrong_method(method, &["GET"]));
        }
        let wants_page = |accept: &HeaderValue| accept.to_str().is_ok_and(|accept| accept.contains("text/html"));
        let initialized = self.live.is_initialized();
        if request.headers().get(ACCEPT).is_some_and(wants_page) {
            let counts = self.live.state().counts();
            return reply(StatusCode::OK, HTML, page::html(self.row.board(), self.freshness, initialized, counts));
        }
        if self.live.is_misplaced() {
            self.row.set_misplaced();
            return reply(StatusCode::OK, JSON, health(initialized, true));
        }
        reply(StatusCode::OK, JSON, self.health[usize::from(initialized)].clone())
    }

    /// For load balancers: whether there is anything to answer from, and how old it is.
    fn ready(&self) -> Reply {
        let initialized = self.live.is_initialized();
        let (code, status) = match (initialized, self.freshness.is_stale()) {
            (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "empty"),
            (true, true) => (StatusCode::OK, "stale"),
            (true, false) => (StatusCode::OK, "ok"),
        };
        let updated_ms = self.row.facts().updated_ms;
        let state = State {
            status,
            initialized,
            age_seconds: self.freshness.age().map(|age| age.as_secs()),
            workers: self.row.board().workers().count(),
            updated_at: (updated_ms > 0).then_some(updated_ms),
        };
        reply(code, JSON, serde_json::to_vec(&state).unwrap_or_default())
    }

    /// The same answer, with the age of what it was made of.
    fn aged(&self, mut answer: Reply) -> Reply {
        if let Some(age) = self.freshness.age().as_ref().map(Duration::as_secs) {
            answer.headers_mut().insert(AGE, age.into());
        }
        answer
    }

    fn flag<B>(&self, key: &Arc<str>, request: &Request<B>, method: &str) -> Reply {
        let evaluator = self.live.evaluator();
        let initialized = self.live.is_initialized();
        if let (None, "GET", Some(context)) = (request.uri().query(), method, &self.context) {
            return self.hot(key, &evaluator, context, initialized);
        }
        let query = query_pairs(request.uri().query().unwrap_or_default());
        let request = FlagRequest { method, query: &query, body: b"" };
        let answer = routes::answer_value(&evaluator, key, &request, DEFAULT_CONTEXT, initialized);
        self.recorded(&evaluator, answer)
    }

    fn hot(&self, key: &Arc<str>, evaluator: &Arc<Evaluator>, context: &Arc<Context>, initialized: bool) -> Reply {
        let evaluation = evaluator.flag(key, context);
        let no = serde_json::Value::Bool(false);
        let body = serde_json::to_vec(&ValueOnly::new(key, &evaluation, Some(&no), initialized)).unwrap_or_default();
        if initialized && !routes::is_broken(&evaluation) {
            let (context, flag) = (Arc::clone(context), Arc::clone(key));
            let default = FlagValue::Bool(false);
            self.live.record(evaluator, Note { context, flag, default, with_reason: false });
        }
        reply(StatusCode::OK, JSON, body)
    }

    fn routes<B>(&self, route: &Route<'_>, request: &Request<B>, method: &str, body: &[u8]) -> Reply {
        if !self.live.is_initialized() {
            let message = "there are no flags yet: LaunchDarkly has not been reached since the start";
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "not-initialized", message);
        }
        let evaluator = self.live.evaluator();
        let query = query_pairs(request.uri().query().unwrap_or_default());
        let request = FlagRequest { method, query: &query, body };
        self.recorded(&evaluator, routes::answer(&evaluator, route, &request, DEFAULT_CONTEXT))
    }

    fn recorded(&self, evaluator: &Arc<Evaluator>, mut answer: Answer) -> Reply {
        if let Some(evaluated) = answer.evaluated.take().filter(|_| self.live.is_initialized()) {
            self.live.record(evaluator, evaluated.into());
        }
        sent(answer)
    }
}

fn health(initialized: bool, forked_without_postfork: bool) -> Bytes {
    let health = Health {
        status: "ok",
        initialized,
        pid: std::process::id(),
        ppid: std::os::unix::process::parent_id(),
        forked_without_postfork,
    };
    serde_json::to_vec(&health).unwrap_or_default().into()
}

fn nothing_there(path: &str) -> Reply {
    let message =
        format!("there is nothing at {path}; there are /, /flag, /flag/KEY, /flags, /flags/KEY, /health and /metrics");
    refusal(StatusCode::NOT_FOUND, "not-found", &message)
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Reply {
    reply(status, JSON, serde_json::to_vec(&Failure::new(code, message)).unwrap_or_default())
}

fn sent(answer: Answer) -> Reply {
    let mut sent = reply(StatusCode::from_u16(answer.status).unwrap_or_default(), JSON, answer.body);
    if let Some(allow) = answer.allow.and_then(|allow| HeaderValue::from_str(&allow).ok()) {
        sent.headers_mut().insert(ALLOW, allow);
    }
    sent
}

fn reply(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}
