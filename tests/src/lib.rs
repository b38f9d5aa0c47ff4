//! What the tests across the built programs share.

pub mod generate;
