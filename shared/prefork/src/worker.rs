//! A worker's side: what it has from the master, and what it hears of and says to it while it runs.
//!
//! [`Worker`] is what comes out of the fork, before there is any runtime; [`Worker::start`] is called inside the
//! worker's own. A worker ends because the group ends, because it is replaced, or because the master is gone, which
//! differ only in haste. A `TERM` of its own does not end it but asks the master for a replacement: a service manager
//! may send it to all processes at once, and somebody has to answer what waits in the backlog.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::board::Row;
use crate::frame::{Reader, Tag, frame};
use crate::sys;

/// How a worker should end, by haste.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Not yet.
    Running,
    /// Replaced by another: finish what is under way, let clients find their way.
    Retire,
    /// The group ends: the same, and nobody else will accept what waits in the backlog.
    Stop,
    /// The group ends at once: what is under way is cut off.
    Quit,
}

/// A process after its fork, with nothing running in it yet.
#[derive(Debug)]
pub struct Worker {
    /// Its row on the board.
    pub row: Row,
    /// How long it may take to end.
    pub graceful_timeout: Duration,
    pub(crate) listener: TcpListener,
    /// Whether the socket ends with the group.
    pub(crate) is_listener_ours: bool,
    pub(crate) link: Option<UnixStream>,
    pub(crate) forked: Instant,
    pub(crate) beat_every: Duration,
}

/// A worker whose link to the master is attended to.
#[derive(Debug)]
pub struct Running {
    /// What the master passes on of the application's data.
    pub data: mpsc::UnboundedReceiver<Vec<u8>>,
    /// What tasks of the worker need.
    pub line: Line,
    /// The listening socket.
    pub socket: Socket,
}

/// The group's socket in a worker's runtime.
#[derive(Debug)]
pub struct Socket {
    pub(crate) listener: AsyncFd<TcpListener>,
    /// Whether it ends with the group.
    pub(crate) is_ours: bool,
}

/// What tasks of a worker need of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Line {
    /// The worker's row on the board.
    pub row: Row,
    /// How long the worker may take to end.
    pub graceful_timeout: Duration,
    ending: Arc<watch::Sender<Ending>>,
    up: mpsc::UnboundedSender<Vec<u8>>,
    forked: Instant,
}

impl Worker {
    /// A worker that is the whole group: no master, no link. For development.
    pub fn alone(row: Row, listener: &crate::Listener, graceful_timeout: Duration) -> io::Result<Self> {
        row.begin(std::process::id());
        Ok(Self {
            row,
            graceful_timeout,
            listener: listener.share()?,
            is_listener_ours: listener.is_ours(),
            link: None,
            forked: Instant::now(),
            beat_every: Duration::from_secs(1),
        })
    }

    /// Attends to the link, to signals and to the heartbeat from now on. Needs a tokio runtime.
    pub fn start(self) -> io::Result<Running> {
        let (up, up_rx) = mpsc::unbounded_channel();
        let (down, data) = mpsc::unbounded_channel();
        let ending = Arc::new(watch::Sender::new(Ending::Running));
        let row = self.row;
        let line = Line { row, graceful_timeout: self.graceful_timeout, ending, up, forked: self.forked };
        let ending = Arc::clone(&line.ending);
        let terminate = signal(SignalKind::terminate())?;
        if let Some(link) = self.link {
            tokio::spawn(ask_when_told(terminate, line.clone()));
            link.set_nonblocking(true)?;
            let (reading, writing) = tokio::net::UnixStream::from_std(link)?.into_split();
            tokio::spawn(read(reading, down, Arc::clone(&ending)));
            tokio::spawn(write(writing, up_rx));
        } else {
            let (interrupt, quit) = (signal(SignalKind::interrupt())?, signal(SignalKind::quit())?);
            tokio::spawn(end_when_told(terminate, interrupt, quit, ending));
        }
        row.keep_beating(self.beat_every);
        let listener = sys::watch(self.listener)?;
        Ok(Running { data, line, socket: Socket { listener, is_ours: self.is_listener_ours } })
    }
}

impl Line {
    /// Tells the master that this worker accepts connections.
    pub fn ready(&self) {
        self.row.set_ready(self.forked.elapsed());
        self.send(Tag::Ready, &[]);
    }

    /// Asks the master for a replacement; the worker goes on until it is there.
    pub fn ask_for_replacement(&self) {
        self.send(Tag::Retire, &[]);
    }

    /// Tells the master that this worker has drained the backlog and accepts nothing any more.
    pub(crate) fn drained(&self) {
        self.send(Tag::Stop, &[]);
    }

    /// Sends the application's data to the master.
    pub fn report(&self, data: &[u8]) {
        self.send(Tag::Data, data);
    }

    /// Ends this worker.
    pub fn end(&self, ending: Ending) {
        raise(&self.ending, ending);
    }

    /// How the worker should end, now and later.
    pub fn endings(&self) -> watch::Receiver<Ending> {
        self.ending.subscribe()
    }

    fn send(&self, tag: Tag, bytes: &[u8]) {
        // Nobody to send to where there is no master.
        let _ = self.up.send(frame(tag, bytes));
    }
}

/// Only ever hastier.
fn raise(current: &watch::Sender<Ending>, ending: Ending) {
    current.send_if_modified(|current| {
        let hastier = ending > *current;
        *current = ending.max(*current);
        hastier
    });
}

async fn read(mut link: OwnedReadHalf, data: mpsc::UnboundedSender<Vec<u8>>, ending: Arc<watch::Sender<Ending>>) {
    let mut reader = Reader::default();
    let mut bytes = vec![0; 16 * 1024];
    loop {
        match link.read(&mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(count) => reader.push(&bytes[..count]),
        }
        loop {
            match reader.next() {
                Ok(Some((Tag::Data, message))) => drop(data.send(message)),
                Ok(Some((Tag::Retire, _))) => raise(&ending, Ending::Retire),
                Ok(Some((Tag::Stop, _))) => raise(&ending, Ending::Stop),
                Ok(Some((Tag::Quit, _))) => raise(&ending, Ending::Quit),
                Ok(Some((Tag::Ready, _))) => {}
                Ok(None) => break,
                Err(error) => return tracing::error!(%error, "the link to the master speaks another protocol"),
            }
        }
    }
    if *ending.borrow() == Ending::Running {
        tracing::error!("the master is gone; this worker ends");
    }
    raise(&ending, Ending::Stop);
}

async fn write(mut link: OwnedWriteHalf, mut messages: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(message) = messages.recv().await {
        // The reading half notices that the master is gone.
        if link.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// For a worker of several.
async fn ask_when_told(mut terminate: tokio::signal::unix::Signal, line: Line) {
    while terminate.recv().await.is_some() {
        line.ask_for_replacement();
    }
}

/// For a worker that is the whole group: as the master does it.
async fn end_when_told(
    mut terminate: tokio::signal::unix::Signal,
    mut interrupt: tokio::signal::unix::Signal,
    mut quit: tokio::signal::unix::Signal,
    ending: Arc<watch::Sender<Ending>>,
) {
    loop {
        let is_ending = *ending.borrow() > Ending::Running;
        let haste = tokio::select! {
            _ = quit.recv() => Ending::Quit,
            _ = terminate.recv() => if is_ending { Ending::Quit } else { Ending::Stop },
            _ = interrupt.recv() => if is_ending { Ending::Quit } else { Ending::Stop },
        };
        raise(&ending, haste);
    }
}

/// What a child does about its master's death and its signals before anything else.
pub(crate) fn settle(master: nix::unistd::Pid, on_death: Signal) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(on_death)?;
    if nix::unistd::getppid() != master {
        return Err(io::Error::other("the master died during the fork"));
    }
    // All other commands are the master's: a terminal sends its own to the whole group.
    let own: nix::sys::signal::SigSet = [Signal::SIGTERM, Signal::SIGCHLD].into_iter().collect();
    own.thread_unblock()?;
    Ok(())
}
