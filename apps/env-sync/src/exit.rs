//! Exit codes, decided in one place; scripts and service managers rely on them.

use std::process::ExitCode;

/// How `env-sync` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: stopped by a signal, or `--once` and `--dry-run` done.
    Done,
    /// 1: LaunchDarkly refuses the key, another `env-sync` keeps the file, `--once` could not do all it should, or
    /// `--dry-run` sees that it could not.
    Failed,
    /// 2: usage or configuration; nothing was touched.
    Misused,
    /// The supervised command's own, or 128 and the signal that ended it.
    Command(u8),
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Misused => 2,
            Self::Command(code) => code,
        }
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
        assert_eq!([Exit::Done, Exit::Failed, Exit::Misused, Exit::Command(3)].map(Exit::code), [0, 1, 2, 3]);
    }
}
