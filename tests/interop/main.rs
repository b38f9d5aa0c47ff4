//! Our functions beside LaunchDarkly's own SDKs, on AWS's own emulator.
//!
//! Every flag of a generated environment is evaluated for fifty contexts by our reader and by
//! readers made with the official Go, Node and Python SDKs in daemon mode over the same table, and
//! every answer must be the same. Run with
//! `cargo test -p flagcache-tests --features interop --test interop`
//! after `cargo build -p store -p reader -p relay-override`; `install` beside this file fetches the rest once.
//! `FLAGCACHE_SEED` makes it another environment.
//!
//! - `agreement`: what "the same answer" means;
//! - `overrides`: flags that `rc` overrides in Redis, as the Go and Python SDKs see them; and the drill;
//! - `load`: many webhooks at once;
//! - `storm`: stores that are killed while table and LaunchDarkly misbehave;
//! - `stage`: the emulator, the payload, the functions.

mod agreement;
mod load;
mod overrides;
mod stage;
mod storm;

use agreement::Disagreements;
use anyhow::Result;
use flagcache_tests::binaries::binary;
use flagcache_tests::generate;
use local::lambda::Function;
use serde_json::json;
use stage::{Readers, Stage, all_flags, one_flag};

const FLAGS: usize = 300;
const SEGMENTS: usize = 30;
const CONTEXTS: usize = 50;

#[expect(clippy::expect_used, reason = "a wrong seed is told at once by the test that fails")]
fn seed() -> u64 {
    std::env::var("FLAGCACHE_SEED").map_or(1, |seed| seed.parse().expect("FLAGCACHE_SEED is a number"))
}

#[tokio::test]
async fn the_official_readers_agree_among_themselves() -> Result<()> {
    let payload = generate::payload(seed(), FLAGS, SEGMENTS);
    let stage = Stage::set(&payload).await?;
    stage.fill(&payload).await?;
    agree_on_everything(&stage.official_readers(None).await?).await
}

#[tokio::test]
async fn every_reader_agrees_on_a_table_that_our_store_filled() -> Result<()> {
    let stage = Stage::set(&generate::payload(seed(), FLAGS, SEGMENTS)).await?;
    let summary = stage.run_store(Function::new(binary("store")?), None).await?;
    assert_eq!(summary["outcome"], "updated", "{summary}");
    assert_eq!(summary["flags"], json!({"total": FLAGS, "written": FLAGS, "deleted": 0}));
    assert_eq!(summary["segments"], json!({"total": SEGMENTS, "written": SEGMENTS, "deleted": 0}));
    agree_on_everything(&stage.readers(None).await?).await
}

#[tokio::test]
async fn every_reader_agrees_under_a_prefix_beside_another_environment() -> Result<()> {
    let stage = Stage::set(&generate::payload(seed() + 1, FLAGS, SEGMENTS)).await?;
    stage.run_store(Function::new(binary("store")?), Some("other")).await?;
    stage.source.set(generate::payload(seed(), FLAGS, SEGMENTS));
    stage.run_store(Function::new(binary("store")?), Some("ours")).await?;
    agree_on_everything(&stage.readers(Some("ours")).await?).await
}

#[tokio::test]
async fn every_reader_agrees_on_a_table_that_the_official_store_filled() -> Result<()> {
    let stage = Stage::set(&generate::payload(seed(), FLAGS, SEGMENTS)).await?;
    stage.run_store(stage.tools.official_store(), None).await?;
    agree_on_everything(&stage.readers(None).await?).await
}

#[tokio::test]
async fn our_store_takes_over_a_table_that_the_official_store_filled() -> Result<()> {
    let before = generate::payload(seed(), FLAGS + 5, SEGMENTS);
    let after = generate::toggled(&generate::payload(seed(), FLAGS, SEGMENTS), &generate::flag_key(seed(), 7))?;
    let stage = Stage::set(&before).await?;
    stage.run_store(stage.tools.official_store(), None).await?;
    stage.source.set(after);
    stage.run_store(Function::new(binary("store")?), None).await?;
    agree_on_everything(&stage.readers(None).await?).await
}

/// All flags at once for every context, and each flag alone for the first three.
async fn agree_on_everything(readers: &Readers) -> Result<()> {
    let contexts = generate::contexts(seed(), CONTEXTS);
    let mut found = Disagreements::default();
    for context in &contexts {
        let mut answers = Vec::new();
        for (name, reader) in readers {
            answers.push((*name, all_flags(reader, context).await?));
        }
        assert_eq!(answers[0].1.len(), FLAGS, "{} answered for other flags", answers[0].0);
        found.compare(context, &answers);
    }
    for context in &contexts[..3] {
        for index in 0..FLAGS {
            let key = generate::flag_key(seed(), index);
            let mut answers = Vec::new();
            for (name, reader) in readers {
                answers.push((*name, one_flag(reader, &key, context).await?));
            }
            found.compare(context, &answers);
        }
    }
    found.none()
}
