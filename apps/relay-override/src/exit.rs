//! Exit codes, decided in one place; scripts rely on them.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: all done.
    Done,
    /// 1: some host or journal entry failed.
    Failed,
    /// 2: usage or configuration; nothing was touched.
    Misused,
}

impl Exit {
    /// [`Exit::Done`] where `is_done`, else [`Exit::Failed`].
    pub const fn done_if(is_done: bool) -> Self {
        if is_done { Self::Done } else { Self::Failed }
    }

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
    fn the_codes_are_what_scripts_expect() {
        assert_eq!([Exit::Done, Exit::Failed, Exit::Misused].map(Exit::code), [0, 1, 2]);
    }
}
