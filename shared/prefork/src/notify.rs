//! Tells systemd how the service is (`Type=notify`), by the protocol of `sd_notify(3)`.
//!
//! Nothing here can fail the service: a message that cannot be sent is as if nobody had asked for it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Where messages go, if anywhere.
#[derive(Debug, Default)]
pub struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the variables `NOTIFY_SOCKET` and `WATCHDOG_USEC` say.
    pub fn from_env(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let Some(path) = variable("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return Self::default() };
        let address = match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&path),
        };
        let to = UnixDatagram::unbound().and_then(|socket| address.map(|address| (socket, address)));
        let watchdog = variable("WATCHDOG_USEC").and_then(|value| value.parse().ok()).map(Duration::from_micros);
        Self { to: to.ok(), watchdog }
    }

    /// How often systemd has to hear of us at least, if it wants to.
    pub(crate) fn beat_every(&self) -> Option<Duration> {
        self.to.as_ref().and(self.watchdog).map(|longest| longest / 2)
    }

    /// Sends assignments, one a line.
    pub(crate) fn send(&self, state: &str) {
        if let Some((socket, address)) = &self.to
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::debug!(%error, "systemd's notification socket does not take a message");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_to_the_named_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::from_env(&|name| match name {
            "NOTIFY_SOCKET" => Some(path.display().to_string()),
            "WATCHDOG_USEC" => Some("2000000".to_owned()),
            _ => None,
        });
        assert_eq!(notifier.beat_every(), Some(Duration::from_secs(1)));
        notifier.send("READY=1");
        let mut text = [0; 20];
        let length = systemd.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"READY=1");
        Notifier::from_env(&|_| None).send("READY=1");
    }
}
