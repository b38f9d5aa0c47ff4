#![doc = include_str!("../README.md")]

mod backoff;
pub mod board;
pub mod flags;
mod frame;
mod freshness;
mod link;
mod listen;
mod master;
mod notify;
mod pid_file;
mod runtime;
mod serve;
mod sys;
mod turn;
mod worker;

pub use board::Board;
pub use freshness::Freshness;
pub use listen::{Bound, ListenError, Listener};
pub use master::{App, HelperLink, MasterError, Prepared, Settings, run};
pub use notify::Notifier;
pub use pid_file::{PidFile, PidFileError};
pub use runtime::{RuntimeError, runtime, small_runtime};
pub use serve::Limits;
pub use sys::{ForkError, threads};
pub use worker::{Ending, Line, Running, Socket, Worker};
