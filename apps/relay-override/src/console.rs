//! What the user reads: results on standard output, remarks on standard error, both testable.
//!
//! Write errors are ignored on purpose: an override under way must not stop because the terminal
//! or the pipe behind it has gone.

use std::io::Write;

/// Where a command writes.
pub struct Console<'a> {
    out: &'a mut (dyn Write + Send),
    err: &'a mut (dyn Write + Send),
    is_interactive: bool,
}

impl<'a> Console<'a> {
    /// `is_interactive`: somebody reads it on a terminal and can answer questions.
    pub fn new(out: &'a mut (dyn Write + Send), err: &'a mut (dyn Write + Send), is_interactive: bool) -> Self {
        Self { out, err, is_interactive }
    }

    /// Whether questions can be asked and progress be drawn.
    pub const fn is_interactive(&self) -> bool {
        self.is_interactive
    }

    /// A line of the result.
    pub fn say(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.out, "{line}");
        let _ = self.out.flush();
    }

    /// A remark beside the result.
    pub fn remark(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.err, "{line}");
    }

    /// A question, without a line break.
    pub fn ask(&mut self, question: impl std::fmt::Display) {
        let _ = write!(self.err, "{question} ");
        let _ = self.err.flush();
    }
}
