//! One change of a flag on its way: what became of it at each place, and after how long. Pure.

use super::places::{Held, Place, Sight};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::standin::{Delivery, Outcome};

/// A change on its way.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    /// The version that the change gave to the flag.
    pub(super) version: u64,
    pub(super) began: Instant,
    /// Nothing while it is on its way.
    pub(super) webhook: Option<Step>,
    /// Nothing while it is on its way, and where there is no answer to be had.
    pub(super) store: Option<Step>,
    /// After how long each place was first seen with the change.
    pub(super) arrived: BTreeMap<Place, Duration>,
    /// What places without versions held before the change.
    before: BTreeMap<Place, Option<String>>,
    /// Whether its webhook has ended and every place was looked at since.
    pub(super) is_settled: bool,
}

/// A step that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) text: String,
    pub(super) note: String,
    pub(super) is_good: bool,
    /// Since the change.
    pub(super) after: Duration,
}

impl Lane {
    /// A change that was made just now.
    pub(super) fn new(version: u64, began: Instant, before: BTreeMap<Place, Option<String>>) -> Self {
        Self { version, began, webhook: None, store: None, arrived: BTreeMap::new(), before, is_settled: false }
    }

    /// Notes how the change's webhook ended, and with it `store`.
    pub(super) fn deliver(&mut self, delivery: &Delivery, now: Instant) {
        let after = now.duration_since(self.began);
        self.webhook = Some(webhook(delivery, after.saturating_sub(delivery.duration)));
        self.store = match &delivery.outcome {
            Outcome::Answered { status, .. } => Some(answered(*status, &delivery.json(), after)),
            Outcome::Failed { .. } | Outcome::Withheld => None,
        };
    }

    /// Notes at a look whether the change is there; a place that once had it keeps its time.
    pub(super) fn look(&mut self, place: Place, key: &str, sight: &Sight, now: Instant) {
        if !self.arrived.contains_key(&place) && self.is_there(place, sight.flags.get(key)) {
            self.arrived.insert(place, now.duration_since(self.began));
        }
    }

    /// Whether the webhook has ended.
    pub(super) fn is_delivered(&self) -> bool {
        self.webhook.is_some()
    }

    fn is_there(&self, place: Place, held: Option<&Held>) -> bool {
        if let Some(version) = held.and_then(|held| held.version) {
            return version >= self.version;
        }
        let text = held.map(|held| held.text.as_str());
        self.before.get(&place).is_some_and(|before| before.as_deref() != text)
    }
}

/// The delivery alone. `store`'s answer is a step of its own, at the time at which it came.
fn webhook(delivery: &Delivery, after: Duration) -> Step {
    let signature = delivery.signature.as_ref().map_or("unsigned".to_owned(), |signature| {
        let short: String = signature.chars().take(8).collect();
        format!("signed {short}…")
    });
    match &delivery.outcome {
        Outcome::Answered { status, .. } => {
            Step { text: format!("delivered, {status}"), note: signature, is_good: *status < 300, after }
        }
        Outcome::Failed { reason } => {
            Step { text: "not delivered".to_owned(), note: reason.clone(), is_good: false, after }
        }
        Outcome::Withheld => {
            Step { text: "lost".to_owned(), note: "it was never sent".to_owned(), is_good: false, after }
        }
    }
}

/// What `store` said, by its contract: a summary, or an error with code and message.
pub(super) fn answered(status: u16, answer: &Value, after: Duration) -> Step {
    if status >= 300 {
        let code = answer["error"]["code"].as_str().unwrap_or("refused");
        let message = answer["error"]["message"].as_str().unwrap_or("the table is as it was");
        return Step { text: format!("{status} {code}"), note: message.to_owned(), is_good: false, after };
    }
    let is_fresh = answer["fresh"] != false;
    let text = if is_fresh { wrote(answer) } else { format!("{}, stale", wrote(answer)) };
    Step { text, note: how(answer, is_fresh), is_good: is_fresh, after }
}

fn wrote(summary: &Value) -> String {
    let count =
        |what: &str| -> u64 { ["flags", "segments"].iter().filter_map(|kind| summary[kind][what].as_u64()).sum() };
    let outcome = summary["outcome"].as_str().unwrap_or("answered");
    match (count("written"), count("deleted")) {
        (0, 0) => outcome.to_owned(),
        (written, 0) => format!("{outcome}, {written} written"),
        (0, deleted) => format!("{outcome}, {deleted} deleted"),
        (written, deleted) => format!("{outcome}, {written} written, {deleted} deleted"),
    }
}

fn how(summary: &Value, is_fresh: bool) -> String {
    let freshness = if is_fresh { "fresh" } else { "LaunchDarkly's answers were stale" };
    match summary["attempts"].as_u64() {
        Some(attempts) if attempts > 1 => format!("{freshness}, {attempts} attempts"),
        _ => freshness.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sight(version: Option<u64>, text: &str) -> Sight {
        let held = Held { text: text.to_owned(), note: String::new(), version };
        Sight { flags: [("f".to_owned(), held)].into(), ..Sight::default() }
    }

    #[test]
    fn a_change_has_arrived_where_its_version_or_a_newer_one_is_first_seen() {
        let began = Instant::now();
        let mut lane = Lane::new(3, began, BTreeMap::new());
        let at = |ms| began + Duration::from_millis(ms);

        lane.look(Place::Table, "f", &sight(Some(2), "off"), at(5));
        assert_eq!(lane.arrived.get(&Place::Table), None);
        lane.look(Place::Table, "f", &sight(Some(4), "on"), at(7));
        lane.look(Place::Table, "f", &sight(Some(4), "on"), at(9));
        assert_eq!(lane.arrived.get(&Place::Table), Some(&Duration::from_millis(7)));
    }

    #[test]
    fn a_place_without_versions_has_it_when_what_it_holds_differs() {
        let began = Instant::now();
        let before = [(Place::EnvFile, Some("a".to_owned()))].into();
        let mut lane = Lane::new(3, began, before);
        lane.look(Place::EnvFile, "f", &sight(None, "a"), began);
        lane.look(Place::Prefork, "f", &sight(None, "a"), began);
        assert!(lane.arrived.is_empty());
        lane.look(Place::EnvFile, "f", &sight(None, "b"), began);
        assert!(lane.arrived.contains_key(&Place::EnvFile));
    }

    #[test]
    fn store_is_told_in_words() {
        let told = |status, answer| {
            let Step { text, note, is_good, .. } = answered(status, &answer, Duration::ZERO);
            (text, note, is_good)
        };
        let updated = json!({"outcome": "updated", "flags": {"written": 1, "deleted": 0},
            "segments": {"written": 1, "deleted": 0}, "fresh": true, "attempts": 1});
        assert_eq!(told(200, updated), ("updated, 2 written".to_owned(), "fresh".to_owned(), true));
        let stale =
            json!({"outcome": "unchanged", "flags": {"written": 0, "deleted": 0}, "fresh": false, "attempts": 2});
        let note = "LaunchDarkly's answers were stale, 2 attempts";
        assert_eq!(told(200, stale), ("unchanged, stale".to_owned(), note.to_owned(), false));
        let refused = json!({"error": {"code": "signature-wrong", "message": "no"}});
        assert_eq!(told(401, refused), ("401 signature-wrong".to_owned(), "no".to_owned(), false));
    }
}
