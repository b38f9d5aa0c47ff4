//! Exit codes, decided in one place; service managers rely on them.

use std::process::ExitCode;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: told to end, and done so.
    Done,
    /// 1: it cannot run: the port is taken, the pid file is another's, the system refuses.
    Failed,
    /// 2: an option or a variable is wrong or missing; nothing was started.
    Misused,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_what_service_managers_expect() {
        assert_eq!([Exit::Done, Exit::Failed, Exit::Misused].map(Exit::code), [0, 1, 2]);
    }
}
