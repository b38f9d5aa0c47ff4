//! What follows a change of the file: a signal to some process, a command, a supervised program.
//!
//! Signal and command belong to one task that does one thing after the other: runs never overlap, and changes that come
//! during a run lead to one more, with the newest values. What fails is logged and counted, and stops nothing.

pub mod child;
mod command;
pub mod signal;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use flagcache_program::one_line;

use crate::settings::ReloadSettings;
use crate::status::Status;

/// Variables and their values.
pub type Environment = Arc<BTreeMap<String, String>>;

/// Runs command and signal after changes.
pub struct Reloads {
    changes: watch::Sender<Environment>,
    task: Option<JoinHandle<bool>>,
}

impl Reloads {
    /// Nothing runs before the first change.
    pub fn new(settings: &ReloadSettings, status: Status) -> Self {
        let (changes, receiver) = watch::channel(Environment::default());
        let is_idle = settings.exec.is_none() && settings.signal.is_none();
        let task = (!is_idle).then(|| tokio::spawn(run(settings.clone(), receiver, status)));
        Self { changes, task }
    }

    /// The file has changed, and these are the values.
    pub fn changed(&self, environment: &Environment) {
        self.changes.send_replace(Arc::clone(environment));
    }

    /// Waits for the run that is under way or still due; whether all of them went well. No longer than this.
    pub async fn finish(self, within: Duration) -> bool {
        drop(self.changes);
        let Some(task) = self.task else { return true };
        let Ok(went_well) = tokio::time::timeout(within, task).await else {
            tracing::warn!("the command of --exec is still at work after {within:?} and is given up");
            return false;
        };
        went_well.unwrap_or(false)
    }
}

/// Ends when there can be no more changes.
async fn run(settings: ReloadSettings, mut changes: watch::Receiver<Environment>, status: Status) -> bool {
    let mut went_well = true;
    while changes.changed().await.is_ok() {
        splay(settings.splay, &mut changes).await;
        let environment = Arc::clone(&changes.borrow_and_update());
        if let Some(target) = &settings.signal {
            let sent = target.send();
            status.reloaded(sent.is_ok());
            match sent {
                Ok(pid) => tracing::info!(pid, "signal {} sent", target.signal_name()),
                Err(error) => {
                    tracing::error!(error = %one_line(&error), "no signal could be sent");
                    went_well = false;
                }
            }
        }
        if let Some(line) = &settings.exec {
            let ran = command::run(line, &environment, settings.exec_timeout).await;
            status.reloaded(ran);
            went_well &= ran;
        }
    }
    went_well
}

/// Waits a random time, cut short where the program ends.
pub(crate) async fn splay(longest: Duration, changes: &mut watch::Receiver<Environment>) {
    if longest.is_zero() {
        return;
    }
    let wait = longest.mul_f64(rand::random::<f64>());
    tracing::info!("reloading in {wait:.1?}");
    let until = tokio::time::Instant::now() + wait;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(until) => return,
            change = changes.changed() => if change.is_err() { return },
        }
    }
}
