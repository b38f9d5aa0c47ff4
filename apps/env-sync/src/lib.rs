//! What `env-sync` is made of: flags as a `.env` file, live over LaunchDarkly's stream.
//!
//! - [`edit`]: a file's bytes in, the edited bytes out; pure.
//! - [`names`], [`value`], [`relevance`], [`pace`], [`diff`]: what flags are called, what they come to, what matters to
//!   them, when to write, what a dry run shows; pure.
//! - [`values`]: the managed flags and what they came to last.
//! - [`mod@file`]: reading, replacing, copying and locking the file.
//! - [`daemon`]: the loop that puts it all together.
//! - [`reload`], [`status`], [`analytics`]: what follows a change, and who is told.
//! - [`cli`], [`settings`], [`log`], [`exit`]: what the user says and gets.

pub mod analytics;
pub mod cli;
pub mod daemon;
pub mod diff;
pub mod edit;
pub mod exit;
pub mod file;
pub mod log;
pub mod names;
pub mod pace;
pub mod relevance;
pub mod reload;
pub mod settings;
pub mod status;
pub mod value;
pub mod values;
