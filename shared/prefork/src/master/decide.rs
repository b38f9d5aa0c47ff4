//! What the master does next: who is missing, who is one too many, who hangs, who is due for replacement.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::child::{Child, Phase, Role};
use super::{App, Master};
use crate::board::ROWS;
use crate::frame::{Tag, frame};

/// A gap in the master's own life after which silence of the others proves nothing: all were stopped together.
const GAP: Duration = Duration::from_secs(3);

/// How many workers there may be: twice as many during a reload, the helper, and some that are ending.
const MOST_WORKERS: usize = ROWS / 4;

impl<A: App> Master<'_, A> {
    /// Takes note of those that have ended.
    pub(super) fn reap(&mut self) {
        loop {
            let (pid, how) = match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, 0) | WaitStatus::Signaled(pid, Signal::SIGTERM, _)) => (pid, None),
                Ok(WaitStatus::Exited(pid, code)) => (pid, Some(format!("exit code {code}"))),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Some(signal.to_string())),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(error) => return tracing::error!(%error, "ended processes cannot be reaped"),
            };
            if let Some(position) = self.children.iter().position(|child| child.pid == pid) {
                let mut child = self.children.swap_remove(position);
                // What it said last still counts.
                child.receive();
                self.read_messages(&mut child);
                self.bury(&child, how);
            }
        }
    }

    fn bury(&mut self, child: &Child, how: Option<String>) {
        let (pid, name) = (child.pid.as_raw(), child.role.name());
        match child.role {
            Role::Worker => self.board.retire(child.row),
            Role::Helper => {
                self.board.set_helper(0);
                self.board.freshness().ended();
            }
        }
        if child.is_ending() || self.stopping {
            return match how {
                None => tracing::info!(pid, "{name} has ended"),
                Some(how) => tracing::warn!(pid, how, "{name} has ended"),
            };
        }
        self.board.count_respawn();
        let lived = child.born.elapsed();
        let pace = self.pace(child.role);
        let pause = pace.backoff.died(lived, rand::random());
        pace.pause(pause);
        let how = how.unwrap_or_else(|| "it ended by itself".to_owned());
        tracing::warn!(pid, how, replaced_in_ms = pause.as_millis(), "{name} died");
    }

    /// Does whatever is due.
    pub(super) fn advance(&mut self) {
        let now = Instant::now();
        self.forgive_after_a_gap(now);
        self.kill_overdue(now);
        if self.stopping {
            // Who would connect now is told so, rather than to wait for the last request under way.
            if self.children.iter().all(|child| child.role == Role::Helper || child.has_drained) {
                self.listener.close();
            }
            if self.children.iter().all(|child| child.role == Role::Helper) {
                self.end_helper(now);
            }
            return;
        }
        self.end_hanging(now);
        if self.app.has_helper() && self.count(|child| child.role == Role::Helper) == 0 && now >= self.helper.not_before
        {
            self.spawn(Role::Helper);
        }
        self.keep_number(now);
        self.tell_systemd(now);
    }

    fn count(&self, which: impl Fn(&Child) -> bool) -> usize {
        self.children.iter().filter(|child| which(child)).count()
    }

    /// Forks workers that are missing; during a reload one more than that, so that one old worker may go.
    fn keep_number(&mut self, now: Instant) {
        let target = self.settings.workers;
        loop {
            let generation = self.generation;
            let serving = |child: &Child| child.role == Role::Worker && !child.is_ending();
            let old = |child: &Child| serving(child) && child.generation < generation;
            let there = self.count(serving);
            let starting = self.count(|child| serving(child) && child.phase == Phase::Starting);
            let ready = self.count(|child| serving(child) && !old(child) && child.phase == Phase::Ready);
            let olds = self.count(old);
            if there < target || (olds > 0 && starting == 0 && there == target) {
                if now < self.workers.not_before {
                    return;
                }
                self.spawn(Role::Worker);
            } else if there > target && (olds == 0 || ready > 0) && starting == 0 {
                self.retire_one(now);
            } else {
                return;
            }
        }
    }

    /// Sends the oldest worker into retirement.
    fn retire_one(&mut self, now: Instant) {
        let kill_at = now + self.settings.graceful_timeout + Duration::from_secs(1);
        let workers = self.children.iter_mut().filter(|child| child.role == Role::Worker && !child.is_ending());
        if let Some(oldest) = workers.min_by_key(|child| (child.generation, child.born)) {
            oldest.tell(frame(Tag::Retire, &[]).into());
            oldest.end_by(kill_at);
            tracing::info!(pid = oldest.pid.as_raw(), "worker ends");
        }
    }

    fn kill_overdue(&mut self, now: Instant) {
        for child in &mut self.children {
            if let Phase::Ending { kill_at } = child.phase
                && now >= kill_at
            {
                tracing::warn!(pid = child.pid.as_raw(), "{} did not end in time and is killed", child.role.name());
                child.signal(Signal::SIGKILL);
                child.end_by(now + Duration::from_secs(1));
            }
        }
    }

    /// Kills processes that have not been heard of; they are replaced like any that died.
    fn end_hanging(&mut self, now: Instant) {
        let (timeout, board) = (self.settings.timeout, self.board);
        for child in self.children.iter_mut().filter(|child| !child.is_ending()) {
            let silence = board.row(child.row).silence();
            if silence > timeout && now.duration_since(child.born) > timeout {
                let (pid, silent_ms) = (child.pid.as_raw(), silence.as_millis());
                tracing::error!(pid, silent_ms, "{} hangs and is killed", child.role.name());
                child.signal(Signal::SIGKILL);
                child.end_by(now + Duration::from_secs(1));
            }
        }
    }

    fn forgive_after_a_gap(&mut self, now: Instant) {
        if now.duration_since(self.last_advance) > GAP {
            self.children.iter().for_each(|child| self.board.row(child.row).beat());
        }
        self.last_advance = now;
    }

    fn end_helper(&mut self, now: Instant) {
        for child in self.children.iter_mut().filter(|child| child.role == Role::Helper && !child.is_ending()) {
            child.signal(Signal::SIGTERM);
            child.end_by(now + Duration::from_secs(1));
        }
    }

    fn tell_systemd(&mut self, now: Instant) {
        let is_whole = self.count(|child| child.role == Role::Worker && child.phase == Phase::Ready);
        if !self.was_ready && is_whole >= self.settings.workers {
            self.was_ready = true;
            self.notifier.send(&format!("READY=1\nMAINPID={}\nSTATUS={is_whole} workers serve", self.own));
        }
        if let Some(every) = self.notifier.beat_every()
            && now.duration_since(self.last_beat) >= every
        {
            self.last_beat = now;
            self.notifier.send("WATCHDOG=1");
        }
    }

    /// Acts on a signal.
    pub(super) fn obey(&mut self, signal: Signal) {
        match signal {
            Signal::SIGTERM | Signal::SIGINT => self.begin_stop(),
            Signal::SIGQUIT => self.quit(),
            Signal::SIGHUP if !self.stopping => self.reload(),
            Signal::SIGTTIN => self.resize(self.settings.workers + 1),
            Signal::SIGTTOU => self.resize(self.settings.workers - 1),
            _ => {}
        }
    }

    fn reload(&mut self) {
        tracing::info!("reloading: workers are replaced one by one");
        self.board.count_reload();
        let Some(signals) = &self.signals else { return };
        let workers = self.settings.workers;
        if self.app.reload(&mut self.settings, signals.interrupt()) {
            self.era += 1;
            self.end_helper(Instant::now());
        }
        if self.settings.workers != workers {
            self.resize(self.settings.workers);
        }
        self.generation += 1;
        self.workers = super::Pace::new();
    }

    fn resize(&mut self, workers: usize) {
        self.settings.workers = workers.clamp(1, MOST_WORKERS);
        tracing::info!(workers = self.settings.workers, "the number of workers is set");
    }

    /// Acts on what a process said.
    pub(super) fn read_messages(&mut self, child: &mut Child) {
        loop {
            match child.reader.next() {
                Ok(None) => return,
                Ok(Some((Tag::Ready, _))) if child.phase == Phase::Starting => child.phase = Phase::Ready,
                // A worker of generation 0 is replaced before all others.
                Ok(Some((Tag::Retire, _))) => child.generation = 0,
                Ok(Some((Tag::Stop, _))) => child.has_drained = true,
                Ok(Some((Tag::Data, data))) if child.era == self.era => {
                    if let Some(news) = self.app.relay(&data) {
                        self.pass_on(&news);
                        // Whoever is taken out of the list to be read is told by hand.
                        if child.role == Role::Worker {
                            child.tell(frame(Tag::Data, &news).into());
                        }
                    }
                }
                Ok(Some(_)) => {}
                Err(error) => {
                    tracing::error!(pid = child.pid.as_raw(), %error, "a process speaks another protocol and is killed");
                    child.signal(Signal::SIGKILL);
                    child.is_silent = true;
                    return;
                }
            }
        }
    }
}
