#![doc = include_str!("../README.md")]

pub mod config;
mod flags;
pub mod freshness;
pub mod source;

pub use config::{Config, ConfigError};
pub use flagcache_sdk::{Context, Evaluation, Evaluator, FlagValue, context, routes};
pub use flags::{Flags, State, Status};
pub use source::{Fault, Problem};
