//! Flags for a group: fetched before the fork, followed by one process for all, evaluated in each.
//!
//! [`State`] is what the group knows. The master holds one and forks it into every process, so a new worker begins with
//! what the others have by then; [`Update`]s bring all of them further. [`preload()`] fills the first, [`follow()`] makes
//! updates of LaunchDarkly's stream, [`Live`] is what a worker answers from.

pub mod follow;
pub mod live;
pub mod preload;
mod state;

pub use follow::follow;
pub use live::Live;
pub use preload::{Preload, preload};
pub use state::{Item, State, Update};
