//! What `rc` is made of: overriding flags in the Relay Proxy's Redis or the pipeline's table while
//! LaunchDarkly is unreachable, recording each override, and playing the record back when
//! LaunchDarkly is there again.
//!
//! - [`change`], [`variation`], [`words`]: a change of a flag and the line that stands for it; pure.
//! - [`flag_json`]: edits a flag's JSON in place; pure.
//! - [`journal`]: the folder of pending changes.
//! - [`store`]: where flags are overridden; [`redis_store`] is the Relay Proxy's,
//!   [`dynamodb_store`] the pipeline's.
//! - [`update`], [`playback`], [`relay_config`], [`status`], [`revert`], [`doctor`]: the commands.
//! - [`cli`], [`environment`], [`hosts`]: what the user says, and what the environment says.
//!
//! The binary only parses the command line and picks the command.

pub mod change;
pub mod cli;
pub mod console;
pub mod doctor;
pub mod dynamodb_store;
pub mod environment;
pub mod exit;
pub mod flag_json;
pub mod hosts;
pub mod journal;
pub mod launchdarkly;
pub mod playback;
pub mod redis_store;
pub mod relay_config;
pub mod revert;
pub mod run;
pub mod status;
pub mod store;
pub mod update;
pub mod variation;
pub mod words;
