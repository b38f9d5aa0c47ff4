//! Names of journal files: the time first, so that they sort by it, then the change for people.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use crate::change::{Change, FlagName, Target};

const FORMAT: &str = "%Y%m%dT%H%M%S.%9fZ";
/// `20260728T112029.123456789Z`
const LENGTH: usize = 26;
/// Room for the flag's key, in a name of at most 255 bytes.
const LONGEST_KEY: usize = 100;

pub(super) fn of(at: DateTime<Utc>, change: &Change) -> String {
    let target = match &change.target {
        Target::State(state) => state.to_string(),
        Target::Variation(choice) => harmless(&format!("variation-{choice}")),
    };
    format!("{}-{}-{target}.txt", at.format(FORMAT), key(&change.flag))
}

fn key(flag: &FlagName) -> String {
    harmless(&flag.flag)
}

fn harmless(text: &str) -> String {
    let is_harmless = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let letters = text.chars().map(|letter| if is_harmless(letter) { letter } else { '_' });
    letters.take(LONGEST_KEY).collect()
}

/// Whether a file of this name may be of this flag: names that others gave say nothing.
pub(super) fn may_be_of(name: &str, flag: &FlagName) -> bool {
    let after_time = time(name).and_then(|_| name.get(LENGTH..)?.strip_prefix('-'));
    after_time.is_none_or(|rest| rest.starts_with(&key(flag)))
}

/// The time in a name; nothing in names that others gave.
pub(super) fn time(name: &str) -> Option<DateTime<Utc>> {
    let text = name.get(..LENGTH)?;
    NaiveDateTime::parse_from_str(text, FORMAT).ok().map(|time| time.and_utc())
}

/// `now`, or the moment after `latest` where the clock has been set back.
pub(super) fn after(now: DateTime<Utc>, latest: Option<DateTime<Utc>>) -> DateTime<Utc> {
    let next = latest.and_then(|latest| latest.checked_add_signed(TimeDelta::nanoseconds(1)));
    next.map_or(now, |next| next.max(now))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn at(nanoseconds: i64) -> DateTime<Utc> {
        Utc.timestamp_nanos(nanoseconds)
    }

    #[test]
    fn a_name_tells_its_time_and_sorts_by_it() {
        let change: Change = "rc update-ld-api -p p -e e -f 'a/b é' -s on".parse().unwrap();
        let name = of(at(1_700_000_000_000_000_001), &change);
        assert_eq!(name, "20231114T221320.000000001Z-a_b__-on.txt");
        let serves: Change = "rc update-ld-api -p p -e e -f f --variation index:1".parse().unwrap();
        assert!(of(at(0), &serves).ends_with("-f-variation-index_1.txt"));
        assert_eq!(time(&name), Some(at(1_700_000_000_000_000_001)));
        assert_eq!(time("0f1d2c3b-8a0e-11ee-b9d1-0242ac120002.txt"), None);
        assert_eq!(time("é.txt"), None);
        assert!(may_be_of(&name, &change.flag) && may_be_of("0f1d.txt", &change.flag));
        assert!(!may_be_of("20231114T221320.000000001Z-b-on.txt", &change.flag));
    }

    #[test]
    fn time_never_stands_still_or_goes_back() {
        assert_eq!(after(at(5), None), at(5));
        assert_eq!(after(at(5), Some(at(4))), at(5));
        assert_eq!(after(at(5), Some(at(5))), at(6));
        assert_eq!(after(at(5), Some(at(9))), at(10));
    }
}
