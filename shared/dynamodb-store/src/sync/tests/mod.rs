//! Syncs over a table in memory, a LaunchDarkly with caches and a virtual clock.
//!
//! `world` holds the three, and `table` is how requests to the first fare; `scenarios` tells single stories,
//! `stale_answers` those in which LaunchDarkly's caches lag, `snapshots` those about readers of the snapshot, `overrides`
//! those of flags changed by hand, `fills` those about large first fills, `limits` those about sizes, `deadlines` those
//! about time; `interleavings` lets chance decide who goes next, who dies and which answers get lost, and has the
//! `checker` look after every step; bugs planted in the table prove that it finds them.

mod checker;
mod deadlines;
mod fills;
mod interleavings;
mod limits;
mod overrides;
mod scenarios;
mod snapshots;
mod stale_answers;
mod table;
mod world;
