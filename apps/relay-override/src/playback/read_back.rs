//! After playback: are both sides equal? Brings the stores to LaunchDarkly's JSON where not.
//!
//! Versions must not drift apart. Two overrides of a flag at v12 leave v14 in Redis; played back
//! squashed, LaunchDarkly is at v13. LaunchDarkly's next change is v14, and whoever compares
//! versions before writing, as the Relay Proxy does, refuses it as not newer. So a store that
//! still holds an override, or LaunchDarkly's number over other content, gets LaunchDarkly's flag,
//! also where that lowers its version.
//!
//! Where nobody else has changed the flag, what the store holds differs from LaunchDarkly's flag
//! in `on` and `version` alone, and those are set. Otherwise LaunchDarkly's JSON is fetched from
//! the environment's payload.

mod payload;

use std::collections::HashMap;

use flagcache_program::one_line;
use futures::future::join_all;

use super::Played;
use crate::change::FlagName;
use crate::console::Console;
use crate::flag_json::{FlagJson, FlagJsonError};
use crate::launchdarkly::{FlagState, LaunchDarkly};
use crate::store::{Edited, Purpose, Store, StoreError};

/// Says where a store is not equal to LaunchDarkly or was made so; gives whether all are.
pub(super) async fn run<S: Store>(
    played: &[Played],
    launchdarkly: &LaunchDarkly,
    stores: &[S],
    console: &mut Console<'_>,
) -> bool {
    if played.is_empty() || stores.is_empty() {
        return true;
    }
    let (texts, mut is_equal) = fetch(played, launchdarkly, console).await;
    let all = join_all(stores.iter().map(|store| bring_all(store, played, &texts))).await;
    for (store, brought) in stores.iter().zip(all) {
        for (played, brought) in played.iter().zip(brought) {
            let flag = &played.flag;
            match brought {
                // Why it is not known has been said.
                Brought::Equal | Brought::Unknown => {}
                Brought::Set { from, to } => {
                    console
                        .say(format_args!("{}  {flag}: brought to LaunchDarkly's v{to} (held v{from})", store.name()));
                }
                Brought::Absent => console.say(format_args!("{}  {flag}: no such flag there", store.name())),
                Brought::Newer { version } => console.say(format_args!(
                    "{}  {flag}: left at v{version}: somebody wrote it after the override",
                    store.name()
                )),
                Brought::Failed(error) => {
                    is_equal = false;
                    console.say(format_args!("{}  {flag}: {}", store.name(), one_line(&error)));
                }
            }
        }
    }
    if !is_equal {
        console.remark(
            "not all hosts are known to equal LaunchDarkly: restart the Relay Proxy, which fills its Redis again, \
             or look with `rc status`",
        );
    }
    is_equal
}

/// LaunchDarkly's JSON of the flags that need it.
type Texts = HashMap<FlagName, String>;

async fn fetch(played: &[Played], launchdarkly: &LaunchDarkly, console: &mut Console<'_>) -> (Texts, bool) {
    let needed: Vec<_> = played.iter().filter(|played| !played.is_otherwise_same).collect();
    let mut texts = Texts::new();
    let mut has_all = true;
    for ((project, environment), flags) in payload::by_environment(&needed) {
        match payload::flags(launchdarkly, project, environment, &flags).await {
            Ok(found) => texts.extend(found),
            Err(error) => {
                has_all = false;
                console.remark(format_args!("read back {project}/{environment}: {}", one_line(&error)));
            }
        }
    }
    (texts, has_all)
}

/// What became of a flag in a store.
enum Brought {
    Equal,
    Unknown,
    Set { from: u64, to: u64 },
    Absent,
    Newer { version: u64 },
    Failed(StoreError),
}

async fn bring_all<S: Store>(store: &S, played: &[Played], texts: &Texts) -> Vec<Brought> {
    let mut all = Vec::with_capacity(played.len());
    for played in played {
        all.push(bring(store, played, texts.get(&played.flag)).await);
    }
    all
}

async fn bring<S: Store>(store: &S, played: &Played, text: Option<&String>) -> Brought {
    if !played.is_otherwise_same && text.is_none() {
        return Brought::Unknown;
    }
    let hosts = played.records.iter().filter_map(|record| record.hosts.get(store.name()));
    let overrides: Vec<u64> = hosts.map(|host| host.override_version).collect();
    let edit = |held: &str| target(held, played.after, &overrides, text.map(String::as_str));
    match store.edit(&played.flag, Purpose::ReadBack, edit).await {
        Ok(Edited::Written { before, after }) => Brought::Set { from: version(&before), to: version(&after) },
        Ok(Edited::Kept(held)) if version(&held) > played.after.version => Brought::Newer { version: version(&held) },
        Ok(Edited::Kept(_)) => Brought::Equal,
        Ok(Edited::Absent) => Brought::Absent,
        Err(error) => Brought::Failed(error),
    }
}

fn version(text: &str) -> u64 {
    // It was parsed to be edited.
    FlagJson::parse(text).map_or(0, |flag| flag.version())
}

/// What a store is to hold in the place of `held`; nothing where that is right.
fn target(
    held: &str,
    launchdarkly: FlagState,
    overrides: &[u64],
    text: Option<&str>,
) -> Result<Option<String>, FlagJsonError> {
    let flag = FlagJson::parse(held)?;
    let is_override = overrides.contains(&flag.version());
    // Written after the override, by the Relay Proxy: newer than what we know.
    if flag.version() > launchdarkly.version && !is_override {
        return Ok(None);
    }
    // It lacks more than this change; LaunchDarkly's is newer, and the Relay Proxy will write it.
    if text.is_none() && flag.version() < launchdarkly.version && !is_override {
        return Ok(None);
    }
    let is_so = flag.version() == launchdarkly.version && flag.on() == Some(launchdarkly.on);
    Ok(match text {
        Some(text) => (text != held).then(|| text.to_owned()),
        None => (!is_so).then(|| flag.with(launchdarkly.on, launchdarkly.version)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_gets_launchdarklys_flag_unless_it_has_a_newer_one() {
        let state = |version, on| FlagState { version, on, variation: None };
        let held = r#"{"on":true,"version":14,"x":1.0}"#;
        let theirs = r#"{"on":true,"version":13,"x":2.0}"#;
        for (launchdarkly, overrides, text, expected) in [
            // The override's version is above LaunchDarkly's: lowered.
            (state(13, true), &[13, 14][..], None, Some(r#"{"on":true,"version":13,"x":1.0}"#)),
            (state(13, true), &[14], Some(theirs), Some(theirs)),
            // The same, but the Relay Proxy wrote since: left.
            (state(13, true), &[13], None, None),
            (state(13, true), &[], Some(theirs), None),
            // The same number: equal, or the collision.
            (state(14, true), &[14], None, None),
            (state(14, false), &[14], None, Some(r#"{"on":false,"version":14,"x":1.0}"#)),
            (state(14, true), &[14], Some(theirs), Some(theirs)),
            (state(14, true), &[14], Some(held), None),
            // LaunchDarkly is ahead: by this playback, or by more.
            (state(20, false), &[], None, None),
            (state(20, false), &[], Some(theirs), Some(theirs)),
            (state(20, false), &[14], None, Some(r#"{"on":false,"version":20,"x":1.0}"#)),
        ] {
            let target = target(held, launchdarkly, overrides, text).unwrap();
            assert_eq!(target.as_deref(), expected, "{launchdarkly:?} {overrides:?} {text:?}");
        }
    }
}
