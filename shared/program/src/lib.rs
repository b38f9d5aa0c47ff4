//! What every program of ours begins with: its variables, its log level, and errors told in one line.
//!
//! Nothing here knows what a program is for; names of variables belong to the room that reads them. Nothing is logged or
//! written here either.

mod env_file;
mod level;
mod variables;

pub use level::{LOG_LEVEL, Level, LevelError, UnknownLevel};
pub use variables::{Variables, VariablesError};

use std::error::Error;

/// An error with its causes in one line, from the outermost to the first.
pub fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Option<Box<Layer>> {
        let (text, rest) = texts.split_first()?;
        Some(Box::new(Layer { text, source: layers(rest) }))
    }

    #[test]
    fn causes_follow_in_one_line_and_what_repeats_them_is_told_once() {
        let error = layers(&["read the file: no space", "no space", "disk 3 is full"]).unwrap();
        assert_eq!(one_line(&*error), "read the file: no space: disk 3 is full");
    }
}
