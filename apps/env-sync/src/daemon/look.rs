//! One look at the file: it is brought to the values, and who has to know is told.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use flagcache_program::one_line;

use super::{Daemon, locked};
use crate::diff;
use crate::exit::Exit;
use crate::file::lock::LockError;
use crate::file::{self, Applied, FileError, Preview};
use crate::reload::Environment;
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
        match file::apply(&self.settings.file, &self.values.assignments(), &mut self.backups) {
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
                "{name} cannot be written as {}: {reason}; its line stays as it was, and so does what commands get",
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
        let environment = Arc::new(self.environment());
        let is_first = !self.progress.is_synced;
        if is_changed || (is_first && self.settings.reload.run_on_start) {
            self.reloads.changed(&environment);
        }
        let command = &self.settings.reload.command;
        match &self.child {
            None if is_first && !command.is_empty() => return self.start_command(environment),
            // What it got of a file with more lines than the flags' is no reason to start it anew.
            Some(child) if environment.iter().any(|(name, value)| self.environment.get(name) != Some(value)) => {
                child.changed(&environment);
            }
            _ => {}
        }
        self.environment = environment;
    }

    /// The values as programs get them. What the file could not be given they get as it stands there, if it does: who
    /// reads the file and who gets its values must not disagree.
    fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = self.values.environment();
        if !self.progress.refused.is_empty() {
            let mut kept = file::known(&self.settings.file).unwrap_or_default();
            for name in &self.progress.refused {
                match kept.remove(name) {
                    Some(value) => environment.insert(name.clone(), value),
                    None => environment.remove(name),
                };
            }
        }
        self.possible(environment)
    }

    /// A JSON file can hold what an environment cannot.
    fn possible(&self, mut environment: BTreeMap<String, String>) -> BTreeMap<String, String> {
        let has_programs = self.settings.reload.exec.is_some() || !self.settings.reload.command.is_empty();
        environment.retain(|name, value| {
            let is_possible = !value.contains('\0');
            if has_programs && !is_possible {
                tracing::error!("{name} has a NUL character, which no environment can hold: commands do not get it");
            }
            is_possible
        });
        environment
    }

    fn start_command(&mut self, environment: Environment) {
        let (splay, status) = (self.settings.reload.splay, self.status.clone());
        self.child = Some(Supervised::start(self.settings.reload.command.clone(), &environment, splay, status));
        self.environment = environment;
    }

    /// Starts the program that waits for its values with those that the file has: an outage of LaunchDarkly, or a full
    /// disk, must not keep it from starting. Without any it goes on waiting.
    pub(super) fn start_command_with_last_known_values(&mut self) {
        if self.settings.reload.command.is_empty() || self.child.is_some() {
            return;
        }
        let path = self.path.display();
        let (known, missing) = match file::known(&self.settings.file) {
            Ok(known) => self.values.last_known(known),
            Err(error) => {
                return tracing::error!("{}; the command is not started before the file can be used", one_line(&error));
            }
        };
        if known.is_empty() {
            return tracing::warn!(%path, "the file has no last known values: the command is not started before it has");
        }
        if missing.is_empty() {
            tracing::warn!(%path, "the command gets the last known values of the file");
        } else {
            let missing = names(&missing);
            tracing::warn!(%path, "the command gets the last known values of the file, which has none of {missing}");
        }
        self.start_command(Arc::new(self.possible(known)));
    }

    /// Prints what would change; fails where `--once` would.
    pub(super) fn show_difference(&self, show_values: bool) -> Exit {
        debug_assert!(matches!(self.settings.mode, Mode::Preview { .. }));
        let assignments = self.values.assignments();
        let Preview { text, edited, obstacle } = match file::preview(&self.settings.file, &assignments) {
            Ok(preview) => preview,
            Err(error) => {
                tracing::error!("{}", one_line(&error));
                return Exit::Failed;
            }
        };
        for refusal in &edited.refused {
            tracing::error!("{} cannot be written as {}: {}", refusal.name, self.settings.file.format, refusal.reason);
        }
        if let Some(error) = &obstacle {
            tracing::error!("{}", one_line(error));
        }
        let name = self.settings.file.path.display().to_string();
        let is_shown = print(&diff::render(&name, &text, &edited, &assignments, show_values));
        let (_, _, nameless) = self.values.counts();
        if is_shown && obstacle.is_none() && edited.refused.is_empty() && nameless == 0 {
            Exit::Done
        } else {
            Exit::Failed
        }
    }
}

/// A few names, and how many more.
fn names(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// Whether all of it found its way. Who reads no further, such as `head`, has seen what he wanted.
fn print(text: &str) -> bool {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            tracing::error!(%error, "the difference cannot be shown");
            false
        }
        _ => true,
    }
}
