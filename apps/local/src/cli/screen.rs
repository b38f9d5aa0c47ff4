//! What is written for people: plain aligned text, with colour on a terminal only.

use std::io::{IsTerminal, Write};
use std::time::Duration;

/// How text is styled on standard output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    is_coloured: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        // https://no-color.org
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_coloured: std::io::stdout().is_terminal() && !is_unwanted }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.styled("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.styled("2", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.styled("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.styled("31", text)
    }

    fn styled(self, code: &str, text: &str) -> String {
        if self.is_coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Writes a line. Who closed the other end of a pipe wants no more.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Writes why the command failed.
pub(super) fn error(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "local: failed to {error:#}");
}

/// A time in milliseconds, right-aligned to eight places before the unit.
pub(super) fn milliseconds(duration: Duration) -> String {
    format!("{:>8.1} ms", duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_aligned() {
        assert_eq!(milliseconds(Duration::from_micros(1_234)), "     1.2 ms");
        assert_eq!(milliseconds(Duration::from_secs(12)), " 12000.0 ms");
    }
}
