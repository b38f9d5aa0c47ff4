//! Messages on the link between the master and a process of the group: length, tag, bytes.
//!
//! The [`Reader`] takes bytes as they come and gives whole messages; the [`Outbox`] keeps what a full socket did not
//! take. Neither does I/O of its own but the outbox's attempt to write.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::rc::Rc;

const HEAD: usize = 5;

/// The longest message; whoever announces a longer one speaks another protocol.
const LIMIT: usize = 1 << 30;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// The application's own data, either way.
    Data = 0,
    /// From a worker: it accepts connections.
    Ready = 1,
    /// From a worker: it wants to be replaced. From the master: it is replaced, finish without hurry.
    Retire = 2,
    /// From the master: the whole group ends. From a worker: it has drained the backlog and accepts nothing any more.
    Stop = 3,
    /// From the master: the same, and what is under way is cut off.
    Quit = 4,
}

impl Tag {
    fn of(byte: u8) -> Option<Self> {
        [Self::Data, Self::Ready, Self::Retire, Self::Stop, Self::Quit].into_iter().find(|tag| *tag as u8 == byte)
    }
}

/// A message as it goes over the link.
pub(crate) fn frame(tag: Tag, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(HEAD + bytes.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.push(tag as u8);
    frame.extend_from_slice(bytes);
    frame
}

/// Makes messages of bytes.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    bytes: Vec<u8>,
    taken: usize,
}

impl Reader {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message.
    ///
    /// # Errors
    /// Where the bytes are no message.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Tag, Vec<u8>)>> {
        let left = &self.bytes[self.taken..];
        let Some((&[a, b, c, d, tag], rest)) = left.split_first_chunk::<HEAD>() else {
            self.forget_taken();
            return Ok(None);
        };
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let tag = Tag::of(tag).filter(|_| length <= LIMIT);
        let tag = tag.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no message of this protocol"))?;
        let Some(message) = rest.get(..length).map(<[u8]>::to_vec) else {
            self.forget_taken();
            return Ok(None);
        };
        self.taken += HEAD + length;
        Ok(Some((tag, message)))
    }

    fn forget_taken(&mut self) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        if self.bytes.is_empty() {
            // One large message should not be remembered by its size for ever.
            self.bytes.shrink_to(64 * 1024);
        }
    }
}

/// Messages that wait for room in a socket. Those for all workers are shared between their outboxes.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Rc<[u8]>>,
    written: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, frame: Rc<[u8]>) {
        self.frames.push_back(frame);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Writes as much as there is room for.
    pub(crate) fn write_to(&mut self, mut socket: impl Write) -> io::Result<()> {
        while let Some(frame) = self.frames.front() {
            match socket.write(&frame[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.written == frame.len() {
                self.frames.pop_front();
                self.written = 0;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_arrive_whole_however_the_bytes_are_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10),
            size in 1_usize..40,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| frame(Tag::Data, message)).collect();
            let (mut reader, mut read) = (Reader::default(), Vec::new());
            for piece in stream.chunks(size) {
                reader.push(piece);
                while let Some((Tag::Data, message)) = reader.next().unwrap() {
                    read.push(message);
                }
            }
            prop_assert_eq!(read, messages);
        }
    }

    #[test]
    fn bytes_of_another_protocol_are_an_error() {
        for bytes in [*b"GET / HTTP", *b"\x01\0\0\0\x09abcde", *b"\xff\xff\xff\xff\0abcde"] {
            let mut reader = Reader::default();
            reader.push(&bytes);
            assert!(reader.next().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn an_outbox_keeps_what_a_full_socket_does_not_take() {
        struct Narrow(Vec<u8>, usize);
        impl Write for Narrow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let count = bytes.len().min(self.1);
                self.1 -= count;
                if count == 0 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                self.0.extend_from_slice(&bytes[..count]);
                Ok(count)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut outbox = Outbox::default();
        outbox.push(b"first".as_slice().into());
        outbox.push(b"second".as_slice().into());
        let mut socket = Narrow(Vec::new(), 7);
        outbox.write_to(&mut socket).unwrap();
        assert!(!outbox.is_empty());
        socket.1 = 100;
        outbox.write_to(&mut socket).unwrap();
        assert!(outbox.is_empty());
        assert_eq!(socket.0, b"firstsecond");
    }
}
