//! An environment as the bytes that the polling endpoint and the stream send.

use super::environment::{Environment, Items};
use super::item::ItemKind;
use super::raw_object;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::OnceLock;

/// A payload, compressed when that is first asked for.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) body: Bytes,
    /// A strong one, of the content: the same payload again has the same.
    pub(super) etag: String,
    gzip: OnceLock<Bytes>,
}

impl Payload {
    pub(super) fn of(environment: &Environment) -> Self {
        let collection = |kind: ItemKind| items(environment.items(kind));
        let (flags, segments) = (collection(ItemKind::Flag), collection(ItemKind::Segment));
        let collections = [("flags", flags.as_str()), ("segments", segments.as_str())];
        let body = Bytes::from(raw_object::write(collections.into_iter()));
        let etag = format!("\"{}\"", &hex::encode(Sha256::digest(&body))[..32]);
        Self { body, etag, gzip: OnceLock::new() }
    }

    pub(super) fn gzip(&self) -> Bytes {
        self.gzip.get_or_init(|| gzip(&self.body)).clone()
    }
}

fn items(items: &Items) -> String {
    let visible = items.iter().filter(|(_, item)| !item.is_archived);
    raw_object::write(visible.map(|(key, item)| (key.as_str(), item.raw.get())))
}

pub(super) fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(body);
    Bytes::from(encoder.finish().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_sent_as_they_are_and_the_etag_follows_the_content() {
        let text = r#"{"flags":{"\"k":{"version": 1, "x":1.0}},"segments":{"s":{"version":2}}}"#;
        let environment = Environment::from_payload(text, 0).unwrap();
        let payload = Payload::of(&environment);
        assert_eq!(payload.body, text);
        assert_eq!(payload.etag, Payload::of(&environment).etag);
        assert_ne!(payload.etag, Payload::of(&Environment::default()).etag);
    }
}
