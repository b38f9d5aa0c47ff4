//! Tells systemd how things stand, where it started us with `Type=notify`.
//!
//! Ready means that the file is right; but a boot must not hang for LaunchDarkly, so after ten seconds without an answer
//! the last known values have to do.

use std::time::Duration;

use sd_notify::NotifyState;

/// How long units that come after us wait for LaunchDarkly.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The file is right, or nobody should wait any longer.
pub fn ready(text: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(text)]);
}

/// The end has begun.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// A line for `systemctl status`.
pub fn text(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

fn notify(states: &[NotifyState]) {
    // Without systemd nobody listens, and that is no error.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}
