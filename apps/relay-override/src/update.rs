//! `rc update-redis` and `rc update-dynamodb`: the override itself.
//!
//! 1. All hosts (a table counts as one) are read at once: who has the flag, and in which state?
//!    A variation named by its value becomes an index.
//! 2. The change is recorded, on disk, before any host is touched; not where no host needs it.
//! 3. All hosts are changed at once, each on its own.
//! 4. The record is withdrawn where no host took the change, and set right where some did not.
//!
//! So a crash leaves a record without an override at worst, never an override without a record.
//! A re-run brings the remaining hosts up to the record that is there already.

mod plan;
mod report;

use std::time::Instant;

use flagcache_program::one_line;
use futures::future::join_all;

use crate::change::Change;
use crate::console::Console;
use crate::exit::Exit;
use crate::flag_json::FlagJson;
use crate::journal::{Journal, JournalError, Record};
use crate::store::{Edited, Purpose, Store, StoreError};

pub use plan::{Outcome, Seen};

/// Overrides a flag in all `stores`; with `is_dry_run` only says what would happen.
///
/// # Errors
/// Where the journal cannot be written: then no host was touched.
pub async fn run<S: Store>(
    change: &Change,
    stores: &[S],
    journal: &Journal,
    is_dry_run: bool,
    console: &mut Console<'_>,
) -> Result<Exit, JournalError> {
    let start = Instant::now();
    let _lock = if is_dry_run { None } else { Some(journal.lock_to_record()?) };
    let texts = join_all(stores.iter().map(|store| store.read(&change.flag))).await;
    let resolved = plan::resolved(change, texts.iter().filter_map(|text| text.as_ref().ok()?.as_deref()));
    let change = resolved.as_ref().unwrap_or(change);
    let seen = texts.into_iter().map(|text| plan::seen(text, change, resolved.as_ref().err())).collect();
    let (outcomes, left_behind) =
        if is_dry_run { (as_planned(seen), Ok(())) } else { carry_out(change, stores, journal, seen).await? };
    tracing::debug!(duration_ms = start.elapsed().as_millis(), hosts = stores.len(), "overridden");
    let names: Vec<_> = stores.iter().map(Store::name).collect();
    let exit = report::print(change, &names, &outcomes, is_dry_run, console);
    if let Err(error) = left_behind {
        console.remark(format_args!("the record is not up to date: {}", one_line(&error)));
        return Ok(Exit::Failed);
    }
    Ok(exit)
}

fn as_planned(seen: Vec<Seen>) -> Vec<Outcome> {
    seen.into_iter().map(Outcome::planned).collect()
}

/// What became of each host, and whether the record says so. An error only where no host was touched.
async fn carry_out<S: Store>(
    change: &Change,
    stores: &[S],
    journal: &Journal,
    seen: Vec<Seen>,
) -> Result<(Vec<Outcome>, Result<(), JournalError>), JournalError> {
    let planned: Record = plan::record(stores.iter().map(Store::name).zip(&seen));
    if planned.hosts.is_empty() {
        return Ok((as_planned(seen), Ok(())));
    }
    let entry = Recorded::begin(change, journal, planned)?;
    let outcomes = join_all(stores.iter().zip(seen).map(|(store, seen)| async {
        match seen {
            Seen::ToChange(_) => override_flag(store, change).await,
            other => Outcome::planned(other),
        }
    }))
    .await;
    let taken = plan::taken(stores.iter().map(Store::name).zip(&outcomes), &entry.planned);
    let ended = entry.end(journal, &taken);
    Ok((outcomes, ended))
}

async fn override_flag<S: Store>(store: &S, change: &Change) -> Outcome {
    let edited = store.edit(&change.flag, Purpose::Override, |text: &str| plan::overridden(text, &change.target)).await;
    match edited {
        Ok(Edited::Written { before, after }) => match (FlagJson::parse(&before), FlagJson::parse(&after)) {
            (Ok(before), Ok(after)) => {
                Outcome::Updated { before: plan::held(&before, change), version: after.version() }
            }
            // Both were parsed to be edited.
            (Err(error), _) | (_, Err(error)) => Outcome::Failed(StoreError::Malformed(error)),
        },
        Ok(Edited::Kept(text)) => plan::kept(&text),
        Ok(Edited::Absent) => Outcome::NoSuchFlag,
        Err(error) => Outcome::Failed(error),
    }
}

/// The change's place in the journal: a new file, or the pending one that says the same already.
struct Recorded {
    name: String,
    /// What was known before this run; nothing where the file is new.
    known: Option<Record>,
    planned: Record,
}

impl Recorded {
    fn begin(change: &Change, journal: &Journal, planned: Record) -> Result<Self, JournalError> {
        let last = journal.last_of(change)?.filter(|entry| entry.change == *change);
        if let Some(entry) = last {
            let known = entry.record.unwrap_or_default();
            journal.save_record(&entry.name, &with(&known, &planned))?;
            return Ok(Self { name: entry.name, known: Some(known), planned });
        }
        let name = journal.record(change, &planned)?;
        Ok(Self { name, known: None, planned })
    }

    fn end(self, journal: &Journal, taken: &Record) -> Result<(), JournalError> {
        match self.known {
            None if taken.hosts.is_empty() => journal.withdraw(&self.name),
            _ if *taken == self.planned => Ok(()),
            known => journal.save_record(&self.name, &with(&known.unwrap_or_default(), taken)),
        }
    }
}

/// `known` with the hosts of `more`, which looked later.
fn with(known: &Record, more: &Record) -> Record {
    let mut all = known.clone();
    all.hosts.extend(more.hosts.clone());
    all
}
