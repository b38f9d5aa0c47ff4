//! What an override means for one host; pure.

use std::collections::BTreeSet;

use crate::change::{Change, Target};
use crate::flag_json::{FlagJson, FlagJsonError};
use crate::journal::{Held, HostRecord, Record};
use crate::store::StoreError;
use crate::variation::{Choice, ChoiceError};

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

/// The change with the variation's index, where a value was given: the journal has to mean the same
/// to everybody. Where no host's flag has such a variation, the change stays as it is, and each host
/// says why.
///
/// # Errors
/// Where it is another variation on another host.
pub(super) fn resolved<'a>(change: &Change, texts: impl Iterator<Item = &'a str>) -> Result<Change, ChoiceError> {
    let Target::Variation(choice) = &change.target else { return Ok(change.clone()) };
    let indices: BTreeSet<usize> = texts.filter_map(|text| FlagJson::parse(text).ok()?.index(choice).ok()).collect();
    match indices.into_iter().collect::<Vec<_>>()[..] {
        [] => Ok(change.clone()),
        [index] => Ok(Change { target: Target::Variation(Choice::Index(index)), ..change.clone() }),
        _ => Err(ChoiceError::Differs { choice: choice.to_string() }),
    }
}

/// What a host holds, seen with a change in mind; `differs` where the change means another
/// variation on another host.
pub(super) fn seen(text: Result<Option<String>, StoreError>, change: &Change, differs: Option<&ChoiceError>) -> Seen {
    let text = match text {
        Ok(Some(text)) => text,
        Ok(None) => return Seen::NoSuchFlag,
        Err(error) => return Seen::Failed(error),
    };
    if let Some(differs) = differs {
        return Seen::Failed(StoreError::Choice(differs.clone()));
    }
    let judged = FlagJson::parse(&text).and_then(|flag| {
        if flag.is_deleted() {
            return Ok(Seen::NoSuchFlag);
        }
        let is_so = flag.is_set_to(&change.target)?;
        Ok(if is_so { Seen::AlreadySo { version: flag.version() } } else { Seen::ToChange(held(&flag, change)) })
    });
    judged.unwrap_or_else(|error| Seen::Failed(error.into()))
}

/// What is to be remembered of a flag before a change.
pub(super) fn held(flag: &FlagJson<'_>, change: &Change) -> Held {
    let is_variation = matches!(change.target, Target::Variation(_));
    let fallthrough = flag.fallthrough().filter(|_| is_variation).map(str::to_owned);
    Held { version: flag.version(), on: flag.on(), fallthrough }
}

/// The flag's JSON with the override; nothing where it is to stay.
pub(super) fn overridden(text: &str, target: &Target) -> Result<Option<String>, FlagJsonError> {
    let flag = FlagJson::parse(text)?;
    if flag.is_deleted() || flag.is_set_to(target)? {
        return Ok(None);
    }
    flag.set_to(target, flag.version() + 1).map(Some)
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
            Some((name.to_owned(), HostRecord { before: before.clone(), override_version: before.version + 1 }))
        }
        _ => None,
    });
    Record { hosts: to_change.collect(), ..Record::default() }
}

/// What has happened, host by host. Where that is not known, it counts as happened.
pub(super) fn taken<'a>(hosts: impl Iterator<Item = (&'a str, &'a Outcome)>, planned: &Record) -> Record {
    let taken = hosts.filter_map(|(name, outcome)| match outcome {
        Outcome::Updated { before, version } => {
            Some((name.to_owned(), HostRecord { before: before.clone(), override_version: *version }))
        }
        Outcome::Failed(error) if error.may_be_written() => Some((name.to_owned(), planned.hosts.get(name)?.clone())),
        _ => None,
    });
    Record { hosts: taken.collect(), ..Record::default() }
}
