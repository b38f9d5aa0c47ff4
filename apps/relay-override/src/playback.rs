//! `rc playback`: the record goes to LaunchDarkly, in order.
//!
//! Changes of one flag keep their order: where one stays, so do the later ones of its flag, while
//! other flags go on. A change moves to `archive` as soon as LaunchDarkly has it, so that a
//! playback that is cut short goes on where it was. Afterwards both sides are read back
//! (`read_back`): an override raised the version in Redis, and LaunchDarkly's next real change
//! could carry that very number and be refused as not newer.

mod conflict;
mod plan;
mod progress;
mod read_back;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use flagcache_program::one_line;

use crate::change::{FlagName, Target};
use crate::cli;
use crate::console::Console;
use crate::exit::Exit;
use crate::journal::{Journal, JournalError, Record};
use crate::launchdarkly::{self, FlagState, LaunchDarkly, LaunchDarklyError};
use crate::store::Store;

use conflict::Answer;
use progress::Progress;

pub(crate) use conflict::{Verdict, judge};
pub(crate) use plan::{Step, expected_version, known, steps};

/// Between two questions whether LaunchDarkly is back.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Flags without an answer in a row after which LaunchDarkly counts as gone.
const UNANSWERED: usize = 2;

/// Plays the journal back.
///
/// # Errors
/// Where the journal cannot be used, or another playback uses it.
pub async fn run<S: Store>(
    arguments: &cli::Playback,
    launchdarkly: &LaunchDarkly,
    stores: &[S],
    journal: &Journal,
    console: &mut Console<'_>,
) -> Result<Exit, JournalError> {
    let _lock = if arguments.dry_run { None } else { Some(journal.lock_to_play_back()?) };
    if arguments.waits {
        wait(launchdarkly, console).await;
    }
    let pending = journal.pending()?;
    for file in &pending.unusable {
        console.say(format_args!("{}  left as it is: {}", file.name, one_line(&file.error)));
    }
    let has_unusable = !pending.unusable.is_empty();
    if pending.entries.is_empty() {
        console.say("nothing to play back");
        return Ok(Exit::done_if(!has_unusable));
    }
    let archived = journal.archived()?;
    let steps = plan::steps(pending.entries, arguments.squash);
    let progress = Progress::new(steps.len(), console.is_interactive());
    let mut playback = Playback {
        arguments,
        launchdarkly,
        journal,
        console,
        progress,
        known: plan::known(archived),
        stuck: HashSet::new(),
        played: Vec::new(),
        unanswered: 0,
        answer_for_all: None,
    };
    let left = playback.play(&steps).await?;
    if !arguments.dry_run {
        journal.settle()?;
    }
    let played = playback.finish();
    let is_equal = read_back::run(&played, launchdarkly, stores, console).await;
    Ok(Exit::done_if(left == 0 && !has_unusable && is_equal))
}

async fn wait(launchdarkly: &LaunchDarkly, console: &mut Console<'_>) {
    let mut is_told = false;
    while !launchdarkly.answers().await {
        if !is_told {
            console.remark(format_args!("waiting for LaunchDarkly at {} …", launchdarkly.address()));
            is_told = true;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// A flag that was played back.
#[derive(Debug)]
struct Played {
    /// The flag.
    flag: FlagName,
    /// What is known of its changes.
    records: Vec<Record>,
    /// What LaunchDarkly made of it.
    after: FlagState,
    /// Whether nothing says that LaunchDarkly's flag is another than what was overridden, but for
    /// `on` and `version`; a variation that took another's place counts as other.
    is_otherwise_same: bool,
}

/// How a step ended.
enum End {
    /// LaunchDarkly has it.
    Played(String),
    /// Only said what would happen.
    Shown(String),
    /// It stays in `toDo`, and the later changes of its flag too.
    Left(String),
    /// It stays, and everything after it.
    Stop(String),
}

struct Playback<'a, 'c> {
    arguments: &'a cli::Playback,
    launchdarkly: &'a LaunchDarkly,
    journal: &'a Journal,
    console: &'a mut Console<'c>,
    progress: Progress,
    /// Versions that earlier playbacks led to, by flag and the override's version.
    known: HashMap<(FlagName, u64), u64>,
    /// Flags of which a change stayed.
    stuck: HashSet<FlagName>,
    played: Vec<Played>,
    unanswered: usize,
    answer_for_all: Option<Answer>,
}

impl Playback<'_, '_> {
    /// Gives the number of changes that stay.
    async fn play(&mut self, steps: &[Step]) -> Result<usize, JournalError> {
        let mut left = 0;
        for (position, step) in steps.iter().enumerate() {
            let end = self.step(step).await?;
            let (line, stays) = match &end {
                End::Played(line) | End::Shown(line) => (line, false),
                End::Left(line) | End::Stop(line) => (line, true),
            };
            let change = &step.entry.change;
            self.progress.line(self.console, format_args!("{} {}: {line}", change.flag, change.target));
            if stays {
                self.stuck.insert(change.flag.clone());
                left += 1 + step.earlier.len();
            }
            if let End::Stop(_) = end {
                let rest: usize = steps[position + 1..].iter().map(|step| 1 + step.earlier.len()).sum();
                self.console.remark(format_args!("stopped; {} changes stay in toDo: run it again later", left + rest));
                return Ok(left + rest);
            }
        }
        Ok(left)
    }

    fn finish(self) -> Vec<Played> {
        self.progress.end();
        self.played
    }

    async fn step(&mut self, step: &Step) -> Result<End, JournalError> {
        let flag = &step.entry.change.flag;
        if self.stuck.contains(flag) {
            return Ok(End::Left("left: an earlier change of this flag is still to do".to_owned()));
        }
        let before = match self.launchdarkly.state(flag).await {
            Ok(before) => before,
            Err(error) if error.is_without_state() && !self.arguments.dry_run => {
                return self.unseen(step, &error).await;
            }
            Err(error) => return Ok(self.failed(&error)),
        };
        let expected = plan::expected_version(step, &self.known);
        let verdict = conflict::judge(before, &step.entry.change.target, expected);
        if self.arguments.dry_run {
            return Ok(self.shown(step, before, verdict));
        }
        if let Verdict::Conflict { expected } = verdict
            && !self.is_confirmed(step, before, expected)
        {
            return Ok(End::Left(format!(
                "skipped: LaunchDarkly has changed it since the override (v{expected} → v{}); --force overwrites",
                before.version
            )));
        }
        let after = match verdict {
            Verdict::AlreadySo => Some(before),
            Verdict::Clear | Verdict::Conflict { .. } => {
                let comment = launchdarkly::comment(step.entry.at);
                match self.launchdarkly.patch(&step.entry.change, &comment).await {
                    Ok(after) => after,
                    Err(error) => return Ok(self.failed(&error)),
                }
            }
        };
        self.unanswered = 0;
        self.archive(step, Some(before), after, expected)?;
        Ok(End::Played(match (verdict, after) {
            (Verdict::AlreadySo, _) => format!("is so in LaunchDarkly already (v{})", before.version),
            (_, Some(after)) => format!("done v{} → v{}", before.version, after.version),
            (_, None) => format!("done, was v{}", before.version),
        }))
    }

    /// A change of a flag that cannot be looked at: LaunchDarkly itself decides whether there is one to change, and
    /// where it refuses, why the flag could not be seen says more.
    async fn unseen(&mut self, step: &Step, unseen: &LaunchDarklyError) -> Result<End, JournalError> {
        let comment = launchdarkly::comment(step.entry.at);
        match self.launchdarkly.patch(&step.entry.change, &comment).await {
            Ok(after) => {
                self.unanswered = 0;
                self.archive(step, None, after, None)?;
                Ok(End::Played("done".to_owned()))
            }
            Err(error) if error.is_outage() || error.is_for_all() => Ok(self.failed(&error)),
            Err(_) => Ok(self.failed(unseen)),
        }
    }

    fn archive(
        &mut self,
        step: &Step,
        before: Option<FlagState>,
        after: Option<FlagState>,
        expected: Option<u64>,
    ) -> Result<(), JournalError> {
        let flag = &step.entry.change.flag;
        let known = self.played.iter().position(|played| played.flag == *flag).map(|at| self.played.remove(at));
        let was_same = known.as_ref().is_none_or(|played| played.is_otherwise_same);
        let is_state = matches!(step.entry.change.target, Target::State(_));
        let is_the_change_alone = before.zip(after).is_some_and(|(before, after)| {
            expected.is_none_or(|expected| expected == before.version) && after.version <= before.version + 1
        });
        let is_otherwise_same = is_state && was_same && is_the_change_alone;
        let mut records = known.map_or_else(Vec::new, |played| played.records);
        for entry in step.earlier.iter().chain([&step.entry]) {
            let launchdarkly_version = after.map(|after| after.version);
            let record = entry.record.clone().map(|record| Record { launchdarkly_version, ..record });
            self.journal.archive(&entry.name, record.as_ref())?;
            if let Some((version, after)) = record.as_ref().and_then(Record::override_version).zip(launchdarkly_version)
            {
                self.known.insert((flag.clone(), version), after);
            }
            records.extend(record);
        }
        match after {
            Some(after) => self.played.push(Played { flag: flag.clone(), records, after, is_otherwise_same }),
            None => self
                .console
                .remark(format_args!("{flag}: LaunchDarkly does not say what it is now; compare with `rc status`")),
        }
        Ok(())
    }

    fn shown(&self, step: &Step, before: FlagState, verdict: Verdict) -> End {
        End::Shown(match verdict {
            Verdict::AlreadySo => format!("is so in LaunchDarkly already (v{})", before.version),
            Verdict::Clear => format!("would {} (v{} now)", step.entry.change.target.deed(), before.version),
            Verdict::Conflict { expected } if self.arguments.force => {
                format!("would overwrite LaunchDarkly's change since the override (v{expected} → v{})", before.version)
            }
            Verdict::Conflict { expected } => {
                format!(
                    "would skip it: LaunchDarkly has changed it since the override (v{expected} → v{})",
                    before.version
                )
            }
        })
    }

    fn is_confirmed(&mut self, step: &Step, before: FlagState, expected: u64) -> bool {
        if self.arguments.force {
            return true;
        }
        if !self.console.is_interactive() {
            return false;
        }
        if let Some(answer) = self.answer_for_all {
            return answer.is_yes();
        }
        let change = &step.entry.change;
        let question = format!(
            "{}: LaunchDarkly has changed it since the override (v{expected} → v{}, now {}). Set it to {} all the same? \
             [y]es, [n]o, yes to [a]ll, [s]kip all:",
            change.flag,
            before.version,
            crate::change::State::from(before.on),
            change.target
        );
        let answer = self.progress.suspended(|| conflict::ask(self.console, &question));
        if answer.is_for_all() {
            self.answer_for_all = Some(answer);
        }
        answer.is_yes()
    }

    fn failed(&mut self, error: &LaunchDarklyError) -> End {
        let text = format!("failed: {}", one_line(error));
        if error.is_for_all() {
            return End::Stop(text);
        }
        self.unanswered = if error.is_outage() { self.unanswered + 1 } else { 0 };
        if self.unanswered >= UNANSWERED { End::Stop(text) } else { End::Left(text) }
    }
}
