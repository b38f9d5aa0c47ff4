//! Decides when to look, and where: along the way of every change, and now and then while somebody
//! watches.

use super::Shared;
use super::faults::Fault;
use super::places::{Place, Seen};
use super::state::State;
use crate::standin::{Change, ItemKind};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

/// How often is looked while somebody watches.
const CALM: Duration = Duration::from_millis(500);
/// How often is looked for a change that is on its way to a place without webhooks.
const EAGER: Duration = Duration::from_millis(40);
/// For how long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps the state up to date; never comes back.
pub(super) async fn follow(shared: Shared) {
    tokio::join!(follow_changes(&shared), keep_looking(&shared));
}

async fn follow_changes(shared: &Shared) {
    let mut changes = shared.places.standin.changes();
    let mut journeys = JoinSet::new();
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Ok(change) => { journeys.spawn(journey(shared.clone(), change)); }
                // What was missed is seen at the next look.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            Some(_) = journeys.join_next() => {}
        }
    }
}

/// Follows one change through all places.
async fn journey(shared: Shared, change: Change) {
    let began = Instant::now();
    if change.kind == ItemKind::Flag {
        let flags = shared.places.flags();
        shared.state.send_modify(|state| state.begin(&change.key, change.version, flags, began));
    }
    tokio::join!(by_webhook(&shared, &change), by_stream(&shared, &change, began));
}

async fn by_webhook(shared: &Shared, change: &Change) {
    let Change { key, version, entry_id, .. } = change;
    let delivery = shared.places.standin.delivered(entry_id).await;
    shared.state.send_modify(|state| state.deliver(key, *version, &delivery, Instant::now()));
    for place in shared.places.all().into_iter().filter(|place| *place <= Place::Reader) {
        look(shared, place).await;
    }
    shared.state.send_modify(|state| state.settle(key, *version));
}

/// `env-sync` and `prefork-server` hear of changes from LaunchDarkly's stream, at their own pace.
async fn by_stream(shared: &Shared, change: &Change, began: Instant) {
    for place in shared.places.all().into_iter().filter(|place| *place > Place::Reader) {
        let is_awaited = |state: &State| {
            let lane = state.lanes.get(&change.key).filter(|lane| lane.version == change.version);
            lane.is_some_and(|lane| !lane.arrived.contains_key(&place))
        };
        while is_awaited(&shared.state.borrow()) && began.elapsed() < PATIENCE {
            look(shared, place).await;
            tokio::time::sleep(EAGER).await;
        }
    }
}

async fn keep_looking(shared: &Shared) {
    let mut ticks = tokio::time::interval(CALM);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    look_everywhere(shared).await;
    loop {
        ticks.tick().await;
        if shared.state.receiver_count() > 0 {
            look_around(shared).await;
        }
    }
}

/// Looks at everything.
pub(super) async fn look_everywhere(shared: &Shared) {
    look_at_launchdarkly(shared);
    for place in shared.places.all() {
        look(shared, place).await;
    }
}

/// The same, but asks `reader` only where there is something to be asked about: every question is an
/// invocation.
async fn look_around(shared: &Shared) {
    let mut is_new = look_at_launchdarkly(shared);
    for place in shared.places.all() {
        let is_unknown = !matches!(shared.state.borrow().seen.get(&place), Some(Ok(_)));
        if place != Place::Reader || is_new || is_unknown {
            is_new |= look(shared, place).await;
        }
    }
}

/// Looks at a place; whether anything is new there.
async fn look(shared: &Shared, place: Place) -> bool {
    let seen: Seen = shared.places.look(place).await;
    let now = Instant::now();
    shared.state.send_if_modified(|state| state.look(place, seen, now))
}

/// Looks at flags and faults; whether anything is new.
pub(super) fn look_at_launchdarkly(shared: &Shared) -> bool {
    let standin = &shared.places.standin;
    let flags = shared.places.flags();
    let faults = Fault::ALL.into_iter().filter(|fault| fault.is_on(standin)).collect();
    shared.state.send_if_modified(|state| {
        let is_new = state.flags != flags || state.faults != faults;
        (state.flags, state.faults) = (flags, faults);
        is_new
    })
}
