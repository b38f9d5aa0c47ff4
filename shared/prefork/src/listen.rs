//! The listening socket that all workers share: bound by us, or handed over by systemd.
//!
//! One socket for the whole group, held by the master, so that a connection that waits in its backlog is never lost
//! when a worker goes. At the end of the group the backlog is drained while no new connection may join it: a filter on
//! the socket drops handshakes that begin ([`Listener::refuse_new`]). Who tries meanwhile tries again a second later,
//! and finds the next server, or nobody: once the backlog is empty the socket is closed, in all processes at once.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use thiserror::Error;

use crate::sys;

/// The first descriptor that systemd hands over, from `sd_listen_fds(3)`.
const FIRST_DESCRIPTOR: i32 = 3;

/// Why there is nothing to listen on.
#[derive(Debug, Error)]
pub enum ListenError {
    /// No address at all.
    #[error("listen on {address:?}: it may be HOST:PORT or :PORT, such as 0.0.0.0:8000")]
    Malformed {
        /// What was given.
        address: String,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// A host that nobody knows.
    #[error("listen on {address:?}: its host has no address")]
    Unknown {
        /// What was given.
        address: String,
        /// What the resolver says.
        #[source]
        source: io::Error,
    },
    /// Somebody else has the port.
    #[error("listen on {0}: another process listens there already; stop it or choose another port")]
    Taken(SocketAddr),
    /// Ports below 1024 need a right.
    #[error("listen on {0}: not permitted; choose a port from 1024 on, or grant CAP_NET_BIND_SERVICE")]
    Forbidden(SocketAddr),
    /// Anything else.
    #[error("listen on {address}")]
    Socket {
        /// Where.
        address: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// `LISTEN_FDS` does not tell of exactly one socket.
    #[error("take over systemd's sockets: LISTEN_FDS is {0:?}, and exactly one socket is supported")]
    Activation(String),
}

/// A socket with its address that nobody can connect to yet.
#[derive(Debug)]
pub struct Bound(Socket);

/// A socket that connections come in on. Shared with all that is forked.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    is_ours: bool,
}

impl Bound {
    /// Takes an address, `HOST:PORT` or `:PORT`.
    pub fn to(address: &str) -> Result<Self, ListenError> {
        let failed = |source: io::Error| match (source.kind(), address.to_owned()) {
            (io::ErrorKind::InvalidInput, address) => ListenError::Malformed { address, source },
            (_, address) => ListenError::Unknown { address, source },
        };
        let full = if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() };
        let mut last = failed(io::ErrorKind::NotFound.into());
        for candidate in full.to_socket_addrs().map_err(failed)? {
            match Self::at(candidate) {
                Ok(bound) => return Ok(bound),
                Err(error) => last = refusal(candidate, error),
            }
        }
        Err(last)
    }

    fn at(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        Ok(Self(socket))
    }

    /// Lets connections in; `backlog` of them may wait.
    pub fn listen(self, backlog: i32) -> Result<Listener, ListenError> {
        let listening = self.0.listen(backlog).and_then(|()| self.0.set_nonblocking(true));
        match listening {
            Ok(()) => Ok(Listener { socket: self.0, is_ours: true }),
            Err(source) => Err(match self.0.local_addr().ok().and_then(|address| address.as_socket()) {
                Some(address) => refusal(address, source),
                None => ListenError::Socket { address: "its socket".to_owned(), source },
            }),
        }
    }
}

fn refusal(address: SocketAddr, source: io::Error) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken(address),
        io::ErrorKind::PermissionDenied => ListenError::Forbidden(address),
        _ => ListenError::Socket { address: address.to_string(), source },
    }
}

impl Listener {
    /// The socket that systemd opened for this process, if it did (`LISTEN_PID`, `LISTEN_FDS`).
    pub fn from_systemd(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, ListenError> {
        let Some(count) = variable("LISTEN_FDS") else { return Ok(None) };
        if variable("LISTEN_PID").as_deref() != Some(std::process::id().to_string().as_str()) {
            return Ok(None);
        }
        if count != "1" {
            return Err(ListenError::Activation(count));
        }
        let failed = |source| ListenError::Socket { address: "systemd's socket".to_owned(), source };
        let socket = Socket::from(sys::inherited(FIRST_DESCRIPTOR).map_err(failed)?);
        socket.set_cloexec(true).and_then(|()| socket.set_nonblocking(true)).map_err(failed)?;
        Ok(Some(Self { socket, is_ours: false }))
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Whether it ends with this group; systemd's goes on without us.
    pub const fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// From now on no new handshake begins; those that have begun end, and may be accepted.
    pub fn refuse_new(&self) {
        // A filter on a TCP socket sees the packet from its TCP header on, in which byte 13 holds the flags.
        const LOAD_BYTE: u16 = 0x30;
        const JUMP_IF_SET: u16 = 0x45;
        const RETURN: u16 = 0x06;
        const ACK: u32 = 0x10;
        const SYN: u32 = 0x02;
        let filter = [
            SockFilter::new(LOAD_BYTE, 0, 0, 13),
            SockFilter::new(JUMP_IF_SET, 1, 0, ACK),
            SockFilter::new(JUMP_IF_SET, 1, 0, SYN),
            SockFilter::new(RETURN, 0, 0, u32::MAX),
            SockFilter::new(RETURN, 0, 0, 0),
        ];
        if self.is_ours
            && let Err(error) = self.socket.attach_filter(&filter)
        {
            tracing::debug!(%error, "new connections cannot be held off while the last ones are served");
        }
    }

    /// From now on nobody listens, here and in every process that shares the socket; connections are refused.
    pub(crate) fn close(&self) {
        // It fails where this has been done already, or cannot be done; then the end of the group does it.
        let closed = if self.is_ours { self.socket.shutdown(std::net::Shutdown::Both) } else { Ok(()) };
        tracing::trace!(?closed, "the listening socket is closed");
    }

    /// The same socket once more, for a worker's runtime.
    pub(crate) fn share(&self) -> io::Result<TcpListener> {
        self.socket.try_clone().map(Into::into)
    }
}

/// How long a handshake that had begun is waited for once no new one may begin.
pub(crate) const HANDSHAKE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_named() {
        let first = Bound::to("127.0.0.1:0").unwrap().listen(16).unwrap();
        let address = first.address().unwrap();
        let error = Bound::to(&address.to_string()).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("listen on {address}: another process listens there already; stop it or choose another port")
        );
    }

    #[test]
    fn addresses_are_host_and_port() {
        assert!(Bound::to(":0").is_ok());
        for address in ["", "8000", "localhost", "127.0.0.1:99999"] {
            assert!(matches!(Bound::to(address), Err(ListenError::Malformed { .. })), "{address}");
        }
        assert!(matches!(Bound::to("no.such.host.invalid:80"), Err(ListenError::Unknown { .. })));
    }

    #[test]
    fn sockets_for_another_process_are_left_alone() {
        let of_another = |name: &str| Some(if name == "LISTEN_PID" { "0" } else { "1" }.to_owned());
        assert!(Listener::from_systemd(&of_another).unwrap().is_none());
        let too_many =
            |name: &str| Some(if name == "LISTEN_PID" { std::process::id().to_string() } else { "2".into() });
        assert!(matches!(Listener::from_systemd(&too_many), Err(ListenError::Activation(_))));
    }

    #[test]
    fn connections_in_the_backlog_are_served_after_new_ones_are_refused() {
        let listener = Bound::to("127.0.0.1:0").unwrap().listen(16).unwrap();
        let address = listener.address().unwrap();
        let waiting = std::net::TcpStream::connect(address).unwrap();
        listener.refuse_new();
        let late = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let shared = listener.share().unwrap();
        let (_, peer) = shared.accept().unwrap();
        assert_eq!(peer, waiting.local_addr().unwrap());
        listener.close();
        assert_eq!(std::net::TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
