//! A change: which flag, and on or off or which variation; and the journal line that stands for it.
//!
//! The line is the command that plays the change back, `rc update-ld-api -p P -e E -f F -s on`,
//! exactly as the tool before this one wrote it; with `--variation index:1` in the place of `-s`
//! where a variation is served. It is parsed here, word by word, and never run.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::Serialize;
use thiserror::Error;

use crate::variation::Choice;
use crate::words::{self, WordsError};

/// A flag in one environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct FlagName {
    /// The project's key.
    pub project: String,
    /// The environment's key.
    pub environment: String,
    /// The flag's key.
    pub flag: String,
}

impl fmt::Display for FlagName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}/{})", self.flag, self.project, self.environment)
    }
}

/// What a flag is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Targeting on.
    On,
    /// Targeting off.
    Off,
}

impl State {
    /// The boolean that the flag's JSON has.
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

impl From<bool> for State {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_on() { "on" } else { "off" })
    }
}

/// What of a flag is set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// Targeting.
    State(State),
    /// What is served to whoever no rule matches, in the place of another variation or a rollout.
    Variation(Choice),
}

impl Target {
    /// Whether two changes set the same thing of a flag, be it to different values.
    pub const fn is_about_the_same(&self, other: &Self) -> bool {
        matches!((self, other), (Self::State(_), Self::State(_)) | (Self::Variation(_), Self::Variation(_)))
    }

    /// What is done to a flag, as in "would …".
    pub fn deed(&self) -> String {
        match self {
            Self::State(state) => format!("turn it {state}"),
            Self::Variation(choice) => format!("serve variation {choice}"),
        }
    }
}

impl From<State> for Target {
    fn from(state: State) -> Self {
        Self::State(state)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) => state.fmt(formatter),
            Self::Variation(choice) => write!(formatter, "variation {choice}"),
        }
    }
}

/// A flag set to something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// The flag.
    pub flag: FlagName,
    /// What it is set to.
    pub target: Target,
}

impl fmt::Display for Change {
    /// The journal line, without a line break.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FlagName { project, environment, flag } = &self.flag;
        let [project, environment, flag] = [project, environment, flag].map(|word| words::quote(word));
        write!(formatter, "rc update-ld-api -p {project} -e {environment} -f {flag} ")?;
        match &self.target {
            Target::State(state) => write!(formatter, "-s {state}"),
            Target::Variation(choice) => {
                let choice = choice.to_string();
                // What begins with a dash could be taken for an option.
                write!(formatter, "--variation={}", words::quote(&choice))
            }
        }
    }
}

/// Why a line stands for no change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LineError {
    /// It is no list of words.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// More than one line, or none.
    #[error("{0} lines; one command is expected")]
    Lines(usize),
    /// Another command.
    #[error("it begins with {0:?}; expected `rc update-ld-api -p PROJECT -e ENVIRONMENT -f FLAG -s on|off`")]
    Command(String),
    /// An option that the command does not have.
    #[error("{0:?} is no option of `rc update-ld-api`; it has -p, -e, -f, -s, -v and --variation")]
    Option(String),
    /// An option without its value, or not there at all.
    #[error("{0} has no value")]
    Missing(&'static str),
    /// An option that is there twice.
    #[error("{0} stands twice")]
    Twice(&'static str),
    /// A state that is none.
    #[error("-s is {0:?}; it may be on or off")]
    State(String),
    /// A variation that is none.
    #[error("--variation is {0:?}: {1}")]
    Variation(String, &'static str),
    /// Two changes in one line.
    #[error("--state and --variation stand in one line; one of them is expected")]
    Both,
}

impl FromStr for Change {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let line = lines.next().ok_or(LineError::Lines(0))?;
        let further = lines.count();
        if further > 0 {
            return Err(LineError::Lines(1 + further));
        }
        let mut options = Options::default();
        options.read(words::split(line.trim())?.into_iter())?;
        options.change()
    }
}

/// The command's options, in the order of [`NAMES`].
#[derive(Default)]
struct Options([Option<String>; 6]);

/// An option without a short name has its long one twice.
const NAMES: [(&str, &str); 6] = [
    ("-p", "--project"),
    ("-e", "--environment"),
    ("-f", "--feature"),
    ("-s", "--state"),
    ("-v", "--verbosity"),
    ("--variation", "--variation"),
];

impl Options {
    fn read(&mut self, mut words: impl Iterator<Item = String>) -> Result<(), LineError> {
        let mut has_command = false;
        let program = words.next().unwrap_or_default();
        if program != "rc" {
            return Err(LineError::Command(program));
        }
        while let Some(word) = words.next() {
            if word == "update-ld-api" && !has_command {
                has_command = true;
                continue;
            }
            if !word.starts_with('-') && !has_command {
                return Err(LineError::Command(format!("rc {word}")));
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            let option = NAMES.iter().position(|(short, long)| name == *short || name == *long);
            let option = option.ok_or_else(|| LineError::Option(word.clone()))?;
            let value = value.or_else(|| words.next()).filter(|value| !value.is_empty());
            let value = value.ok_or(LineError::Missing(NAMES[option].1))?;
            if self.0[option].replace(value).is_some() {
                return Err(LineError::Twice(NAMES[option].1));
            }
        }
        if has_command { Ok(()) } else { Err(LineError::Command(program)) }
    }

    fn change(self) -> Result<Change, LineError> {
        let [project, environment, flag, state, _, variation] = self.0;
        Ok(Change {
            target: target(state, variation)?,
            flag: FlagName {
                project: project.ok_or(LineError::Missing("--project"))?,
                environment: environment.ok_or(LineError::Missing("--environment"))?,
                flag: flag.ok_or(LineError::Missing("--feature"))?,
            },
        })
    }
}

fn target(state: Option<String>, variation: Option<String>) -> Result<Target, LineError> {
    match (state, variation) {
        (Some(_), Some(_)) => Err(LineError::Both),
        (None, Some(text)) => {
            let choice = text.parse().map_err(|reason| LineError::Variation(text, reason))?;
            Ok(Target::Variation(choice))
        }
        (state, None) => {
            let state = state.ok_or(LineError::Missing("--state"))?;
            match state.to_ascii_lowercase().as_str() {
                "on" => Ok(State::On.into()),
                "off" => Ok(State::Off.into()),
                _ => Err(LineError::State(state)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change(project: &str, environment: &str, flag: &str, state: State) -> Change {
        let [project, environment, flag] = [project, environment, flag].map(str::to_owned);
        Change { flag: FlagName { project, environment, flag }, target: state.into() }
    }

    #[test]
    fn the_line_is_the_command_that_plays_the_change_back() {
        assert_eq!(change("p", "e", "f", State::On).to_string(), "rc update-ld-api -p p -e e -f f -s on");
        assert_eq!(change("p", "e", "f g", State::Off).to_string(), "rc update-ld-api -p p -e e -f 'f g' -s off");
    }

    #[test]
    fn lines_are_read_however_they_were_quoted() {
        let expected = change("p", "e", "my.flag", State::On);
        for line in [
            "rc update-ld-api -p p -e e -f my.flag -s on",
            "rc update-ld-api -p p -e e -f my.flag -s on\n",
            "  rc update-ld-api -p p -e e -f my.flag -s on\r\n\n",
            "rc update-ld-api -p 'p' -e \"e\" -f my\\.flag -s ON",
            "rc update-ld-api --state=on --feature my.flag --environment=e --project p",
            "rc -v DEBUG update-ld-api -p p -e e -f my.flag -s on -v=x".trim_end_matches(" -v=x"),
        ] {
            assert_eq!(line.parse::<Change>().unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn a_line_may_serve_a_variation() {
        let flag = change("p", "e", "f", State::On).flag;
        let serves = |choice| Change { flag: flag.clone(), target: Target::Variation(choice) };
        let line = "rc update-ld-api -p p -e e -f f --variation=index:1";
        assert_eq!(serves(Choice::Index(1)).to_string(), line);
        for (line, expected) in [
            (line, Choice::Index(1)),
            ("rc update-ld-api -p p -e e -f f --variation 'dark blue'", Choice::Text("dark blue".to_owned())),
            ("rc update-ld-api --variation=-1 -p p -e e -f f", Choice::Text("-1".to_owned())),
        ] {
            assert_eq!(line.parse::<Change>().unwrap(), serves(expected), "{line}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        let command = "expected `rc update-ld-api -p PROJECT -e ENVIRONMENT -f FLAG -s on|off`";
        for (line, expected) in [
            ("", "0 lines; one command is expected".to_owned()),
            ("rc update-ld-api\nrc update-ld-api", "2 lines; one command is expected".to_owned()),
            ("rm -rf /", format!("it begins with \"rm\"; {command}")),
            ("rc playback", format!("it begins with \"rc playback\"; {command}")),
            ("rc", format!("it begins with \"rc\"; {command}")),
            (
                "rc update-ld-api -p p -e e -f f -s on; id",
                "';' stands outside of quotes; only plain words are read, nothing is run".to_owned(),
            ),
            ("rc update-ld-api -p p -e e -s on", "--feature has no value".to_owned()),
            ("rc update-ld-api -p p -e e -f '' -s on", "--feature has no value".to_owned()),
            ("rc update-ld-api -p p -p q -e e -f f -s on", "--project stands twice".to_owned()),
            (
                "rc update-ld-api -p p -e e -f f -s on --variation 1",
                "--state and --variation stand in one line; one of them is expected".to_owned(),
            ),
            (
                "rc update-ld-api -p p -e e -f f --variation index:x",
                "--variation is \"index:x\": no whole number follows `index:`".to_owned(),
            ),
            ("rc update-ld-api -p p -e e -f f -s true", "-s is \"true\"; it may be on or off".to_owned()),
            (
                "rc update-ld-api -p p -e e -f f -s on --exec id",
                "\"--exec\" is no option of `rc update-ld-api`; it has -p, -e, -f, -s, -v and --variation".to_owned(),
            ),
        ] {
            assert_eq!(line.parse::<Change>().unwrap_err().to_string(), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_line_is_read_back_as_the_change_that_it_stands_for(
            keys in prop::array::uniform3("[^\\pC\\u{2028}\\u{2029}]{1,20}"),
            on in any::<bool>(),
            variation in prop::option::of("[^\\pC\\u{2028}\\u{2029}:]{1,20}"),
        ) {
            let [project, environment, flag] = keys;
            let flag = FlagName { project, environment, flag };
            let target = variation.map_or(Target::State(on.into()), |text| Target::Variation(Choice::Text(text)));
            let change = Change { flag, target };
            prop_assert_eq!(change.to_string().parse::<Change>().unwrap(), change);
        }
    }
}
