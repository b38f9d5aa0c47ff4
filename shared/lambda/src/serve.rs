//! The loop between the Runtime API and a function's handler.
//!
//! Whatever the handler returns is made to fit what invoked it: a request gets an HTTP answer, any
//! other invocation a JSON value or a Lambda error. An event that cannot be understood fails alone;
//! the process goes on. Invocations are served one after the other, so a current-thread runtime is
//! enough. None of `lambda_runtime`'s logging layers is used: `logs` does that.

mod after;
mod deadline;
mod reply;

pub use reply::{Fault, Outcome};

use crate::event::Invocation;
use crate::logs;
use after::AfterLayer;
use lambda_runtime::{Context, LambdaEvent, Runtime, service_fn};
use reply::Reply;
use serde_json::value::RawValue;
use std::time::SystemTime;

/// One invocation, as the handler gets it.
#[derive(Debug, Clone)]
pub struct Event {
    /// What invoked the function.
    pub invocation: Invocation,
    /// Lambda's request id.
    pub request_id: String,
    /// When Lambda gives the invocation up.
    pub deadline: SystemTime,
    /// `AWS_LAMBDA_FUNCTION_NAME`.
    pub function_name: String,
}

/// Why a function cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The process was not started as a Lambda function.
    #[error("start as a Lambda function: {0} is missing or wrong; Lambda sets it, as do `local` and `cargo lambda`")]
    Environment(&'static str),
    /// The Runtime API cannot be reached or answers nonsense.
    #[error("go on serving the Lambda Runtime API")]
    RuntimeApi(#[source] lambda_runtime::Error),
}

/// Serves invocations until the Runtime API goes away.
pub async fn serve<H>(handler: H) -> Result<(), ServeError>
where
    H: AsyncFn(Event) -> Outcome + 'static,
{
    serve_then(handler, async |_deadline| {}).await
}

/// Serves invocations, and after each answer is on its way runs `after` with the invocation's
/// deadline: for what nobody waits for but must not wait for the next invocation either. It must
/// be done before the deadline, for only then is the next invocation asked for.
pub async fn serve_then<H, A>(handler: H, after: A) -> Result<(), ServeError>
where
    H: AsyncFn(Event) -> Outcome + 'static,
    A: AsyncFn(SystemTime) + 'static,
{
    check_environment(&|name| std::env::var(name).ok())?;
    let handler = std::rc::Rc::new(handler);
    let service = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let handler = handler.clone();
        async move { invoke(&*handler, event.payload.get().as_bytes(), event.context).await }
    });
    Runtime::new(service).layer(AfterLayer::new(after)).run().await.map_err(ServeError::RuntimeApi)
}

async fn invoke<H>(handler: &H, payload: &[u8], context: Context) -> Result<Reply, Fault>
where
    H: AsyncFn(Event) -> Outcome,
{
    logs::set_request_id(Some(&context.request_id));
    let invocation = Invocation::parse(payload).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "event not understood");
        Fault::new("bad-event", error.to_string())
    })?;
    let gateway = match &invocation {
        Invocation::Http(request) => Some(request.source),
        Invocation::Schedule { .. } | Invocation::Manual(_) => None,
    };
    let outcome = handler(Event {
        invocation,
        deadline: deadline::of(&context),
        function_name: context.env_config.function_name.clone(),
        request_id: context.request_id,
    });
    Reply::fit(outcome.await, gateway)
}

/// The variables without which `lambda_runtime` panics.
fn check_environment(lookup: &dyn Fn(&str) -> Option<String>) -> Result<(), ServeError> {
    const MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
    for name in ["AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", MEMORY] {
        let value = lookup(name).filter(|value| !value.is_empty());
        let sound = value.is_some_and(|value| name != MEMORY || value.parse::<i32>().is_ok());
        if !sound {
            return Err(ServeError::Environment(name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_no_lambda_function_is_told_what_is_missing() {
        let set = |name: &str, value: &str| {
            let lookup = |asked: &str| Some(if asked == name { value.to_owned() } else { "1".to_owned() });
            check_environment(&lookup).map_err(|error| error.to_string())
        };
        assert_eq!(set("", ""), Ok(()));
        for (name, value) in [
            ("AWS_LAMBDA_RUNTIME_API", ""),
            ("AWS_LAMBDA_FUNCTION_NAME", ""),
            ("AWS_LAMBDA_FUNCTION_VERSION", ""),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", ""),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "much"),
        ] {
            let error = set(name, value).unwrap_err();
            assert!(error.starts_with(&format!("start as a Lambda function: {name} ")), "{error}");
        }
    }
}
