//! Lambda on one machine: function binaries under a Runtime API, and HTTP in front of them.
//!
//! A [`Function`] says which binary, with which variables. [`Function::spawn`] starts one execution
//! environment ([`FunctionProcess`]), to be invoked directly; [`FunctionPool`] starts as many as
//! there are invocations at the same time; [`HttpFront`] is the API Gateway in front of a pool.
//! Nothing of this process's environment reaches a function, as in Lambda.

mod environment;
mod error;
mod event;
mod front;
mod function;
mod logs;
mod pool;
mod process;
mod runtime_api;

pub use error::{FunctionError, InvokeError, SpawnError};
pub use event::http_event;
pub use front::HttpFront;
pub use function::Function;
pub use logs::Logs;
pub use pool::FunctionPool;
pub use process::{FunctionProcess, Invoked};
