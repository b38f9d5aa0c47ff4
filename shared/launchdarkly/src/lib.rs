#![doc = include_str!("../README.md")]

pub mod audit_log;
pub mod webhook;
