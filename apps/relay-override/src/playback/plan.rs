//! Which changes are sent, in which order, and which version LaunchDarkly should have; pure.

use std::collections::HashMap;

use crate::change::FlagName;
use crate::journal::{Entry, Record};

/// One change to be sent.
#[derive(Debug)]
pub(crate) struct Step {
    /// The change.
    pub(crate) entry: Entry,
    /// Earlier changes of the flag that need not be sent, because this one undoes them.
    pub(crate) earlier: Vec<Entry>,
}

/// The steps for these entries; with `is_squashed`, one for each thing that is set of a flag, in the
/// order of the last changes.
pub(crate) fn steps(entries: Vec<Entry>, is_squashed: bool) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(entries.len());
    for entry in entries {
        let change = &entry.change;
        let is_undone = |step: &Step| {
            step.entry.change.flag == change.flag && step.entry.change.target.is_about_the_same(&change.target)
        };
        let same = steps.iter().position(|step| is_squashed && is_undone(step));
        let earlier = same.map(|position| {
            let Step { entry, mut earlier } = steps.remove(position);
            earlier.push(entry);
            earlier
        });
        steps.push(Step { entry, earlier: earlier.unwrap_or_default() });
    }
    steps
}

/// What earlier playbacks led to: LaunchDarkly's version, by flag and the override's version.
pub(crate) fn known(archived: Vec<(FlagName, Record)>) -> HashMap<(FlagName, u64), u64> {
    let version =
        |(flag, record): (FlagName, Record)| Some(((flag, record.override_version()?), record.launchdarkly_version?));
    archived.into_iter().filter_map(version).collect()
}

/// The version that LaunchDarkly's flag had when it was overridden, which it still has unless
/// somebody changed it; nothing where that is not known.
///
/// A second override is made upon the first one's version, which is not LaunchDarkly's. So where
/// the first one was played back, what counts is the version that this led to.
pub(crate) fn expected_version(step: &Step, known: &HashMap<(FlagName, u64), u64>) -> Option<u64> {
    let first = step.earlier.first().unwrap_or(&step.entry);
    let held = first.record.as_ref()?.held_version()?;
    Some(known.get(&(first.change.flag.clone(), held)).copied().unwrap_or(held))
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::journal::{Held, HostRecord};

    fn entry(name: &str, flag: &str, held: Option<u64>) -> Entry {
        let record = held.map(|version| {
            let host = HostRecord {
                before: Held { version, on: Some(true), fallthrough: None },
                override_version: version + 1,
            };
            Record { hosts: [("h".to_owned(), host)].into(), launchdarkly_version: None }
        });
        let change = format!("rc update-ld-api -p p -e e -f {flag} -s on").parse().unwrap();
        Entry { name: name.to_owned(), change, at: Utc::now(), record }
    }

    fn names(steps: &[Step]) -> Vec<(&str, Vec<&str>)> {
        let earlier = |step: &'_ Step| step.earlier.len();
        steps
            .iter()
            .map(|step| {
                (step.entry.name.as_str(), step.earlier[..earlier(step)].iter().map(|it| it.name.as_str()).collect())
            })
            .collect()
    }

    #[test]
    fn several_changes_of_a_flag_collapse_to_the_last_where_that_is_wanted() {
        let entries =
            || vec![entry("1", "a", None), entry("2", "b", None), entry("3", "a", None), entry("4", "a", None)];
        let all = steps(entries(), false);
        assert_eq!(names(&all), [("1", vec![]), ("2", vec![]), ("3", vec![]), ("4", vec![])]);
        let squashed = steps(entries(), true);
        assert_eq!(names(&squashed), [("2", vec![]), ("4", vec!["1", "3"])]);
        let mut serves = entry("5", "a", None);
        serves.change = "rc update-ld-api -p p -e e -f a --variation index:1".parse().unwrap();
        let both = steps(vec![entry("1", "a", None), serves, entry("6", "a", None)], true);
        assert_eq!(names(&both), [("5", vec![]), ("6", vec!["1"])]);
    }

    #[test]
    fn the_version_that_counts_is_the_one_before_the_first_override() {
        let squashed = steps(vec![entry("1", "a", Some(12)), entry("2", "a", Some(13))], true);
        assert_eq!(expected_version(&squashed[0], &HashMap::new()), Some(12));
        let single = steps(vec![entry("1", "a", None)], false);
        assert_eq!(expected_version(&single[0], &HashMap::new()), None);
    }

    #[test]
    fn what_a_playback_led_to_takes_the_place_of_the_overrides_version() {
        let first = entry("1", "a", Some(12));
        let record = Record { launchdarkly_version: Some(20), ..first.record.clone().unwrap() };
        let known = known(vec![(first.change.flag, record)]);
        let second = steps(vec![entry("2", "a", Some(13))], false);
        assert_eq!(expected_version(&second[0], &known), Some(20));
        let other = steps(vec![entry("2", "b", Some(13))], false);
        assert_eq!(expected_version(&other[0], &known), Some(13));
    }
}
