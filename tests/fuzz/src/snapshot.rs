//! The snapshot's bytes, as somebody may have left them: an error or flags, and never much memory for a few bytes.

use crate::DEMO;
use bytes::Bytes;
use flagcache_payload::{ItemId, Kind, Payload};
use launchdarkly_server_sdk_dynamodb::snapshot::{Base, BaseBuilder, Delta, Tombstone};
use std::io::Write;

/// Looks at a base as it is, and as the index of one: what is compressed is seldom changed to anything that means much.
pub(crate) fn base(bytes: &[u8]) {
    read_base(bytes);
    let Some((blocks, index)) = bytes.split_first() else { return };
    let index = compressed(index);
    let mut base = u32::try_from(index.len()).unwrap_or_default().to_le_bytes().to_vec();
    base.extend(index);
    base.extend(compressed(DEMO.as_bytes()).iter().take(usize::from(*blocks) * 16));
    read_base(&base);
}

fn read_base(bytes: &[u8]) {
    let Ok(base) = Base::decode(Bytes::copy_from_slice(bytes)) else { return };
    let mut items = Vec::new();
    let is_whole = base.visit(&mut |item| items.push((item.id(), item.json.to_owned()))).is_ok();
    if is_whole {
        assert_eq!(items.len(), base.count(Kind::Flag) + base.count(Kind::Segment), "an item was passed over");
    }
    for kind in Kind::ALL {
        for key in base.keys(kind).take(100) {
            let _ = (base.json(kind, key), base.version(kind, key));
        }
    }
}

pub(crate) fn base_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![demo_base(), BaseBuilder::new().finish(), frame_of_zeros(100)];
    // The index of a small base alone, and of bombs: a million blocks of nothing, a block of 4 GB.
    let index = [&[255][..], &[1, 20, 20, 0, 2, 1, b'a', 1, 0, 0, 2, 1, b'b', 1, 0, 2, 9]].concat();
    let many_blocks = [vec![0, 0xC0, 0x84, 0x3D], vec![0; 60_000]].concat();
    let huge_block = vec![1, 1, 16, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 1, 1, b'f', 1, 0, 0, 9];
    seeds.extend([index, many_blocks, huge_block]);
    seeds
}

/// The same for a delta.
pub(crate) fn delta(bytes: &[u8]) {
    for bytes in [bytes, &compressed(bytes)] {
        let Ok(delta) = Delta::decode(bytes) else { continue };
        let again = Delta::decode(&delta.encode()).unwrap_or_else(|error| panic!("what was encoded is read: {error}"));
        assert_eq!(again, delta, "a delta is written as it was read");
        let _ = delta.rebased(u64::MAX);
    }
}

pub(crate) fn delta_seeds() -> Vec<Vec<u8>> {
    vec![demo_delta(), frame_of_zeros(100)[4..].to_vec(), vec![1, 1, 1, b'f', 3, 2, b'{', b'}', 1, 0, 1, b'g', 2, 5]]
}

/// The demo as a base.
pub(crate) fn demo_base() -> Vec<u8> {
    let payload = Payload::parse(DEMO.into()).unwrap_or_else(|error| panic!("the demo is a payload: {error}"));
    let mut builder = BaseBuilder::new();
    Kind::ALL.into_iter().flat_map(|kind| payload.items(kind)).for_each(|item| builder.push(item));
    builder.finish()
}

/// A change and a deletion of the demo.
pub(crate) fn demo_delta() -> Vec<u8> {
    let json = r#"{"key":"theme","version":90,"on":false,"variations":[1]}"#;
    let mut delta = Delta::default();
    delta.put(flagcache_payload::Item { kind: Kind::Flag, key: "theme", version: 90, json });
    delta.delete(ItemId::new(Kind::Flag, "page-size"), Tombstone { version: 80, deleted_at_ms: 1_700_000_000_000 });
    delta.encode()
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).unwrap_or_default()
}

/// A few bytes that claim to be many. Made bit by bit: the memory that targets take is counted.
fn frame_of_zeros(megabytes: u64) -> Vec<u8> {
    let frame = zstd::Encoder::new(Vec::new(), 1).and_then(|mut encoder| {
        encoder.set_pledged_src_size(Some(megabytes << 20))?;
        encoder.include_contentsize(true)?;
        let megabyte = vec![0; 1 << 20];
        (0..megabytes).try_for_each(|_| encoder.write_all(&megabyte))?;
        encoder.finish()
    });
    let frame = frame.unwrap_or_default();
    [u32::try_from(frame.len()).unwrap_or_default().to_le_bytes().as_slice(), &frame].concat()
}
