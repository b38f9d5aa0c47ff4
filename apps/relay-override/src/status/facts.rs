//! What is known, in the shape that `--json` prints. Fields may be added; none goes away.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::change::{FlagName, State, Target};

#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) flags: Vec<FlagFacts>,
    /// Files in `toDo` that stand for no change.
    pub(super) unusable: Vec<Unusable>,
}

impl Status {
    /// Whether every host answered and every file is one.
    pub(super) fn is_sound(&self) -> bool {
        let mut hosts = self.flags.iter().flat_map(|flag| &flag.hosts);
        self.unusable.is_empty() && hosts.all(|host| !matches!(host.held, Side::Unknown { .. }))
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Unusable {
    pub(super) file: String,
    pub(super) error: String,
}

#[derive(Debug, Serialize)]
pub(super) struct FlagFacts {
    #[serde(flatten)]
    pub(super) flag: FlagName,
    /// By time.
    pub(super) pending: Vec<PendingFacts>,
    pub(super) hosts: Vec<HostFacts>,
    pub(super) launchdarkly: Side,
    pub(super) playback: Outlook,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PendingFacts {
    pub(super) file: String,
    /// Where targeting was switched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<State>,
    /// Where another variation is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) variation: Option<String>,
    pub(super) at: DateTime<Utc>,
    /// The version that the hosts held before.
    pub(super) held_version: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct HostFacts {
    pub(super) host: String,
    #[serde(flatten)]
    pub(super) held: Side,
}

/// A flag on one side.
#[derive(Debug, Serialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub(super) enum Side {
    Holds {
        version: u64,
        on: Option<bool>,
        /// Where that is what was overridden; nothing also where a rollout is served.
        #[serde(skip_serializing_if = "Option::is_none")]
        variation: Option<usize>,
    },
    Absent,
    Unknown {
        error: String,
    },
}

/// What playback would do about a flag.
#[derive(Debug, Serialize)]
#[serde(tag = "would", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(super) enum Outlook {
    Set {
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<State>,
        #[serde(skip_serializing_if = "Option::is_none")]
        variation: Option<String>,
    },
    NothingToDo,
    Conflict {
        expected_version: u64,
    },
    Unknown,
}

impl Outlook {
    pub(super) fn set(target: &Target) -> Self {
        match target {
            Target::State(state) => Self::Set { state: Some(*state), variation: None },
            Target::Variation(choice) => Self::Set { state: None, variation: Some(choice.to_string()) },
        }
    }
}
