//! `env-sync`, the binary, against LaunchDarkly's stand-in, as its users see it: arguments and variables in; files, exit
//! codes and log lines out.
//!
//! - `contract`: the file, the changes, the exit codes;
//! - `faults`: what LaunchDarkly and the network do wrong;
//! - `files`: what file systems and other programs do to the file;
//! - `options`: what goes beyond the predecessor;
//! - `storm`: thousands of changes and a reader that sees every version;
//! - `stage`: the stand-in, the program, the waiting.

#![expect(clippy::unwrap_used, reason = "what a test relies on has to be there")]

mod contract;
mod faults;
mod files;
mod options;
mod stage;
mod storm;
