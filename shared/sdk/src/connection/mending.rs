//! Events that the SDK refuses because of one item, made readable to it. Pure.
//!
//! The Rust SDK reads a payload whole or not at all (`launchdarkly-server-sdk` 3.2, `data_source.rs`): one item without a
//! field that it insists on, and no flag of the environment changes any more. Here every item that does not decode is
//! replaced by a stand-in of the same key and version, and its own text is kept for the store to hold in its place. What
//! becomes of such an item is decided where it is evaluated.

use std::collections::BTreeMap;

use flagcache_payload::{ItemId, Kind, version_in};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::evaluation::{is_decodable, stand_in};

/// An item's own text, for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Original {
    pub(crate) item: ItemId,
    pub(crate) version: u64,
    pub(crate) json: String,
}

/// Cuts a stream into events and mends them.
#[derive(Debug, Default)]
pub(super) struct Mending {
    /// What came of the event under way, and where its last line begins.
    event: Vec<u8>,
    line: usize,
    /// A line feed after it belongs to the same line end.
    last_was_cr: bool,
}

impl Mending {
    /// The whole events that end in these bytes, readable as far as they can be, and the texts of the items for which
    /// they hold stand-ins.
    pub(super) fn push(&mut self, bytes: &[u8]) -> (Vec<u8>, Vec<Original>) {
        let (mut events, mut originals) = (Vec::new(), Vec::new());
        for &byte in bytes {
            if !self.ends_event(byte) {
                continue;
            }
            let event = std::mem::take(&mut self.event);
            self.line = 0;
            match mended(&event) {
                Some((mended, texts)) => {
                    events.extend(mended);
                    originals.extend(texts);
                }
                None => events.extend(event),
            }
        }
        (events, originals)
    }

    /// Takes the next byte; whether it ends an empty line, and with it the event.
    fn ends_event(&mut self, byte: u8) -> bool {
        self.event.push(byte);
        let is_second_half = byte == b'\n' && self.last_was_cr;
        self.last_was_cr = byte == b'\r';
        if !matches!(byte, b'\n' | b'\r') {
            return false;
        }
        let is_empty = self.line + 1 == self.event.len();
        self.line = self.event.len();
        is_empty && !is_second_half
    }
}

#[derive(Serialize, Deserialize)]
struct Put<'a> {
    #[serde(default)]
    path: String,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Serialize, Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    flags: BTreeMap<String, &'a RawValue>,
    #[serde(borrow)]
    segments: BTreeMap<String, &'a RawValue>,
}

#[derive(Serialize, Deserialize)]
struct Patch<'a> {
    path: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The event as the SDK can read it; nothing where it can be left as it is.
fn mended(event: &[u8]) -> Option<(Vec<u8>, Vec<Original>)> {
    let event = std::str::from_utf8(event).ok()?;
    let (mut name, mut data) = ("", Vec::new());
    for line in event.split(['\n', '\r']) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value,
            "data" => data.push(value),
            _ => {}
        }
    }
    let data = data.join("\n");
    let (data, originals) = match name {
        "put" => mended_put(&data)?,
        "patch" => mended_patch(&data)?,
        _ => return None,
    };
    Some((format!("event: {name}\ndata: {data}\n\n").into_bytes(), originals))
}

fn mended_put(data: &str) -> Option<(String, Vec<Original>)> {
    let mut put: Put<'_> = serde_json::from_str(data).ok()?;
    let mut stand_ins = Vec::new();
    for (kind, items) in [(Kind::Flag, &put.data.flags), (Kind::Segment, &put.data.segments)] {
        let broken = items.iter().filter(|(_, json)| !is_decodable(kind, json.get()));
        stand_ins.extend(broken.filter_map(|(key, json)| replaced(kind, key, json.get())));
    }
    for (original, stand_in) in &stand_ins {
        let items = match original.item.kind {
            Kind::Flag => &mut put.data.flags,
            Kind::Segment => &mut put.data.segments,
        };
        items.insert(original.item.key.clone(), stand_in);
    }
    let mended = serde_json::to_string(&put).ok()?;
    Some((mended, stand_ins.into_iter().map(|(original, _)| original).collect()))
}

fn mended_patch(data: &str) -> Option<(String, Vec<Original>)> {
    let patch: Patch<'_> = serde_json::from_str(data).ok()?;
    let (kind, key) = match patch.path.strip_prefix("/flags/") {
        Some(key) => (Kind::Flag, key),
        None => (Kind::Segment, patch.path.strip_prefix("/segments/")?),
    };
    if is_decodable(kind, patch.data.get()) {
        return None;
    }
    let (original, stand_in) = replaced(kind, key, patch.data.get())?;
    // Of no known version, it can only be judged beside all the others: the next payload tells.
    if original.version == 0 {
        return None;
    }
    let mended = serde_json::to_string(&Patch { path: patch.path.clone(), data: &stand_in }).ok()?;
    Some((mended, vec![original]))
}

/// The item's own text, and what stands in for it.
fn replaced(kind: Kind, key: &str, json: &str) -> Option<(Original, Box<RawValue>)> {
    let version = version_in(json);
    let stand_in = RawValue::from_string(stand_in(kind, key, version)).ok()?;
    Some((Original { item: ItemId::new(kind, key), version, json: json.to_owned() }, stand_in))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHOLE: &str = r#"{"key":"a","version":1,"on":false,"targets":[],"rules":[],"prerequisites":[],"fallthrough":{},"variations":[],"salt":""}"#;
    const BROKEN: &str = r#"{"key":"b","version":2,"on":7}"#;

    fn put() -> String {
        format!(
            "event: put\ndata: {{\"path\":\"/\",\"data\":\ndata: {{\"flags\":{{\"a\":{WHOLE},\"b\":{BROKEN}}},\"segments\":{{}}}}}}\n\n"
        )
    }

    /// The data of the one event that comes out, and what is kept for the store.
    fn through(stream: &str) -> (serde_json::Value, Vec<Original>) {
        let (bytes, originals) = Mending::default().push(stream.as_bytes());
        let text = String::from_utf8(bytes).unwrap();
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        (serde_json::from_str(data).unwrap(), originals)
    }

    #[test]
    fn a_payload_becomes_readable_and_the_broken_items_are_kept() {
        for stream in [put(), put().replace('\n', "\r\n"), put().replace('\n', "\r")] {
            let (put, originals) = through(&stream);
            let kept = Original { item: ItemId::new(Kind::Flag, "b"), version: 2, json: BROKEN.to_owned() };
            assert_eq!(originals, [kept]);
            assert_eq!(put["data"]["flags"]["a"], serde_json::from_str::<serde_json::Value>(WHOLE).unwrap());
            let stand_in = put["data"]["flags"]["b"].to_string();
            assert!(is_decodable(Kind::Flag, &stand_in) && stand_in.contains("\"version\":2"), "{stand_in}");
            assert!(put["data"]["segments"].is_object());
        }
    }

    #[test]
    fn a_patch_becomes_readable_whatever_its_item_is() {
        for (path, json, version) in [
            ("/flags/b", BROKEN, 2),
            ("/segments/s", r#"{"key":"s","version":3,"included":[1]}"#, 3),
            ("/segments/s", r#"{"version":4,"deleted":true}"#, 4),
        ] {
            let (patch, originals) =
                through(&format!("event: patch\ndata: {{\"path\":\"{path}\",\"data\":{json}}}\n\n"));
            assert_eq!((originals[0].version, originals[0].json.as_str()), (version, json));
            assert!(is_decodable(originals[0].item.kind, &patch["data"].to_string()), "{patch}");
        }
    }

    #[test]
    fn what_is_readable_or_beyond_help_goes_through_as_it_is() {
        for event in [
            ": comment\n\n".to_owned(),
            format!("event: patch\ndata: {{\"path\":\"/flags/a\",\"data\":{WHOLE}}}\n\n"),
            "event: delete\ndata: {\"path\":\"/flags/a\",\"version\":3}\n\n".to_owned(),
            "event: put\ndata: {\"data\":[]}\n\n".to_owned(),
            "event: put\ndata: nonsense\n\n".to_owned(),
            "event: patch\ndata: {\"path\":\"/flags/x\",\"data\":7}\n\n".to_owned(),
            "event: patch\ndata: {\"path\":\"/elsewhere\",\"data\":{}}\n\n".to_owned(),
        ] {
            let (bytes, originals) = Mending::default().push(event.as_bytes());
            assert_eq!((String::from_utf8(bytes).unwrap(), originals), (event, Vec::new()));
        }
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_come_to_the_same(cuts in proptest::collection::vec(0..600_usize, 0..12), end in "\n|\r|\r\n") {
            let stream = format!(": hello\n\n{}event: delete\ndata: {{}}\n\nevent: cut off", put()).replace('\n', &end);
            let whole = Mending::default().push(stream.as_bytes());
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.sort_unstable();
            let (mut mending, mut from, mut pieces) = (Mending::default(), 0, (Vec::new(), Vec::new()));
            for cut in cuts.into_iter().chain([stream.len()]) {
                let (bytes, originals) = mending.push(&stream.as_bytes()[from..cut]);
                pieces.0.extend(bytes);
                pieces.1.extend(originals);
                from = cut;
            }
            prop_assert_eq!(pieces, whole);
        }
    }
}
