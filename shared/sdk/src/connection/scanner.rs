//! Counts the events of a stream that carry flag data, without keeping any of it. Pure.
//!
//! The framing is that of server-sent events (WHATWG HTML, 9.2.6): lines end with LF, CR or both; an empty line ends an
//! event; an event without data is none. Which names carry flag data is LaunchDarkly's streaming protocol. A patch of a
//! kind that the SDK does not know is none either: the SDK passes it over, and there is nothing in it for us.

/// Enough of a line to tell `event: delete` from anything else, and of which kind the item of `data: {"path":"/flags/…`
/// is, as LaunchDarkly begins such data.
const KEPT: usize = 48;

/// What patches and deletions are about.
const KINDS: [&[u8]; 2] = [b"/flags/", b"/segments/"];

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Name {
    #[default]
    Other,
    /// All items at once.
    Put,
    /// One item.
    Item,
}

#[derive(Debug, Default)]
pub(super) struct Scanner {
    line: Vec<u8>,
    last_was_cr: bool,
    name: Name,
    has_data: bool,
    is_of_unknown_kind: bool,
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
            let is_unknown = std::mem::take(&mut self.is_of_unknown_kind);
            let is_known = match std::mem::take(&mut self.name) {
                Name::Other => false,
                Name::Put => true,
                Name::Item => !is_unknown,
            };
            return std::mem::take(&mut self.has_data) && is_known;
        }
        if let Some(name) = line.strip_prefix(b"event:") {
            let name = name.strip_prefix(b" ").unwrap_or(name);
            self.name = match name {
                b"put" => Name::Put,
                b"patch" | b"delete" => Name::Item,
                _ => Name::Other,
            };
        } else if let Some(data) = line.strip_prefix(b"data:") {
            self.is_of_unknown_kind |= !self.has_data && is_of_unknown_kind(data);
            self.has_data = true;
        }
        self.has_data |= line == b"data";
        false
    }
}

/// Whether the data begins with a path that leads to neither flags nor segments, as far as it is there to be seen.
fn is_of_unknown_kind(data: &[u8]) -> bool {
    let mut rest = data;
    for token in [&b"{"[..], b"\"path\"", b":", b"\""] {
        match rest.trim_ascii_start().strip_prefix(token) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    !KINDS.iter().any(|kind| rest.starts_with(kind) || kind.starts_with(rest))
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

    #[test]
    fn items_of_kinds_that_nobody_knows_do_not_count() {
        for (event, expected) in [
            ("event: patch\ndata: {\"path\":\"/flags/a\",\"data\":{}}", 1),
            ("event: delete\ndata:{ \"path\" : \"/segments/a\"", 1),
            ("event: patch\ndata: {\"path\":\"/metrics/a\",\"data\":{}}", 0),
            ("data: {\"path\":\"/flagship/a\"}\nevent: delete", 0),
            ("event: patch\ndata: {\ndata: \"path\":\"/metrics/a\"}", 1),
            ("event: patch\ndata: {\"data\":{},\"path\":\"/metrics/a\"}", 1),
            ("event: put\ndata: {\"path\":\"/\",\"data\":{}}", 1),
        ] {
            assert_eq!(Scanner::default().count(format!("{event}\n\n").as_bytes()), expected, "{event}");
        }
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
