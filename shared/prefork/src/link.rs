//! The helper's side of its link: it reports, is heard of all the while, and ends when the master is gone.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::frame::{Tag, frame};
use crate::master::HelperLink;

impl HelperLink {
    /// Attends to the link from now on; what is sent to the channel goes to the master. The future ends when the master
    /// is gone. Needs a tokio runtime.
    pub fn start(self) -> io::Result<(mpsc::UnboundedSender<Vec<u8>>, impl Future<Output = ()>)> {
        self.link.set_nonblocking(true)?;
        let (mut reading, mut writing) = tokio::net::UnixStream::from_std(self.link)?.into_split();
        self.row.keep_beating(self.beat_every);
        let (up, mut messages) = mpsc::unbounded_channel::<Vec<u8>>();
        let writer = async move {
            while let Some(message) = messages.recv().await {
                if writing.write_all(&frame(Tag::Data, &message)).await.is_err() {
                    return;
                }
            }
        };
        let reader = async move {
            let mut bytes = [0; 64];
            while reading.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
        };
        let ended = async move {
            tokio::select! {
                () = writer => {}
                () = reader => {}
            }
        };
        Ok((up, ended))
    }
}
