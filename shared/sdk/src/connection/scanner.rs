//! Counts the events of a stream that carry flag data, without keeping any of it. Pure.
//!
//! The framing is that of server-sent events (WHATWG HTML, 9.2.6): lines end with LF, CR or both; an empty line ends an
//! event; an event without data is none. Which names carry flag data is LaunchDarkly's streaming protocol.

/// Enough of a line to tell `event: delete` from anything else.
const KEPT: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Scanner {
    line: Vec<u8>,
    last_was_cr: bool,
    is_data_event: bool,
    has_data: bool,
}

impl Scanner {
    /// How many events end in these bytes, which go on where the last ones stopped.
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut events = 0;
        if self.last_was_cr && bytes.first() == Some(&b'\n') {
            bytes = &bytes[1..];
            self.last_was_cr = false;
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) {
            self.keep(&bytes[..end]);
            events += u64::from(self.end_line());
            self.last_was_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if self.last_was_cr && bytes.first() == Some(&b'\n') {
                bytes = &bytes[1..];
                self.last_was_cr = false;
            }
        }
        self.last_was_cr &= bytes.is_empty();
        self.keep(bytes);
        events
    }

    fn keep(&mut self, part: &[u8]) {
        let room = KEPT - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    /// Whether this line ended an event that carries flag data.
    fn end_line(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return std::mem::take(&mut self.has_data) & std::mem::take(&mut self.is_data_event);
        }
        if let Some(name) = line.strip_prefix(b"event:") {
            let name = name.strip_prefix(b" ").unwrap_or(name);
            self.is_data_event = matches!(name, b"put" | b"patch" | b"delete");
        }
        self.has_data |= line == b"data" || line.starts_with(b"data:");
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = ": hello\n\nevent: put\ndata: {\"a\":\ndata: 1}\n\nevent:patch\ndata:x\n\nevent: ping\ndata: 1\n\n\
                          event: put\n\nevent: delete\r\ndata: {}\r\n\r\ndata: put\n\nevent: patch\ndata: cut off\n";

    #[test]
    fn only_whole_events_with_flag_data_count() {
        assert_eq!(Scanner::default().count(STREAM.as_bytes()), 3);
        assert_eq!(Scanner::default().count(STREAM.replace("\r\n", "\r").as_bytes()), 3);
        assert_eq!(Scanner::default().count(b"event: put-off\ndata: 1\n\n"), 0);
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_count_the_same(cuts in proptest::collection::vec(0..STREAM.len(), 0..12)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (mut scanner, mut from, mut events) = (Scanner::default(), 0, 0);
            for cut in cuts.into_iter().chain([STREAM.len()]) {
                events += scanner.count(&STREAM.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(events, 3);
        }
    }
}
