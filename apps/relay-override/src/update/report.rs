//! What the user is told: a line a host, and which hosts still serve the old state.

use flagcache_program::one_line;

use super::plan::Outcome;
use crate::change::{Change, Target};
use crate::console::Console;
use crate::exit::Exit;

pub(super) fn print(
    change: &Change,
    names: &[&str],
    outcomes: &[Outcome],
    is_dry_run: bool,
    console: &mut Console<'_>,
) -> Exit {
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    for (name, outcome) in names.iter().zip(outcomes) {
        console.say(format_args!("{name:width$}  {}", line(outcome)));
    }
    let failed: Vec<&str> =
        names.iter().zip(outcomes).filter(|(_, outcome)| !outcome.is_done()).map(|(name, _)| *name).collect();
    if !failed.is_empty() && !is_dry_run {
        console.remark(summary(change, &failed, outcomes));
    }
    Exit::done_if(failed.is_empty())
}

fn line(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Updated { before, version } => format!("updated v{} → v{version}", before.version),
        Outcome::WouldUpdate(held) => format!("would update v{} → v{}", held.version, held.version + 1),
        Outcome::Unchanged { version } => format!("unchanged (v{version})"),
        Outcome::NoSuchFlag => "no such flag".to_owned(),
        Outcome::Failed(error) => one_line(error),
    }
}

fn summary(change: &Change, failed: &[&str], outcomes: &[Outcome]) -> String {
    let (flag, is) = (&change.flag, serves(&change.target));
    if outcomes.iter().all(|outcome| matches!(outcome, Outcome::NoSuchFlag)) {
        return format!(
            "{flag} is on no host: check the keys, or --key-prefix (of a table, --table-prefix) if another one is in use; \
             nothing was recorded"
        );
    }
    let done = outcomes.len() - failed.len();
    if done == 0 {
        return format!("{flag} {is} on no host: all still serve the old state");
    }
    format!(
        "{flag} {is} on {done} of {} hosts; still serving the old state: {}; run the same command again once they are back",
        outcomes.len(),
        failed.join(", ")
    )
}

fn serves(target: &Target) -> String {
    match target {
        Target::State(state) => format!("is {state}"),
        Target::Variation(choice) => format!("serves variation {choice}"),
    }
}
