//! Syncs over a table in memory, a LaunchDarkly with caches and a virtual clock.
//!
//! `world` holds the three; `scenarios` tells single stories, `stale_answers` those in which LaunchDarkly's caches lag,
//! `snapshots` those about readers of the snapshot, `overrides` those of flags changed by hand, `deadlines` those about
//! time; `interleavings` lets chance decide who goes next, who dies and which answers get lost, and checks after every
//! write that the table never goes back.

mod deadlines;
mod interleavings;
mod overrides;
mod scenarios;
mod snapshots;
mod stale_answers;
mod world;
