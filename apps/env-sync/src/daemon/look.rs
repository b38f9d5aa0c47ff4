//! One look at the file: it is brought to the values, and who has to know is told.

use std::sync::Arc;
use std::time::Instant;

use flagcache_program::one_line;

use super::{Daemon, locked};
use crate::diff;
use crate::exit::Exit;
use crate::file::lock::LockError;
use crate::file::{self, Applied, FileError};
use crate::reload::child::Supervised;
use crate::settings::Mode;
use crate::status::{self, systemd};

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// The file says everything.
    Complete,
    /// It says everything that could be written.
    Incomplete,
    /// It could not be written; that is tried again.
    Failed,
    /// Another `env-sync` keeps it.
    Forbidden,
}

impl Daemon {
    /// Evaluates what changes have touched, and brings the file to it.
    pub(super) fn evaluate_and_look(&mut self, now: Instant) -> Looked {
        let items = self.items();
        let evaluated = self.values.evaluate_changed(&items);
        self.evaluated(evaluated);
        self.look(now)
    }

    /// Brings the file to the values.
    pub(super) fn look(&mut self, now: Instant) -> Looked {
        if let Err(error) = self.hold_lock() {
            tracing::error!("{error}");
            return Looked::Forbidden;
        }
        match file::apply(&self.settings.file, &self.values.assignments()) {
            Ok(applied) => self.applied(&applied, now),
            Err(error) => {
                self.failed(&error, now);
                Looked::Failed
            }
        }
    }

    /// What could not be locked at the start is locked as soon as it can be.
    fn hold_lock(&mut self) -> Result<(), LockError> {
        match &mut self.lock {
            Some(lock) => lock.settle(&self.path)?,
            None => self.lock = locked(&self.path)?,
        }
        Ok(())
    }

    fn failed(&mut self, error: &FileError, now: Instant) {
        let problem = one_line(error);
        self.pace.failed(now);
        let outlook = if self.settings.mode == Mode::Once { "nothing was written" } else { "it is tried again" };
        tracing::error!("{problem}; {outlook}");
        systemd::text(&problem);
        self.status.update(|facts| {
            facts.write_failures += 1;
            facts.file_problem = Some(problem);
        });
    }

    fn applied(&mut self, applied: &Applied, now: Instant) -> Looked {
        let is_changed = !applied.changed.is_empty();
        self.pace.done(now, is_changed);
        self.tell(applied);
        let refused: Vec<String> = applied.refused.iter().map(|refusal| refusal.name.clone()).collect();
        for refusal in applied.refused.iter().filter(|refusal| !self.progress.refused.contains(&refusal.name)) {
            let (name, reason) = (&refusal.name, refusal.reason);
            tracing::error!(
                name,
                "{name} cannot be written as {}: {reason}; its line stays as it was",
                self.settings.file.format
            );
        }
        self.progress.refused.clone_from(&refused);
        let (flags, problems, nameless) = self.values.counts();
        let is_complete = refused.is_empty() && nameless == 0;
        self.status.update(|facts| {
            (facts.initialized, facts.file_problem, facts.refused) = (true, None, refused);
            (facts.flags, facts.flags_with_problems) = (flags, problems);
            facts.last_sync = Some(status::now());
            if is_changed {
                facts.writes += 1;
                facts.last_write = facts.last_sync;
            }
            facts.backup_failures += u64::from(applied.backup_failed.is_some());
        });
        self.reload(is_changed);
        if !std::mem::replace(&mut self.progress.is_synced, true) {
            systemd::ready(&format!("{flags} flags are in step with LaunchDarkly"));
        }
        if is_complete { Looked::Complete } else { Looked::Incomplete }
    }

    fn tell(&self, applied: &Applied) {
        let path = self.path.display();
        if let Some(error) = &applied.backup_failed {
            tracing::warn!(%path, %error, "no backup could be made; the file is written all the same");
        }
        if let Some(reason) = applied.in_place {
            tracing::warn!(%path, "the file is written in place, not atomically: {reason}");
        }
        if applied.changed.is_empty() {
            tracing::info!(%path, "the file is right as it is");
        } else {
            let backup = applied.backup.as_ref().map(|backup| tracing::field::display(backup.display()));
            tracing::info!(%path, backup, "the file is written: {}", names(&applied.changed));
        }
    }

    /// Starts what follows a change.
    fn reload(&mut self, is_changed: bool) {
        let environment = Arc::new(self.values.environment());
        let is_first = !self.progress.is_synced;
        if is_changed || (is_first && self.settings.reload.run_on_start) {
            self.reloads.changed(&environment);
        }
        let command = &self.settings.reload.command;
        match &self.child {
            None if is_first && !command.is_empty() => {
                let (splay, status) = (self.settings.reload.splay, self.status.clone());
                self.child = Some(Supervised::start(command.clone(), &environment, splay, status));
            }
            Some(child) if environment != self.environment => child.changed(&environment),
            _ => {}
        }
        self.environment = environment;
    }

    /// Prints what would change.
    pub(super) fn show_difference(&self, show_values: bool) -> Exit {
        debug_assert!(matches!(self.settings.mode, Mode::Preview { .. }));
        let assignments = self.values.assignments();
        let (old, edited) = match file::preview(&self.settings.file, &assignments) {
            Ok(preview) => preview,
            Err(error) => {
                tracing::error!("{}", one_line(&error));
                return Exit::Failed;
            }
        };
        for refusal in &edited.refused {
            tracing::error!("{} cannot be written as {}: {}", refusal.name, self.settings.file.format, refusal.reason);
        }
        let name = self.settings.file.path.display().to_string();
        print(&diff::render(&name, &old, &edited, &assignments, show_values));
        Exit::Done
    }
}

/// A few names, and how many more.
fn names(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[expect(clippy::print_stdout, reason = "the difference is what a dry run is for")]
fn print(text: &str) {
    print!("{text}");
}
