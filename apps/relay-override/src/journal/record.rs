//! What is known about a change beside its line: what each host held before it, and what
//! LaunchDarkly made of it.
//!
//! Stored as JSON in `versions`; fields may be added, none may change its meaning, because `rc` of
//! another version may read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A flag at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its version.
    pub version: u64,
    /// Whether it was on; nothing where `on` was no boolean.
    pub on: Option<bool>,
    /// Its `fallthrough` as JSON, where that is what was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallthrough: Option<String>,
}

/// What happened on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostRecord {
    /// What it held before.
    pub before: Held,
    /// The version that the override has there.
    pub override_version: u64,
}

/// What is known about a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// By the host's name.
    pub hosts: BTreeMap<String, HostRecord>,
    /// The version that LaunchDarkly gave to it, once it was played back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launchdarkly_version: Option<u64>,
}

impl Record {
    /// The highest version that a host held before: what LaunchDarkly last told any of them.
    pub fn held_version(&self) -> Option<u64> {
        self.hosts.values().map(|host| host.before.version).max()
    }

    /// The highest version that the override has on a host.
    pub fn override_version(&self) -> Option<u64> {
        self.hosts.values().map(|host| host.override_version).max()
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        // Nothing in it can fail to be JSON: its map has keys that are strings.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}
