//! All that the board knows: what was seen where, and every flag's latest change. Pure.

use super::faults::Fault;
use super::lane::{Lane, Step, answered};
use super::places::{Flag, Held, Place, Seen};
use crate::standin::{Delivery, Outcome};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The board at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// The flags as LaunchDarkly has them.
    pub(super) flags: BTreeMap<String, Flag>,
    pub(super) seen: BTreeMap<Place, Seen>,
    /// The latest change of each flag.
    pub(super) lanes: BTreeMap<String, Lane>,
    /// The flag that was changed last.
    pub(super) latest: Option<String>,
    /// How many webhooks were sent.
    pub(super) sent: usize,
    /// `store`'s latest run, whoever asked for it.
    pub(super) run: Option<Run>,
    /// Whether a scheduled sync is under way.
    pub(super) is_syncing: bool,
    pub(super) faults: BTreeSet<Fault>,
    /// What happened last, in a sentence.
    pub(super) news: String,
}

/// One run of `store`.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) trigger: String,
    pub(super) step: Step,
}

impl Run {
    fn of(status: u16, answer: &Value, trigger: &str, took: Duration) -> Self {
        Self { trigger: trigger.to_owned(), step: answered(status, answer, took) }
    }
}

impl State {
    /// A flag was changed just now.
    pub(super) fn begin(&mut self, key: &str, version: u64, flags: BTreeMap<String, Flag>, now: Instant) {
        let before = self.seen.iter().filter_map(|(place, seen)| {
            let held = seen.as_ref().ok()?.flags.get(key).map(|held| held.text.clone());
            Some((*place, held))
        });
        let lane = Lane::new(version, now, before.collect());
        self.flags = flags;
        self.lanes.insert(key.to_owned(), lane);
        self.latest = Some(key.to_owned());
    }

    /// The webhook of a change has ended.
    pub(super) fn deliver(&mut self, key: &str, version: u64, delivery: &Delivery, now: Instant) {
        self.sent += usize::from(delivery.outcome != Outcome::Withheld);
        if let Outcome::Answered { status, .. } = delivery.outcome {
            self.run = Some(Run::of(status, &delivery.json(), "webhook", delivery.duration));
        }
        if let Some(lane) = self.lane(key, version) {
            lane.deliver(delivery, now);
        }
    }

    /// What a look has shown; whether anything is new.
    pub(super) fn look(&mut self, place: Place, seen: Seen, now: Instant) -> bool {
        if let Ok(sight) = &seen {
            self.lanes.iter_mut().for_each(|(key, lane)| lane.look(place, key, sight, now));
        }
        let is_new = self.seen.get(&place) != Some(&seen);
        self.seen.insert(place, seen);
        is_new
    }

    /// Every place was looked at after a change's webhook had ended.
    pub(super) fn settle(&mut self, key: &str, version: u64) {
        let Some(lane) = self.lane(key, version) else { return };
        lane.is_settled = true;
        let lane = lane.clone();
        self.news = self.tell(key, &lane);
    }

    /// A scheduled sync has ended.
    pub(super) fn synced(&mut self, status: u16, answer: &Value, took: Duration) {
        let run = Run::of(status, answer, "schedule", took);
        let behind = self.behind().len();
        self.news = match (run.step.is_good, behind) {
            (true, 0) => format!("The scheduled sync: {}. Every place agrees.", run.step.text),
            (true, count) => format!("The scheduled sync: {}. {count} still behind.", run.step.text),
            (false, _) => match run.step.note.strip_prefix("failed to ") {
                Some(what) => format!("The scheduled sync failed to {what}."),
                None => format!("The scheduled sync failed: {}.", run.step.note),
            },
        };
        self.run = Some(run);
        self.is_syncing = false;
    }

    /// Whether a change has settled, or was followed by another.
    pub(super) fn is_settled(&self, key: &str, version: u64) -> bool {
        self.lanes.get(key).is_some_and(|lane| lane.version > version || lane.is_settled)
    }

    /// The flags that some place has in another version than LaunchDarkly.
    pub(super) fn behind(&self) -> BTreeSet<&str> {
        let places = [Place::Table, Place::Reader];
        let keys = self.keys();
        keys.into_iter().filter(|key| places.iter().any(|place| self.is_behind(*place, key))).collect()
    }

    /// All flags that are anywhere, in the order of the page.
    pub(super) fn keys(&self) -> Vec<&str> {
        let in_table = self.sight(Place::Table).into_iter().flat_map(|flags| flags.keys());
        let mut keys: Vec<&str> = self.flags.keys().chain(in_table).map(String::as_str).collect();
        keys.sort_by_cached_key(|key| (key.to_lowercase(), *key));
        keys.dedup();
        keys
    }

    /// Whether a place that tells versions has another one than LaunchDarkly. Of others nobody can
    /// say.
    pub(super) fn is_behind(&self, place: Place, key: &str) -> bool {
        let Some(flags) = self.sight(place) else { return false };
        let held = flags.get(key).map(|held| held.version);
        matches!(place, Place::Table | Place::Reader) && held != self.flags.get(key).map(|flag| Some(flag.version))
    }

    fn sight(&self, place: Place) -> Option<&BTreeMap<String, Held>> {
        self.seen.get(&place)?.as_ref().ok().map(|sight| &sight.flags)
    }

    fn lane(&mut self, key: &str, version: u64) -> Option<&mut Lane> {
        self.lanes.get_mut(key).filter(|lane| lane.version == version)
    }

    fn tell(&self, key: &str, lane: &Lane) -> String {
        let is = match self.flags.get(key) {
            Some(flag) if flag.on => "on",
            Some(_) => "off",
            None => "deleted",
        };
        let failed = |step: &Option<Step>| step.as_ref().filter(|step| !step.is_good).map(|step| step.text.clone());
        let at_store = failed(&lane.store).map(|text| format!("store answered {text}"));
        let why = at_store.or_else(|| failed(&lane.webhook).map(|text| format!("webhook {text}")));
        let is_behind = [Place::Table, Place::Reader].into_iter().any(|place| self.is_behind(place, key));
        let last = lane.arrived.values().max();
        match (why, is_behind, last) {
            (Some(why), true, _) => format!("{key} is {is}, but the table does not have it: {why}."),
            (None, true, _) => format!("{key} is {is}, but not every place has it yet."),
            (_, false, Some(last)) => format!("{key} is {is}, and readers have it {} after the switch.", span(*last)),
            (_, false, None) => format!("{key} is {is}."),
        }
    }
}

/// A time as people read it.
pub(super) fn span(time: Duration) -> String {
    match time.as_millis() {
        milliseconds @ ..1000 => format!("{milliseconds} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::places::Sight;
    use super::*;

    fn holding(version: u64) -> Sight {
        let held = Held { text: "on".to_owned(), note: String::new(), version: Some(version) };
        Sight { flags: [("f".to_owned(), held)].into(), ..Sight::default() }
    }

    fn changed() -> State {
        let mut state = State::default();
        state.look(Place::Table, Ok(holding(1)), Instant::now());
        state.begin("f", 2, [("f".to_owned(), Flag { version: 2, on: true })].into(), Instant::now());
        state
    }

    fn delivery(outcome: Outcome) -> Delivery {
        Delivery { entry_id: String::new(), signature: None, outcome, duration: Duration::ZERO }
    }

    #[test]
    fn a_lost_webhook_leaves_the_table_behind_until_a_sync_heals_it() {
        let mut state = changed();
        state.deliver("f", 2, &delivery(Outcome::Withheld), Instant::now());
        state.settle("f", 2);
        assert_eq!(state.news, "f is on, but the table does not have it: webhook lost.");
        assert_eq!(state.behind(), ["f"].into());

        assert!(state.look(Place::Table, Ok(holding(2)), Instant::now()));
        let summary = serde_json::json!({"outcome": "updated", "flags": {"written": 1}});
        state.synced(200, &summary, Duration::ZERO);

        assert_eq!(state.news, "The scheduled sync: updated, 1 written. Every place agrees.");
        assert!(state.behind().is_empty() && state.lanes["f"].arrived.contains_key(&Place::Table));
    }

    #[test]
    fn who_failed_is_named() {
        let refused = serde_json::json!({"error": {"code": "signature-wrong", "message": "no"}});
        let mut state = changed();
        let outcome = Outcome::Answered { status: 401, body: refused.to_string() };
        state.deliver("f", 2, &delivery(outcome), Instant::now());
        state.settle("f", 2);
        assert_eq!(state.news, "f is on, but the table does not have it: store answered 401 signature-wrong.");

        let unavailable = serde_json::json!({"error": {"message": "failed to fetch the payload"}});
        state.synced(502, &unavailable, Duration::ZERO);
        assert_eq!(state.news, "The scheduled sync failed to fetch the payload.");
    }

    #[test]
    fn what_happened_to_an_overtaken_change_is_not_told_of_the_next() {
        let mut state = changed();
        state.begin("f", 3, [("f".to_owned(), Flag { version: 3, on: false })].into(), Instant::now());
        state.deliver("f", 2, &delivery(Outcome::Withheld), Instant::now());
        state.settle("f", 2);
        assert!(!state.lanes["f"].is_delivered() && state.is_settled("f", 2) && !state.is_settled("f", 3));
    }

    #[test]
    fn flags_are_ordered_as_people_look_for_them_and_deleted_ones_stay_while_the_table_has_them() {
        let mut state = changed();
        for key in ["b", "A", "c"] {
            state.flags.insert(key.to_owned(), Flag { version: 1, on: false });
        }
        state.flags.remove("f");
        assert_eq!(state.keys(), ["A", "b", "c", "f"]);
        assert!(state.is_behind(Place::Table, "f"));
    }

    #[test]
    fn spans_are_short() {
        let told = [0, 999, 12_345].map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(told, ["0 ms", "999 ms", "12.3 s"]);
    }
}
