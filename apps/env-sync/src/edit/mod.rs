//! The pure heart: a file's bytes and what it should say in, the edited bytes out.
//!
//! A file is edited, never rewritten: what is not ours stays byte for byte, in its place. Each format knows where its
//! assignments lie (`Binding`), whether one already says a value, and how a value is spelled; the splicing is the same
//! for all of them. A name that stands several times is set everywhere, as python-dotenv's `set_key` does. No I/O here.

pub mod docker;
pub mod dotenv;
mod json;
pub mod shell;
mod splice;
pub mod systemd;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// How a file spells its assignments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// What python-dotenv, Node's dotenv, docker compose and `sh` all read alike
    #[default]
    Dotenv,
    /// `docker run --env-file`: everything after `=` is the value, nothing is quoted
    Docker,
    /// `export NAME='value'`, to be sourced by a POSIX shell
    Shell,
    /// systemd's `EnvironmentFile=`
    Systemd,
    /// One JSON object
    Json,
}

/// A value as it is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// As it is.
    Plain(String),
    /// Compact JSON that is no string.
    Json(String),
}

impl Text {
    /// The value as programs get it in their environment.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Json(text) => text,
        }
    }
}

/// One name and what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// A legal variable name.
    pub name: String,
    /// Its value.
    pub value: Text,
}

/// A value that the format cannot hold; its line stays as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whose value.
    pub name: String,
    /// Why not.
    pub reason: &'static str,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edited {
    /// The file's new content; the old one where nothing changed.
    pub text: Vec<u8>,
    /// The names whose lines were changed or added.
    pub changed: Vec<String>,
    /// The values that could not be written.
    pub refused: Vec<Refusal>,
}

/// The file is not of its format at all.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// JSON that is no object.
    #[error("the file is not a JSON object of names and values; repair it or move it away")]
    NotAnObject(#[source] serde_json::Error),
    /// Quotes that do not match.
    #[error("the file has a quote that is never closed, or ends in a backslash; repair it or move it away")]
    Unclosed,
}

/// Brings the assignments into the text.
pub fn edit(format: Format, text: &[u8], assignments: &[Assignment]) -> Result<Edited, EditError> {
    match format {
        Format::Dotenv => splice::splice(&dotenv::Dotenv, text, assignments),
        Format::Docker => splice::splice(&docker::Docker, text, assignments),
        Format::Shell => splice::splice(&shell::Shell, text, assignments),
        Format::Systemd => splice::splice(&systemd::Systemd, text, assignments),
        Format::Json => json::edit(text, assignments),
    }
}

/// The values that a text has, by legal name, and only those that all of the format's readers take for the same: what
/// one of them would replace, unescape or run is nobody's value.
pub fn read(format: Format, text: &[u8]) -> Result<BTreeMap<String, String>, EditError> {
    match format {
        Format::Dotenv => splice::read(&dotenv::Dotenv, text),
        Format::Docker => splice::read(&docker::Docker, text),
        Format::Shell => splice::read(&shell::Shell, text),
        Format::Systemd => splice::read(&systemd::Systemd, text),
        Format::Json => json::read(text),
    }
}

/// A place in the text where a name gets its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    /// The name, without quotes.
    name: Range<usize>,
    /// What is replaced when the value changes: from the name's first byte to the value's last.
    whole: Range<usize>,
    /// The value as it is spelled.
    raw: Range<usize>,
    /// Whether a comment follows on the line.
    comment: bool,
    /// Whether the format's strictest reader takes the line as it is, whatever the value.
    sound: bool,
}

/// What tells one line-based format from the others.
pub(crate) trait Syntax {
    /// All assignments, in their order; nothing where the text ends inside a quote, so that nobody knows what is one.
    fn scan(&self, text: &[u8]) -> Option<Vec<Binding>>;

    /// Whether this spelling says this value to all of the format's readers.
    fn says(&self, raw: &str, comment: bool, value: &str) -> bool;

    /// The value's spelling; the reason where there is none.
    fn spell(&self, value: &Text, comment: bool) -> Result<String, &'static str>;

    /// What a spelling stands for, if it is one that `says` or `spell` knows.
    fn unquote(&self, raw: &str) -> String;

    /// What stands before the name of a line that is added.
    fn keyword(&self) -> &'static str {
        ""
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Dotenv => "dotenv",
            Self::Docker => "docker",
            Self::Shell => "shell",
            Self::Systemd => "systemd",
            Self::Json => "json",
        })
    }
}

/// Whether a name can be a variable's in every shell.
pub fn is_legal_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests;
