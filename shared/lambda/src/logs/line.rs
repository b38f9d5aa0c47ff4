//! One line of the log, and where it goes.

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use tracing::Level;

/// The invocation that is being served; a function serves one at a time.
static REQUEST_ID: Mutex<Option<String>> = Mutex::new(None);

/// From now on lines carry this request id, or none.
pub(crate) fn set_request_id(id: Option<&str>) {
    *REQUEST_ID.lock().unwrap_or_else(PoisonError::into_inner) = id.map(str::to_owned);
}

fn request_id() -> Option<String> {
    REQUEST_ID.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A record on its way into the log.
pub(super) struct Line {
    level: Level,
    target: String,
    message: String,
    fields: Map<String, Value>,
}

impl Line {
    pub(super) fn new(level: Level, target: &str) -> Self {
        Self { level, target: target.to_owned(), message: String::new(), fields: Map::new() }
    }

    /// Adds a field. The one named `message` is the message.
    pub(super) fn field(&mut self, name: &str, value: Value) {
        match (name, value) {
            ("message", Value::String(text)) => self.message = text,
            ("message", value) => self.message = value.to_string(),
            // What `tracing` adds to records of `log` that pass through it.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => {
                self.fields.insert(name.to_owned(), value);
            }
        }
    }

    fn json(self) -> String {
        let mut object = self.fields;
        if let Some(id) = request_id() {
            object.insert("requestId".to_owned(), id.into());
        }
        let timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        for (name, value) in [
            ("timestamp", timestamp),
            ("level", self.level.to_string()),
            ("target", self.target),
            ("message", self.message),
        ] {
            object.insert(name.to_owned(), value.into());
        }
        Value::Object(object).to_string()
    }

    fn text(self) -> String {
        let time = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut text = format!("{time} {:<5} {}", self.level, self.message);
        for (name, value) in &self.fields {
            let _ = match value {
                Value::String(value) => write!(text, " {name}={value}"),
                value => write!(text, " {name}={value}"),
            };
        }
        // A line break inside a record must not look like a record of its own.
        text.replace('\n', "\n  ")
    }
}

/// How lines look.
pub(super) enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Where lines go, whole ones only.
pub(super) struct Sink {
    format: Format,
    output: Mutex<Box<dyn Write + Send>>,
}

impl Sink {
    pub(super) fn new(format: Format, output: Box<dyn Write + Send>) -> Self {
        let output = Mutex::new(output);
        Self { format, output }
    }

    /// Writes the line; a failure has nowhere to be told.
    pub(super) fn write(&self, line: Line) {
        let mut line = match self.format {
            Format::Json => line.json(),
            Format::Text => line.text(),
        };
        line.push('\n');
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = output.write_all(line.as_bytes());
        let _ = output.flush();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io;
    use std::sync::Arc;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    pub(in crate::logs) struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        pub(in crate::logs) fn json_sink(&self) -> Sink {
            Sink::new(Format::Json, Box::new(self.clone()))
        }

        pub(in crate::logs) fn lines(&self) -> Vec<String> {
            let bytes = self.0.lock().unwrap().clone();
            String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line() -> Line {
        let mut line = Line::new(Level::WARN, "store");
        line.field("message", "first\nsecond".into());
        line.field("count", 3.into());
        line.field("name", "a \"b\"".into());
        line.field("log.file", "x".into());
        line
    }

    #[test]
    fn a_json_line_has_no_line_break_and_an_rfc_3339_timestamp() {
        let captured = Captured::default();
        captured.json_sink().write(line());
        let lines = captured.lines();
        assert_eq!(lines.len(), 1);
        let object: Map<String, Value> = serde_json::from_str(&lines[0]).unwrap();
        let timestamp = object["timestamp"].as_str().unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(timestamp).is_ok(), "{timestamp}");
        assert_eq!(timestamp.len(), "2025-01-01T00:00:00.000Z".len());
        assert_eq!(object["message"], "first\nsecond");
        assert!(!object.contains_key("log.file"));
    }

    #[test]
    fn a_field_cannot_take_the_place_of_level_or_timestamp() {
        let mut line = line();
        line.field("level", "FATAL".into());
        let object: Value = serde_json::from_str(&line.json()).unwrap();
        assert_eq!(object["level"], "WARN");
    }

    #[test]
    fn a_text_line_reads_from_left_to_right() {
        let captured = Captured::default();
        Sink::new(Format::Text, Box::new(captured.clone())).write(line());
        let lines = captured.lines();
        let (_, rest) = lines[0].split_once(' ').unwrap();
        assert_eq!(rest, "WARN  first");
        assert_eq!(lines[1], "  second count=3 name=a \"b\"");
    }
}
