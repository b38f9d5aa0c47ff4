//! `rc status`: what is pending, what each host holds, what LaunchDarkly says, and what playback
//! would do. Changes nothing; the same facts as lines for people and as JSON for programs.

mod facts;
mod print;

use flagcache_program::one_line;
use futures::future::join_all;

use crate::change::{FlagName, Target};
use crate::console::Console;
use crate::exit::Exit;
use crate::flag_json::FlagJson;
use crate::journal::{Journal, JournalError, Pending};
use crate::launchdarkly::{FlagState, LaunchDarkly};
use crate::playback::{self, Step};
use crate::store::Store;

use facts::{FlagFacts, HostFacts, Outlook, PendingFacts, Side, Status, Unusable};

/// Shows the status.
///
/// # Errors
/// Where the journal cannot be read.
pub async fn run<S: Store>(
    stores: &[S],
    launchdarkly: Option<&LaunchDarkly>,
    journal: &Journal,
    is_json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, JournalError> {
    let pending = journal.pending()?;
    let known = playback::known(journal.archived()?);
    let mut is_reachable = true;
    let mut flags = Vec::new();
    for flag in pending.flags() {
        let is_about_variation = pending.of(flag).any(|entry| matches!(entry.change.target, Target::Variation(_)));
        let hosts = join_all(stores.iter().map(|store| look(store, flag, is_about_variation))).await;
        let (theirs, state) = theirs(launchdarkly, flag, is_about_variation, &mut is_reachable).await;
        let squashed = playback::steps(pending.of(flag).cloned().collect(), true);
        let outlooks: Vec<Outlook> = squashed.iter().map(|step| outlook(step, state, &known)).collect();
        flags.push(FlagFacts {
            flag: flag.clone(),
            pending: pending_facts(&pending, flag),
            hosts,
            launchdarkly: theirs,
            playback: worst(outlooks),
        });
    }
    let unusable = pending.unusable.iter();
    let unusable = unusable.map(|file| Unusable { file: file.name.clone(), error: one_line(&file.error) }).collect();
    let status = Status { flags, unusable };
    if is_json {
        // All of it is strings, numbers and booleans.
        console.say(serde_json::to_string_pretty(&status).unwrap_or_default());
    } else {
        print::print(&status, chrono::Utc::now(), console);
    }
    Ok(Exit::done_if(status.is_sound()))
}

fn pending_facts(pending: &Pending, flag: &FlagName) -> Vec<PendingFacts> {
    let facts = pending.of(flag).map(|entry| PendingFacts {
        file: entry.name.clone(),
        state: match &entry.change.target {
            Target::State(state) => Some(*state),
            Target::Variation(_) => None,
        },
        variation: match &entry.change.target {
            Target::State(_) => None,
            Target::Variation(choice) => Some(choice.to_string()),
        },
        at: entry.at,
        held_version: entry.record.as_ref().and_then(crate::journal::Record::held_version),
    });
    facts.collect()
}

async fn look<S: Store>(store: &S, flag: &FlagName, is_about_variation: bool) -> HostFacts {
    let held = match store.read(flag).await {
        Ok(Some(text)) => match FlagJson::parse(&text) {
            Ok(flag) if flag.is_deleted() => Side::Absent,
            Ok(flag) => Side::Holds {
                version: flag.version(),
                on: flag.on(),
                variation: flag.variation().filter(|_| is_about_variation),
            },
            Err(error) => Side::Unknown { error: one_line(&error) },
        },
        Ok(None) => Side::Absent,
        Err(error) => Side::Unknown { error: one_line(&error) },
    };
    HostFacts { host: store.name().to_owned(), held }
}

/// Where LaunchDarkly did not answer once, it is not asked again.
async fn theirs(
    launchdarkly: Option<&LaunchDarkly>,
    flag: &FlagName,
    is_about_variation: bool,
    is_reachable: &mut bool,
) -> (Side, Option<FlagState>) {
    let unknown = |error: &str| (Side::Unknown { error: error.to_owned() }, None);
    let Some(launchdarkly) = launchdarkly else { return unknown("not asked, because LD_API_KEY is not set") };
    if !*is_reachable {
        return unknown("unreachable");
    }
    match launchdarkly.glance(flag).await {
        Ok(state) => {
            let variation = state.variation.filter(|_| is_about_variation);
            (Side::Holds { version: state.version, on: Some(state.on), variation }, Some(state))
        }
        Err(error) => {
            *is_reachable = !error.is_outage();
            unknown(&one_line(&error))
        }
    }
}

/// What playback would do about a flag of which several things are set: a conflict counts before a
/// change, and a change before nothing.
fn worst(outlooks: Vec<Outlook>) -> Outlook {
    let weight = |outlook: &Outlook| match outlook {
        Outlook::NothingToDo => 0,
        Outlook::Set { .. } => 1,
        Outlook::Conflict { .. } => 2,
        Outlook::Unknown => 3,
    };
    outlooks.into_iter().max_by_key(weight).unwrap_or(Outlook::Unknown)
}

fn outlook(step: &Step, theirs: Option<FlagState>, known: &std::collections::HashMap<(FlagName, u64), u64>) -> Outlook {
    let Some(theirs) = theirs else { return Outlook::Unknown };
    match playback::judge(theirs, &step.entry.change.target, playback::expected_version(step, known)) {
        playback::Verdict::AlreadySo => Outlook::NothingToDo,
        playback::Verdict::Clear => Outlook::set(&step.entry.change.target),
        playback::Verdict::Conflict { expected } => Outlook::Conflict { expected_version: expected },
    }
}
