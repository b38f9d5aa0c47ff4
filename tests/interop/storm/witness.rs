//! What a reader may meet at any moment, in the official layout and in the snapshot.
//!
//! Nothing goes back, nothing comes back from the dead, nothing is there without what it needs. Reads of the official
//! layout are of no one moment: so only what was there unchanged before and after has to have had what it needs in between.

use super::site::PAIR;
use anyhow::{Context, Result, ensure};
use flagcache_payload::{ItemId, Items, Kind, references};
use flagcache_tests::contents::named;
use flagcache_tests::table::Table;
use launchdarkly_server_sdk_dynamodb::{Flags, ReadError, SnapshotReader};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks, so that the others get on.
const PAUSE: Duration = Duration::from_millis(15);

/// Versions by item.
type Versions = BTreeMap<ItemId, u64>;

/// Somebody who looks at one environment.
pub(super) struct Witness {
    table: Table,
    prefix: &'static str,
    client: aws_sdk_dynamodb::Client,
    /// A function that stays warm.
    warm: SnapshotReader,
    official: Seen,
    snapshot: Seen,
    generation: u64,
    /// The flags at the end of the look before.
    before: Versions,
    needs: BTreeMap<(ItemId, u64), Vec<ItemId>>,
}

/// What was seen in one place.
#[derive(Default)]
struct Seen {
    newest: Versions,
    last: [Versions; 2],
}

impl Witness {
    /// Looks at what lies below `prefix`, past all storms.
    pub(super) async fn new(table: &Table, endpoint: &str, prefix: &'static str) -> Result<Self> {
        let variables = |name: &str| match name {
            "AWS_ENDPOINT_URL_DYNAMODB" => Some(endpoint.to_owned()),
            "AWS_REGION" => Some("us-east-1".to_owned()),
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("local".to_owned()),
            _ => None,
        };
        let client = flagcache_aws::dynamodb(&flagcache_aws::from_lookup(&variables).await?);
        Ok(Self {
            table: table.clone(),
            prefix,
            warm: SnapshotReader::new(client.clone(), table.name(), prefix),
            client,
            official: Seen::default(),
            snapshot: Seen::default(),
            generation: 0,
            before: Versions::new(),
            needs: BTreeMap::new(),
        })
    }

    /// Looks again and again until it is over; how often that was.
    pub(super) async fn watch(mut self, is_over: watch::Receiver<bool>) -> Result<usize> {
        let mut looks = 0;
        while !*is_over.borrow() {
            self.look_at_official_layout().await.with_context(|| format!("in {} at look {looks}", self.prefix))?;
            self.look_at_snapshot().await.with_context(|| format!("in {} at look {looks}", self.prefix))?;
            looks += 1;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(looks)
    }

    /// Fails unless the snapshot is exactly a payload, byte for byte.
    pub(super) async fn ensure_snapshot_is(&self, payload: &str) -> Result<()> {
        let payload = flagcache_payload::Payload::parse(payload.to_owned().into())?;
        self.warm.refresh().await?;
        let flags = self.warm.current().context("nothing was read")?;
        for kind in Kind::ALL {
            let keys = flags.keys(kind);
            ensure!(keys.len() == payload.count(kind), "the snapshot has {keys:?}");
            for item in payload.items(kind) {
                ensure!(
                    flags.json(kind, item.key).as_deref() == Some(item.json),
                    "the snapshot's {} is old",
                    item.id()
                );
            }
        }
        Ok(())
    }

    async fn look_at_official_layout(&mut self) -> Result<()> {
        let between = self.items(Kind::Flag).await?;
        let segments = self.items(Kind::Segment).await?;
        let after = self.items(Kind::Flag).await?;
        for flags in [&between, &after] {
            self.official.take(Kind::Flag, flags)?;
        }
        self.official.take(Kind::Segment, &segments)?;
        for (id, version) in &after {
            for needed in self.needs.get(&(id.clone(), *version)).into_iter().flatten() {
                let (was_there, there) = match needed.kind {
                    Kind::Flag => (&self.before, &between),
                    Kind::Segment => (&between, &segments),
                };
                let is_met = was_there.get(id) != Some(version) || there.contains_key(needed);
                ensure!(is_met, "the official layout has {id} at {version} without {needed}");
            }
        }
        self.before = after;
        Ok(())
    }

    async fn look_at_snapshot(&mut self) -> Result<()> {
        let cold = SnapshotReader::new(self.client.clone(), self.table.name(), self.prefix);
        for reader in [&self.warm, &cold] {
            match reader.refresh().await {
                Err(ReadError::NotFilled { .. }) if self.snapshot.newest.is_empty() => return Ok(()),
                refreshed => drop(refreshed?),
            }
            let flags = reader.current().context("nothing was read")?;
            // Where bases follow each other too fast, a reader falls back to the official layout.
            let Flags::Snapshot(snapshot) = &*flags else { continue };
            let versions = snapshot.versions();
            ensure!(self.generation <= snapshot.generation(), "the generation went back from {}", self.generation);
            self.generation = snapshot.generation();
            let [left, right] = PAIR.map(|key| versions.get(&ItemId::new(Kind::Flag, key)));
            ensure!(left == right, "half a payload was seen: {left:?} and {right:?} of what changes together");
            for (id, version) in &versions {
                let json = flags.json(id.kind, &id.key).with_context(|| format!("the snapshot's {id} is none"))?;
                for needed in needs(&mut self.needs, id, *version, &json) {
                    ensure!(versions.contains_key(needed), "the snapshot has {id} without {needed}");
                }
            }
            for kind in Kind::ALL {
                let of_kind = versions.iter().filter(|(id, _)| id.kind == kind);
                let of_kind = of_kind.map(|(id, version)| (id.clone(), *version)).collect();
                self.snapshot.take(kind, &of_kind)?;
            }
        }
        Ok(())
    }

    /// The items of a kind in the official layout, as any SDK finds them.
    async fn items(&mut self, kind: Kind) -> Result<Versions> {
        let namespace = named(self.prefix, if kind == Kind::Flag { "features" } else { "segments" });
        let query = json!({
            "KeyConditionExpression": "namespace = :namespace",
            "ExpressionAttributeValues": {":namespace": {"S": namespace}},
            "ConsistentRead": true,
        });
        let page = self.table.call("Query", query).await?;
        ensure!(page["LastEvaluatedKey"].is_null(), "more than a page of items");
        let mut versions = Versions::new();
        for item in page["Items"].as_array().into_iter().flatten() {
            let text =
                |name: &str, type_: &str| item[name][type_].as_str().with_context(|| format!("no {name}: {item}"));
            let (id, version) = (ItemId::new(kind, text("key", "S")?), text("version", "N")?.parse()?);
            let json = text("item", "S")?;
            ensure!(json.contains(&format!("\"version\":{version}")), "{id} at {version} is {json}");
            needs(&mut self.needs, &id, version, json);
            versions.insert(id, version);
        }
        Ok(versions)
    }
}

/// What an item needs; it is the same whenever the version is.
fn needs<'a>(
    known: &'a mut BTreeMap<(ItemId, u64), Vec<ItemId>>,
    id: &ItemId,
    version: u64,
    json: &str,
) -> &'a [ItemId] {
    known.entry((id.clone(), version)).or_insert_with(|| references(json))
}

impl Seen {
    /// Takes in what is there now of one kind.
    fn take(&mut self, kind: Kind, now: &Versions) -> Result<()> {
        let before = std::mem::replace(&mut self.last[usize::from(kind == Kind::Flag)], now.clone());
        for (id, version) in now {
            let newest = self.newest.insert(id.clone(), *version);
            ensure!(newest <= Some(*version), "{id} went back from {newest:?} to {version}");
            let is_back = newest == Some(*version) && !before.contains_key(id);
            ensure!(!is_back, "{id} is back from the dead at {version}");
        }
        Ok(())
    }
}
