//! The layer around an invocation as a whole: makes an empty payload JSON before it, and runs what
//! is to happen once its answer has been handed to the Runtime API.
//!
//! Lambda gives an answer to the invoker as soon as it has it, and freezes the process only when
//! the next invocation is asked for (Lambda developer guide, "Building a custom runtime").

use crate::logs;
use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Error, LambdaInvocation};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::SystemTime;

pub(super) struct AfterLayer<A>(Rc<A>);

impl<A> AfterLayer<A> {
    pub(super) fn new(after: A) -> Self {
        Self(Rc::new(after))
    }
}

impl<S, A> Layer<S> for AfterLayer<A> {
    type Service = After<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        let after = self.0.clone();
        After { inner, after }
    }
}

pub(super) struct After<S, A> {
    inner: S,
    after: Rc<A>,
}

impl<S, A> Service<LambdaInvocation> for After<S, A>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
    S::Future: 'static,
    A: AsyncFn(SystemTime) + 'static,
{
    type Response = ();
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> Self::Future {
        // So does `aws lambda invoke` without a payload, and the runtime refuses what is no JSON.
        if invocation.body.trim_ascii().is_empty() {
            invocation.body = b"null"[..].into();
        }
        let deadline = super::deadline::of(&invocation.context);
        let after = self.after.clone();
        let served = self.inner.call(invocation);
        Box::pin(async move {
            served.await?;
            after(deadline).await;
            logs::set_request_id(None);
            Ok(())
        })
    }
}
