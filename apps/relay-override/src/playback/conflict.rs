//! Whether LaunchDarkly's flag is still the one that was overridden.

use std::io::{self, BufRead};

use crate::change::Target;
use crate::console::Console;
use crate::launchdarkly::FlagState;
use crate::variation::Choice;

/// What a change would do to LaunchDarkly's flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in this state already.
    AlreadySo,
    /// Nobody has changed it since, as far as is known.
    Clear,
    /// Somebody has.
    Conflict {
        /// The version that it had.
        expected: u64,
    },
}

/// Judges LaunchDarkly's flag `now` by the version that it should have.
pub(crate) fn judge(now: FlagState, wanted: &Target, expected: Option<u64>) -> Verdict {
    let is_so = match wanted {
        Target::State(state) => now.on == state.is_on(),
        Target::Variation(Choice::Index(index)) => now.variation == Some(*index),
        // Which variation that is, only LaunchDarkly knows.
        Target::Variation(Choice::Text(_)) => false,
    };
    match expected {
        _ if is_so => Verdict::AlreadySo,
        Some(expected) if now.version > expected => Verdict::Conflict { expected },
        _ => Verdict::Clear,
    }
}

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    YesToAll,
    NoToAll,
}

impl Answer {
    pub(super) const fn is_yes(self) -> bool {
        matches!(self, Self::Yes | Self::YesToAll)
    }

    pub(super) const fn is_for_all(self) -> bool {
        matches!(self, Self::YesToAll | Self::NoToAll)
    }

    fn read(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Some(Self::Yes),
            "n" | "no" | "" => Some(Self::No),
            "a" | "all" => Some(Self::YesToAll),
            "s" | "skip" => Some(Self::NoToAll),
            _ => None,
        }
    }
}

/// Asks until the answer is one; no answer any more is a no to all.
pub(super) fn ask(console: &mut Console<'_>, question: &str) -> Answer {
    loop {
        console.ask(question);
        let mut line = String::new();
        if !matches!(io::stdin().lock().read_line(&mut line), Ok(1..)) {
            return Answer::NoToAll;
        }
        if let Some(answer) = Answer::read(&line) {
            return answer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::State;

    #[test]
    fn only_a_version_that_has_moved_on_is_a_conflict() {
        let now = |version, on| FlagState { version, on, variation: Some(0) };
        let serves = |index| Target::Variation(Choice::Index(index));
        for (now, wanted, expected, verdict) in [
            (now(12, false), State::On.into(), Some(12), Verdict::Clear),
            (now(11, false), State::On.into(), Some(12), Verdict::Clear),
            (now(13, false), State::On.into(), Some(12), Verdict::Conflict { expected: 12 }),
            (now(13, true), State::On.into(), Some(12), Verdict::AlreadySo),
            (now(99, false), State::On.into(), None, Verdict::Clear),
            (now(13, false), serves(0), Some(12), Verdict::AlreadySo),
            (now(13, false), serves(1), Some(12), Verdict::Conflict { expected: 12 }),
            (now(12, false), serves(1), Some(12), Verdict::Clear),
        ] {
            assert_eq!(judge(now, &wanted, expected), verdict, "{now:?}");
        }
    }

    #[test]
    fn answers_are_short_or_long_and_silence_is_a_no() {
        for (text, expected) in [
            ("y\n", Some(Answer::Yes)),
            ("No", Some(Answer::No)),
            ("\n", Some(Answer::No)),
            ("A", Some(Answer::YesToAll)),
            ("skip", Some(Answer::NoToAll)),
            ("what?", None),
        ] {
            assert_eq!(Answer::read(text), expected, "{text}");
        }
    }
}
