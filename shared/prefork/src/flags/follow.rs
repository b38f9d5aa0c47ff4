//! LaunchDarkly's stream, as the SDK follows it, turned into updates for a group.
//!
//! The SDK keeps the connection and hands every change to a store; what is here compares the
//! store with what the group knows, and tells the difference. The first payload of a stream is compared item by item,
//! since what was preloaded is LaunchDarkly's own text and what the SDK hands over has been through its structs.

use std::time::Duration;

use flagcache_payload::{Items, Kind, version_in};
use flagcache_sdk::config::{self, ConfigError, Endpoints, SdkKey};
use flagcache_sdk::connection::{self, Connection};
use flagcache_sdk::observable::{Change, Contents, Observable, Subscription};
use launchdarkly_server_sdk::{Client, Flag, Segment};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;

use super::state::{Item, State, Update};
use crate::board::now_ms;
use crate::freshness::Freshness;
use crate::sys;

/// How long the stream may be silent before it is opened anew, as with LaunchDarkly's Go SDK; LaunchDarkly sends a
/// heartbeat every three minutes.
const SILENCE: Duration = Duration::from_mins(5);

/// How long after it is opened a stream's first payload has been taken in, which takes many times its size in memory.
const TAKEN_IN: Duration = Duration::from_secs(1);

/// Follows the stream for ever, beginning with what is known, and tells what is news, and how fresh it all is. Needs a
/// tokio runtime.
pub async fn follow(
    key: &SdkKey,
    endpoints: &Endpoints,
    known: State,
    freshness: Freshness,
    tell: impl FnMut(&Update),
) -> Result<(), ConfigError> {
    let (store, connection) = (Observable::new(), Connection::new());
    let (changes, states) = (store.subscribe(), connection.subscribe());
    let config = config::watched(key, endpoints, &store, &connection, SILENCE)?;
    let client = Client::build(config).map_err(|error| ConfigError::Refused(error.to_string()))?;
    client.start_with_default_executor();
    tokio::join!(pass_on(changes, known, tell), watch(states, freshness));
    client.close();
    Ok(())
}

async fn pass_on(mut changes: Subscription, mut known: State, mut tell: impl FnMut(&Update)) {
    let mut is_first = true;
    while let Some(changed) = changes.changed().await {
        let contents = changes.seen();
        let items = if is_first { difference(&known, contents) } else { changed_items(contents, &changed) };
        is_first = false;
        let items = items.into_iter().filter(|item| !is_older(&known, item)).collect();
        if let Some(news) = known.merge(Update { items, at_ms: now_ms() }) {
            tell(&news);
        }
    }
}

/// Notes how the stream stands, and logs it whenever that changes.
async fn watch(mut states: watch::Receiver<connection::State>, freshness: Freshness) {
    let mut last = None;
    while states.changed().await.is_ok() {
        let state = states.borrow_and_update().clone();
        match state {
            connection::State::Connecting => {}
            connection::State::Open => {
                freshness.opened();
                tokio::spawn(async {
                    tokio::time::sleep(TAKEN_IN).await;
                    sys::give_memory_back();
                });
            }
            connection::State::Failing { .. } | connection::State::Refused { .. } => freshness.failed(),
        }
        if last.as_ref() == Some(&state) {
            continue;
        }
        match &state {
            connection::State::Connecting => {}
            connection::State::Open => tracing::info!("LaunchDarkly's stream is open"),
            connection::State::Failing { problem } => {
                tracing::warn!(problem, "LaunchDarkly's stream is not open; it is tried again");
            }
            connection::State::Refused { status } => {
                tracing::error!(status, "LaunchDarkly refuses the SDK key; it is tried again");
            }
        }
        last = Some(state);
    }
}

fn changed_items(contents: &Contents, changes: &[Change]) -> Vec<Item> {
    let item = |change: &Change| {
        let gone = || change.before.as_deref().map_or(0, version_in);
        Item {
            is_segment: change.kind == Kind::Segment,
            key: change.key.clone(),
            version: contents.version(change.kind, &change.key).unwrap_or_else(gone),
            json: change.after.as_deref().map(str::to_owned),
        }
    };
    changes.iter().map(item).collect()
}

/// What a whole payload says that is not known yet. What it lacks is deleted.
fn difference(known: &State, contents: &Contents) -> Vec<Item> {
    let mut items = Vec::new();
    for kind in Kind::ALL {
        let is_segment = kind == Kind::Segment;
        for key in contents.keys(kind) {
            let (Some(json), Some(version)) = (contents.json(kind, &key), contents.version(kind, &key)) else {
                continue;
            };
            let is_same = known.version(kind, &key) == Some(version)
                && known.json(kind, &key).is_some_and(|held| means_the_same(kind, &held, &json));
            if !is_same {
                items.push(Item { is_segment, key: key.into_owned(), version, json: Some(json.into_owned()) });
            }
        }
        for key in known.keys(kind) {
            if contents.json(kind, &key).is_none()
                && let Some(version) = known.version(kind, &key)
            {
                items.push(Item { is_segment, key: key.into_owned(), version, json: None });
            }
        }
    }
    items
}

/// Whether the group knows a newer version already, as it may when a cache or a restored environment sends an old one.
fn is_older(known: &State, item: &Item) -> bool {
    let held = known.version(item.kind(), &item.key);
    let is_older = held.is_some_and(|held| held > item.version);
    if is_older {
        let (key, version) = (&item.key, item.version);
        tracing::warn!(key, version, held, "LaunchDarkly sent an older version of a {}; it is not used", item.kind());
    }
    is_older
}

/// Whether the SDK would write the first as the second. What it cannot read counts by its version alone.
fn means_the_same(kind: Kind, raw: &str, written: &str) -> bool {
    fn rewritten<T: DeserializeOwned + Serialize>(json: &str) -> Option<Value> {
        serde_json::to_value(serde_json::from_str::<T>(json).ok()?).ok()
    }
    let raw = match kind {
        Kind::Flag => rewritten::<Flag>(raw),
        Kind::Segment => rewritten::<Segment>(raw),
    };
    raw.is_none_or(|raw| serde_json::from_str(written).is_ok_and(|written: Value| raw == written))
}

#[cfg(test)]
mod tests {
    use flagcache_payload::Payload;

    use super::*;

    const FLAG: &str = r#"{"key":"a","version":3,"on":true,"unknown":1,"targets":[],"contextTargets":[],"rules":[],
        "prerequisites":[],"fallthrough":{"variation":0},"offVariation":1,"variations":[true,false],"salt":"s",
        "clientSideAvailability":{"usingMobileKey":false,"usingEnvironmentId":true},"trackEvents":false}"#;

    fn state(flags: &str) -> State {
        State::preloaded(Payload::parse(format!(r#"{{"flags":{{{flags}}},"segments":{{}}}}"#).into()).unwrap(), 1)
    }

    fn contents(flags: &[&str]) -> std::sync::Arc<Contents> {
        let all: Vec<String> = flags
            .iter()
            .map(|json| {
                let flag: Flag = serde_json::from_str(json).unwrap();
                format!("{:?}:{}", flag.key, serde_json::to_string(&flag).unwrap())
            })
            .collect();
        let body = format!(r#"{{"flags":{{{}}}}}"#, all.join(","));
        Observable::preloaded(&Payload::parse(body.into()).unwrap()).contents()
    }

    #[test]
    fn a_payload_that_says_what_is_known_is_no_news() {
        assert_eq!(difference(&state(&format!(r#""a":{FLAG}"#)), &contents(&[FLAG])), []);
    }

    #[test]
    fn a_payload_tells_what_came_changed_and_went() {
        let known = state(&format!(r#""a":{FLAG},"gone":{{"version":8}}"#));
        let newer = FLAG.replace("\"version\":3", "\"version\":4");
        let added = FLAG.replace("\"key\":\"a\"", "\"key\":\"b\"");
        let items = difference(&known, &contents(&[&newer, &added]));
        let told: Vec<_> = items.iter().map(|item| (item.key.as_str(), item.version, item.json.is_some())).collect();
        assert_eq!(told, [("a", 4, true), ("b", 3, true), ("gone", 8, false)]);
    }

    #[test]
    fn another_text_under_the_same_version_is_told_and_an_older_version_is_not() {
        let known = state(&format!(r#""a":{FLAG}"#));
        let off = FLAG.replace("\"on\":true", "\"on\":false");
        assert_eq!(difference(&known, &contents(&[&off])).len(), 1);
        let older = off.replace("\"version\":3", "\"version\":2");
        let older = difference(&known, &contents(&[&older]));
        assert!(older.len() == 1 && is_older(&known, &older[0]));
    }
}
