//! What an override means for one host; pure but for the look at the host.

use crate::change::{Change, State};
use crate::flag_json::{FlagJson, FlagJsonError};
use crate::journal::{Held, HostRecord, Record};
use crate::store::{Store, StoreError};

/// What a look at a host shows.
#[derive(Debug)]
pub enum Seen {
    /// It holds the flag in another state.
    ToChange(Held),
    /// It holds it in this state already.
    AlreadySo {
        /// Its version there.
        version: u64,
    },
    /// It has no such flag.
    NoSuchFlag,
    /// It cannot be read.
    Failed(StoreError),
}

/// What became of a host.
#[derive(Debug)]
pub enum Outcome {
    /// It has the override.
    Updated {
        /// What it held before.
        before: Held,
        /// The version of the override.
        version: u64,
    },
    /// It would get the override (`--dry-run`).
    WouldUpdate(Held),
    /// It was so already.
    Unchanged {
        /// Its version there.
        version: u64,
    },
    /// It has no such flag.
    NoSuchFlag,
    /// It was not changed, or it is not known.
    Failed(StoreError),
}

impl Outcome {
    pub(super) fn planned(seen: Seen) -> Self {
        match seen {
            Seen::ToChange(held) => Self::WouldUpdate(held),
            Seen::AlreadySo { version } => Self::Unchanged { version },
            Seen::NoSuchFlag => Self::NoSuchFlag,
            Seen::Failed(error) => Self::Failed(error),
        }
    }

    /// Whether the host serves the new state.
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Updated { .. } | Self::WouldUpdate(_) | Self::Unchanged { .. })
    }
}

pub(super) async fn look<S: Store>(store: &S, change: &Change) -> Seen {
    let text = match store.read(&change.flag).await {
        Ok(Some(text)) => text,
        Ok(None) => return Seen::NoSuchFlag,
        Err(error) => return Seen::Failed(error),
    };
    match FlagJson::parse(&text) {
        Ok(flag) if flag.is_deleted() => Seen::NoSuchFlag,
        Ok(flag) if flag.on() == Some(change.state.is_on()) => Seen::AlreadySo { version: flag.version() },
        Ok(flag) => Seen::ToChange(Held { version: flag.version(), on: flag.on() }),
        Err(error) => Seen::Failed(error.into()),
    }
}

/// The flag's JSON with the override; nothing where it is to stay.
pub(super) fn overridden(text: &str, state: State) -> Result<Option<String>, FlagJsonError> {
    let flag = FlagJson::parse(text)?;
    let is_so = flag.is_deleted() || flag.on() == Some(state.is_on());
    Ok((!is_so).then(|| flag.with(state.is_on(), flag.version() + 1)))
}

/// What is to be said of a flag that was left as it is.
pub(super) fn kept(text: &str) -> Outcome {
    match FlagJson::parse(text) {
        Ok(flag) if flag.is_deleted() => Outcome::NoSuchFlag,
        Ok(flag) => Outcome::Unchanged { version: flag.version() },
        Err(error) => Outcome::Failed(error.into()),
    }
}

/// What is going to happen, host by host.
pub(super) fn record<'a>(hosts: impl Iterator<Item = (&'a str, &'a Seen)>) -> Record {
    let to_change = hosts.filter_map(|(name, seen)| match seen {
        Seen::ToChange(before) => {
            Some((name.to_owned(), HostRecord { before: *before, override_version: before.version + 1 }))
        }
        _ => None,
    });
    Record { hosts: to_change.collect(), ..Record::default() }
}

/// What has happened, host by host. Where that is not known, it counts as happened.
pub(super) fn taken<'a>(hosts: impl Iterator<Item = (&'a str, &'a Outcome)>, planned: &Record) -> Record {
    let taken = hosts.filter_map(|(name, outcome)| match outcome {
        Outcome::Updated { before, version } => {
            Some((name.to_owned(), HostRecord { before: *before, override_version: *version }))
        }
        Outcome::Failed(error) if error.may_be_written() => Some((name.to_owned(), planned.hosts.get(name)?.clone())),
        _ => None,
    });
    Record { hosts: taken.collect(), ..Record::default() }
}
