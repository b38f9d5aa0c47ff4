//! The status as lines for people.

use chrono::{DateTime, TimeDelta, Utc};

use super::facts::{FlagFacts, Outlook, Side, Status};
use crate::change::State;
use crate::console::Console;

pub(super) fn print(status: &Status, now: DateTime<Utc>, console: &mut Console<'_>) {
    if status.flags.is_empty() && status.unusable.is_empty() {
        console.say("nothing pending");
    }
    for flag in &status.flags {
        print_flag(flag, now, console);
    }
    for file in &status.unusable {
        console.say(format_args!("{}  not a change: {}", file.file, file.error));
    }
}

fn print_flag(facts: &FlagFacts, now: DateTime<Utc>, console: &mut Console<'_>) {
    console.say(&facts.flag);
    for pending in &facts.pending {
        let held = pending.held_version.map_or_else(|| "not recorded".to_owned(), |version| format!("v{version}"));
        let what = wanted(pending.state, pending.variation.as_deref());
        console.say(format_args!("  pending: {what} since {} (was {held})", age(now - pending.at)));
    }
    let names = facts.hosts.iter().map(|host| host.host.as_str()).chain(["LaunchDarkly"]);
    let width = names.clone().map(|name| name.chars().count()).max().unwrap_or_default();
    let sides = facts.hosts.iter().map(|host| &host.held).chain([&facts.launchdarkly]);
    for (name, side) in names.zip(sides) {
        console.say(format_args!("  {name:width$}  {}", text(side)));
    }
    console.say(format_args!("  playback: {}", outlook(&facts.playback)));
}

fn text(side: &Side) -> String {
    match side {
        Side::Holds { version, on: Some(on), variation: Some(index) } => {
            format!("{} v{version}, serves variation index:{index}", State::from(*on))
        }
        Side::Holds { version, on: Some(on), variation: None } => format!("{} v{version}", State::from(*on)),
        Side::Holds { version, on: None, .. } => format!("v{version}, but its `on` is no boolean"),
        Side::Absent => "no such flag".to_owned(),
        Side::Unknown { error } => error.clone(),
    }
}

fn wanted(state: Option<State>, variation: Option<&str>) -> String {
    match (state, variation) {
        (Some(state), _) => state.to_string(),
        (None, variation) => format!("serve variation {}", variation.unwrap_or_default()),
    }
}

fn outlook(outlook: &Outlook) -> String {
    match outlook {
        Outlook::Set { state: Some(state), .. } => format!("would turn it {state}"),
        Outlook::Set { state: None, variation } => format!("would {}", wanted(None, variation.as_deref())),
        Outlook::NothingToDo => "would change nothing; LaunchDarkly is so already".to_owned(),
        Outlook::Conflict { expected_version } => {
            format!("would skip it: LaunchDarkly has changed it since v{expected_version}; --force overwrites")
        }
        Outlook::Unknown => "not known, because LaunchDarkly's flag is not known".to_owned(),
    }
}

fn age(age: TimeDelta) -> String {
    let minutes = age.num_minutes();
    match minutes {
        ..1 => "less than a minute".to_owned(),
        1..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_the_unit_that_fits() {
        for (minutes, expected) in [
            (0, "less than a minute"),
            (1, "1 min"),
            (119, "119 min"),
            (120, "2 h"),
            (2880, "2 days"),
            (-5, "less than a minute"),
        ] {
            assert_eq!(age(TimeDelta::minutes(minutes)), expected);
        }
    }
}
