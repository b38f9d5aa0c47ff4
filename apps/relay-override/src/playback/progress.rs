//! How far playback is: a bar on a terminal, plain lines otherwise.

use std::fmt::Display;

use indicatif::{ProgressBar, ProgressStyle};

use crate::console::Console;

pub(super) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(steps: usize, is_interactive: bool) -> Self {
        let bar = is_interactive.then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {eta}");
            ProgressBar::new(steps as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar }
    }

    /// A line about the step that has just ended.
    pub(super) fn line(&self, console: &mut Console<'_>, line: impl Display) {
        self.suspended(|| console.say(line));
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Without the bar in the way.
    pub(super) fn suspended<T>(&self, act: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(act),
            None => act(),
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
