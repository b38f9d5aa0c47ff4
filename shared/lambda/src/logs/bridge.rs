//! The ends that `tracing` and `log` call: filter by level, gather the fields, hand a line on.

use flagcache_program::Level;

use super::level::lets_through;
use super::line::{Line, Sink};
use std::fmt::Debug;
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Metadata};

/// Takes `tracing`'s events.
pub(super) struct Subscriber {
    level: Level,
    sink: Arc<Sink>,
}

impl Subscriber {
    pub(super) fn new(level: Level, sink: Arc<Sink>) -> Self {
        Self { level, sink }
    }
}

impl tracing::Subscriber for Subscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && !is_echo(metadata) && lets_through(self.level, *metadata.level(), metadata.target())
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.level.filter())
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line::new(*metadata.level(), metadata.target());
        event.record(&mut line);
        self.sink.write(line);
    }

    // Spans are never enabled, so nobody asks for one of these twice.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Whether this is the record in which `lambda_runtime` repeats, below its target for panics, the error that a handler
/// has returned. Whoever returns one has said why; of a panic, whose record has a field `error`, nobody else tells.
fn is_echo(metadata: &Metadata<'_>) -> bool {
    metadata.target() == "lambda_runtime::layers::panic" && metadata.fields().field("error").is_none()
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        self.field(field.name(), text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field.name(), format!("{value:?}").into());
    }
}

/// Takes the `log` crate's records.
pub(super) struct LogRecords {
    level: Level,
    sink: Arc<Sink>,
}

impl LogRecords {
    pub(super) fn new(level: Level, sink: Arc<Sink>) -> Self {
        Self { level, sink }
    }
}

impl log::Log for LogRecords {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        lets_through(self.level, severity(metadata.level()), metadata.target())
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let mut line = Line::new(severity(record.level()), record.target());
            line.field("message", record.args().to_string().into());
            self.sink.write(line);
        }
    }

    fn flush(&self) {}
}

fn severity(level: log::Level) -> tracing::Level {
    match level {
        log::Level::Error => tracing::Level::ERROR,
        log::Level::Warn => tracing::Level::WARN,
        log::Level::Info => tracing::Level::INFO,
        log::Level::Debug => tracing::Level::DEBUG,
        log::Level::Trace => tracing::Level::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::line::tests::Captured;
    use serde_json::{Value, json};

    fn captured(level: Level, record: impl FnOnce(Arc<Sink>)) -> Vec<Value> {
        let captured = Captured::default();
        let sink = Arc::new(captured.json_sink());
        tracing::subscriber::with_default(Subscriber::new(level, sink.clone()), || record(sink));
        captured
            .lines()
            .iter()
            .map(|line| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                line.as_object_mut().unwrap().remove("timestamp").unwrap();
                line
            })
            .collect()
    }

    #[test]
    fn a_returned_error_is_not_repeated_as_if_it_were_a_panic_and_a_panic_is_told() {
        let lines = captured(Level::Info, |_| {
            tracing::error!(target: "lambda_runtime::layers::panic", "{:?}", "Fault");
            tracing::error!(target: "lambda_runtime::layers::panic", error = ?"oh", "user handler panicked");
        });
        let panicked = json!({
            "level": "ERROR", "target": "lambda_runtime::layers::panic",
            "message": "user handler panicked", "error": "\"oh\"",
        });
        assert_eq!(lines, [panicked]);
    }

    #[test]
    fn an_event_is_one_object_with_its_fields_flattened() {
        let io = std::io::Error::other("connection reset");
        let lines = captured(Level::Info, |_| {
            tracing::info!(
                flags = 3_u64,
                ratio = 0.5,
                delta = -1_i64,
                fresh = true,
                outcome = "updated",
                error = &io as &dyn std::error::Error,
                keys = ?["a"],
                "synced in {} ms",
                12
            );
        });
        assert_eq!(
            lines,
            [json!({
                "level": "INFO", "target": "flagcache_lambda::logs::bridge::tests",
                "message": "synced in 12 ms", "flags": 3, "ratio": 0.5, "delta": -1, "fresh": true,
                "outcome": "updated", "error": "connection reset", "keys": "[\"a\"]"
            })]
        );
    }

    #[test]
    fn what_the_level_or_the_crate_forbids_is_not_written() {
        let lines = captured(Level::Info, |_| {
            tracing::debug!("too fine");
            tracing::info!(target: "hyper::client", "pooling");
            let _span = tracing::info_span!("spans make no line", id = 1).entered();
            tracing::warn!(target: "hyper::client", "broken");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!((&lines[0]["level"], &lines[0]["message"]), (&json!("WARN"), &json!("broken")));
    }

    #[test]
    fn records_of_the_log_crate_take_the_same_way() {
        let lines = captured(Level::Info, |sink| {
            let logger = LogRecords::new(Level::Info, sink);
            for (level, target) in [
                (log::Level::Info, "launchdarkly_server_sdk"),
                (log::Level::Debug, "launchdarkly_server_sdk"),
                (log::Level::Info, "rustls"),
            ] {
                let record = log::Record::builder().level(level).target(target).args(format_args!("hello")).build();
                log::Log::log(&logger, &record);
            }
        });
        let expected = json!({
            "level": "INFO", "target": "launchdarkly_server_sdk", "message": "hello"
        });
        assert_eq!(lines, [expected]);
    }
}
