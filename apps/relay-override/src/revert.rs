//! `rc revert`: a pending override is taken back on every host, as if it had never been.
//!
//! The last override of a flag first, each host by its own record: `on` or `fallthrough`, and
//! `version` become what they were, so that LaunchDarkly's next change is newer than what the store holds. A host that
//! somebody else has written since is left alone: what it holds now is newer than what we know.

use flagcache_program::one_line;
use futures::future::join_all;
use thiserror::Error;

use crate::change::{FlagName, Target};
use crate::console::Console;
use crate::exit::Exit;
use crate::flag_json::{FlagJson, FlagJsonError};
use crate::journal::{Entry, HostRecord, Journal, JournalError};
use crate::store::{Edited, Purpose, Store, StoreError};

/// Why nothing can be reverted.
#[derive(Debug, Error)]
pub enum RevertError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is no such override.
    #[error("revert {0}: no override of it is pending; `rc status` lists those that are")]
    NotPending(FlagName),
}

/// Reverts the pending overrides of `flag`, or all of them.
///
/// # Errors
/// Where there is none, or the journal cannot be used.
pub async fn run<S: Store>(
    flag: Option<&FlagName>,
    stores: &[S],
    journal: &Journal,
    is_dry_run: bool,
    console: &mut Console<'_>,
) -> Result<Exit, RevertError> {
    let _locks = if is_dry_run { None } else { Some((journal.lock_to_play_back()?, journal.lock_to_record()?)) };
    let pending = journal.pending()?;
    let entries: Vec<&Entry> =
        pending.entries.iter().rev().filter(|entry| flag.is_none_or(|flag| entry.change.flag == *flag)).collect();
    match flag {
        Some(flag) if entries.is_empty() => return Err(RevertError::NotPending(flag.clone())),
        None if entries.is_empty() => console.say("nothing to revert"),
        _ => {}
    }
    let mut stuck: Vec<&FlagName> = Vec::new();
    for entry in entries {
        let flag = &entry.change.flag;
        if stuck.contains(&flag) || !revert(entry, stores, journal, is_dry_run, console).await? {
            stuck.push(flag);
        }
    }
    Ok(Exit::done_if(stuck.is_empty()))
}

/// Gives whether the override is gone.
async fn revert<S: Store>(
    entry: &Entry,
    stores: &[S],
    journal: &Journal,
    is_dry_run: bool,
    console: &mut Console<'_>,
) -> Result<bool, JournalError> {
    let change = &entry.change;
    let Some(record) = &entry.record else {
        console.say(format_args!(
            "{} {}: left, because what was there before is not recorded; override it the other way, then remove {}",
            change.flag, change.target, entry.name
        ));
        return Ok(false);
    };
    let missing = record.hosts.keys().filter(|name| !stores.iter().any(|store| store.name() == *name));
    let mut is_gone = true;
    for name in missing {
        is_gone = false;
        console.say(format_args!(
            "{name}  {}: not reverted, because it is not among REDIS_HOSTS and the table",
            change.flag
        ));
    }
    let ours = stores.iter().filter_map(|store| Some((store, record.hosts.get(store.name())?)));
    let all = ours.map(|(store, host)| async move { (store.name(), restore(store, entry, host, is_dry_run).await) });
    for (name, restored) in join_all(all).await {
        is_gone &= !matches!(restored, Restored::Failed(_));
        console.say(format_args!("{name}  {} {}: {}", change.flag, change.target, restored.text()));
    }
    if is_gone && !is_dry_run {
        journal.set_aside(&entry.name)?;
    }
    Ok(is_gone)
}

enum Restored {
    Done { from: u64, to: u64 },
    WouldDo { from: u64, to: u64 },
    AlreadySo { version: u64 },
    Moved { version: u64 },
    Gone,
    Failed(StoreError),
}

impl Restored {
    fn text(&self) -> String {
        match self {
            Self::Done { from, to } => format!("reverted v{from} → v{to}"),
            Self::WouldDo { from, to } => format!("would revert v{from} → v{to}"),
            Self::AlreadySo { version } => format!("unchanged (v{version})"),
            Self::Moved { version } => format!("left at v{version}: somebody wrote it after the override"),
            Self::Gone => "no such flag any more".to_owned(),
            Self::Failed(error) => one_line(error),
        }
    }
}

async fn restore<S: Store>(store: &S, entry: &Entry, host: &HostRecord, is_dry_run: bool) -> Restored {
    let flag = &entry.change.flag;
    if is_dry_run {
        return match store.read(flag).await {
            Ok(Some(text)) => match restored(&text, entry, host) {
                Ok(Some(_)) => Restored::WouldDo { from: host.override_version, to: host.before.version },
                Ok(None) => kept(&text, host),
                Err(error) => Restored::Failed(error.into()),
            },
            Ok(None) => Restored::Gone,
            Err(error) => Restored::Failed(error),
        };
    }
    match store.edit(flag, Purpose::Override, |text: &str| restored(text, entry, host)).await {
        Ok(Edited::Written { .. }) => Restored::Done { from: host.override_version, to: host.before.version },
        Ok(Edited::Kept(text)) => kept(&text, host),
        Ok(Edited::Absent) => Restored::Gone,
        Err(error) => Restored::Failed(error),
    }
}

/// The flag's JSON as it was before the override; nothing where it is not the override's any more.
fn restored(text: &str, entry: &Entry, host: &HostRecord) -> Result<Option<String>, FlagJsonError> {
    let flag = FlagJson::parse(text)?;
    let before = &host.before;
    if flag.version() != host.override_version || !flag.is_set_to(&entry.change.target)? {
        return Ok(None);
    }
    match (&entry.change.target, &before.fallthrough) {
        (Target::Variation(_), Some(fallthrough)) => flag.with_fallthrough(fallthrough, before.version).map(Some),
        (Target::Variation(_), None) => Ok(None),
        // An `on` that was no boolean was of no use to anybody: SDKs read a missing one as off.
        (Target::State(_), _) => Ok(Some(flag.with(before.on.unwrap_or(false), before.version))),
    }
}

fn kept(text: &str, host: &HostRecord) -> Restored {
    match FlagJson::parse(text) {
        Ok(flag) if flag.version() == host.before.version => Restored::AlreadySo { version: flag.version() },
        Ok(flag) => Restored::Moved { version: flag.version() },
        Err(error) => Restored::Failed(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Held;

    #[test]
    fn only_the_overrides_own_version_is_taken_back() {
        let host =
            HostRecord { before: Held { version: 12, on: Some(false), fallthrough: None }, override_version: 13 };
        let change = "rc update-ld-api -p p -e e -f f -s on".parse().unwrap();
        let entry = Entry { name: "n".to_owned(), change, at: chrono::Utc::now(), record: None };
        for (held, expected) in [
            (r#"{"on":true,"version":13}"#, Some(r#"{"on":false,"version":12}"#)),
            (r#"{"on":true,"version":14}"#, None),
            (r#"{"on":false,"version":13}"#, None),
            (r#"{"on":false,"version":12}"#, None),
        ] {
            assert_eq!(restored(held, &entry, &host).unwrap().as_deref(), expected, "{held}");
        }
    }
}
