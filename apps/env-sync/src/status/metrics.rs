//! The facts in Prometheus' text format (version 0.0.4). Pure.

use std::fmt::Write;

use super::Facts;

/// Name, type, help and value of each metric.
pub(super) fn render(facts: &Facts) -> String {
    let flag = |is: bool| u64::from(is);
    let time = |at: Option<u64>| at.unwrap_or(0);
    let count = |number: usize| number as u64;
    let metrics = [
        ("initialized", "gauge", "Whether LaunchDarkly has sent its flags", flag(facts.initialized)),
        ("connected", "gauge", "Whether the stream is open", flag(facts.connected)),
        ("file_in_sync", "gauge", "Whether the file could be written", flag(facts.file_problem.is_none())),
        ("flags", "gauge", "Flags kept in the file", count(facts.flags)),
        (
            "flags_with_problems",
            "gauge",
            "Flags missing, of the wrong type or broken",
            count(facts.flags_with_problems),
        ),
        ("values_refused", "gauge", "Values that the file cannot hold", count(facts.refused.len())),
        ("last_event_timestamp_seconds", "gauge", "Last change of a managed flag", time(facts.last_event)),
        ("last_write_timestamp_seconds", "gauge", "Last change of the file", time(facts.last_write)),
        ("last_sync_timestamp_seconds", "gauge", "Last time the file was found or made right", time(facts.last_sync)),
        ("writes_total", "counter", "Changes of the file", facts.writes),
        ("write_failures_total", "counter", "Failed changes of the file", facts.write_failures),
        ("backup_failures_total", "counter", "Failed backups", facts.backup_failures),
        ("connections_total", "counter", "Streams opened", facts.connections),
        ("reloads_total", "counter", "Commands, signals and restarts", facts.reloads),
        ("reload_failures_total", "counter", "Those that failed", facts.reload_failures),
    ];
    let mut text = String::new();
    for (name, kind, help, value) in metrics {
        // Writing into a string cannot fail.
        let _ =
            writeln!(text, "# HELP env_sync_{name} {help}.\n# TYPE env_sync_{name} {kind}\nenv_sync_{name} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_help_type_and_value() {
        let text = render(&Facts { writes: 7, ..Facts::default() });
        assert!(text.contains("# TYPE env_sync_writes_total counter\nenv_sync_writes_total 7\n"), "{text}");
        assert_eq!(text.lines().count() % 3, 0);
        for lines in text.lines().collect::<Vec<_>>().chunks(3) {
            assert!(lines[0].starts_with("# HELP env_sync_") && lines[1].starts_with("# TYPE env_sync_"), "{lines:?}");
        }
    }
}
