//! A storm: stores that are killed at any moment, over a table and a LaunchDarkly that misbehave, watched all the while.
//!
//! Two environments share a table on DynamoDB Local: one that is filled, and one of which the first fill falls into the
//! storm. What happens, and when, follows from the seed (`FLAGCACHE_SEED`); how the processes and the emulator come along
//! with it does not. After the storm one clean run must bring each environment to LaunchDarkly's truth.
//!
//! - `site`: an environment, its LaunchDarkly, and its stores;
//! - `weather`: which faults there are;
//! - `witness`: what must hold whoever reads, and whenever.

mod site;
mod weather;
mod witness;

use crate::seed;
use anyhow::{Context, Result, ensure};
use flagcache_tests::dynamodb_local::DynamoDbLocal;
use flagcache_tests::generate::Dice;
use flagcache_tests::proxy::Proxy;
use flagcache_tests::table::Table;
use flagcache_tests::tools::Tools;
use site::{Ended, Site};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use witness::Witness;

/// How many things happen.
const EVENTS: u64 = 260;
/// After this time nothing further happens, however slow the machine.
const LONGEST: Duration = Duration::from_secs(30);

/// How the invocations of the storm ended.
#[derive(Debug, Default)]
struct Tally {
    synced: usize,
    refused: usize,
    killed: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_takes_nothing_back_shows_no_half_and_leaves_nothing_behind() -> Result<()> {
    let seed = seed();
    println!("to have the same storm again: FLAGCACHE_SEED={seed}");
    let report = weathered(seed).await.with_context(|| format!("the storm of FLAGCACHE_SEED={seed} did harm"))?;
    println!("{report}");
    Ok(())
}

async fn weathered(seed: u64) -> Result<String> {
    let emulator = DynamoDbLocal::start(&Tools::install()?).await?;
    let (direct, proxy) = (emulator.endpoint(), Proxy::start(&emulator.endpoint()).await?);
    let table = Table::create(&direct).await?;
    let sites = [
        Arc::new(Site::start("filled", seed, &table, &proxy.endpoint(), &direct).await?),
        Arc::new(Site::start("empty", seed + 1, &table, &proxy.endpoint(), &direct).await?),
    ];
    sites[0].clean_run().await?;
    let (over, is_over) = watch::channel(false);
    let mut watching = Vec::new();
    for site in &sites {
        let witness = Witness::new(&table, &direct, site.prefix).await?;
        watching.push(tokio::spawn(witness.watch(is_over.clone())));
    }

    let tally = storm(seed, &sites, &proxy).await;
    let never_happened = proxy.behave();
    let _ = over.send(true);
    let mut looks = Vec::new();
    for watch in watching {
        looks.push(watch.await??);
    }
    let tally = tally?;
    let report = format!("{tally:?}, {looks:?} looks, {never_happened} faults of the table never happened");
    ensure!(tally.synced + tally.refused > 0 && tally.killed > 0, "that was no storm: {tally:?}");
    for site in &sites {
        site.launchdarkly.behave();
        site.clean_run().await.with_context(|| format!("after the storm over {}", site.prefix))?;
        Witness::new(&table, &direct, site.prefix).await?.ensure_snapshot_is(&site.payload()?).await?;
    }
    Ok(report)
}

async fn storm(seed: u64, sites: &[Arc<Site>], proxy: &Proxy) -> Result<Tally> {
    let (mut under_way, mut tally) = (JoinSet::new(), Tally::default());
    let began = Instant::now();
    for number in 0..EVENTS {
        let mut dice = Dice::new(seed, number);
        let site = dice.pick(sites);
        match dice.below(100) {
            0..35 => weather::over_the_table(&mut dice, proxy),
            35..47 => weather::over_launchdarkly(&mut dice, site),
            _ => {
                let event = site.something_happens(&mut dice, number)?;
                let life = dice.percent(30).then(|| Duration::from_millis(dice.between(1, 900) as u64));
                under_way.spawn(Arc::clone(site).invoke(event, life));
            }
        }
        while let Some(ended) = under_way.try_join_next() {
            tally.count(ended??);
        }
        if began.elapsed() > LONGEST {
            break;
        }
        tokio::time::sleep(Duration::from_millis(dice.between(5, 110) as u64)).await;
    }
    while let Some(ended) = under_way.join_next().await {
        tally.count(ended??);
    }
    Ok(tally)
}

impl Tally {
    fn count(&mut self, ended: Ended) {
        match ended {
            Ended::Synced => self.synced += 1,
            Ended::Refused => self.refused += 1,
            Ended::Killed => self.killed += 1,
            Ended::NoPlace => {}
        }
    }
}
