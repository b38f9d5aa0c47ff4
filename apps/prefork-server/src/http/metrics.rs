//! The group's counters as Prometheus reads them (text format 0.0.4).

use std::fmt::{Display, Write};

use flagcache_prefork::{Board, Freshness};

/// All metrics of the group, by whichever worker is asked.
pub(super) fn text(board: Board, freshness: Freshness, initialized: bool) -> String {
    let group = board.facts();
    let workers: Vec<_> = board.workers().collect();
    let newest = workers.iter().map(|worker| worker.updated_ms).max().unwrap_or_default();
    let connections: u64 = workers.iter().map(|worker| worker.connections).sum();
    let mut text = String::new();
    metric(&mut text, "prefork_requests_total", "counter", "Requests of all workers.", group.requests);
    metric(&mut text, "prefork_workers", "gauge", "Workers there are.", workers.len());
    metric(&mut text, "prefork_connections", "gauge", "Connections open now.", connections);
    metric(&mut text, "prefork_respawns_total", "counter", "Processes that died and were replaced.", group.respawns);
    metric(&mut text, "prefork_reloads_total", "counter", "Rolling reloads asked for.", group.reloads);
    metric(&mut text, "prefork_start_time_seconds", "gauge", "When the master started.", seconds(group.started_ms));
    metric(&mut text, "flags_initialized", "gauge", "Whether there are flags.", u8::from(initialized));
    metric(&mut text, "flags_updated_time_seconds", "gauge", "When flags last changed.", seconds(newest));
    if let Some(age) = freshness.age() {
        let help = "For how long flags may have been other ones at LaunchDarkly; 0 while its stream is open.";
        metric(&mut text, "flags_age_seconds", "gauge", help, age.as_secs());
    }
    let help = "How often LaunchDarkly's stream could not be opened or has ended.";
    metric(&mut text, "launchdarkly_stream_failures_total", "counter", help, group.stream_failures);
    metric(&mut text, "flags_evaluations_recorded_total", "counter", "Evaluations for analytics.", group.recorded);
    metric(&mut text, "flags_evaluations_dropped_total", "counter", "Evaluations without events.", group.dropped);
    head(&mut text, "prefork_worker_requests_total", "counter", "Requests of one worker.");
    for worker in &workers {
        line(&mut text, "prefork_worker_requests_total", worker.pid, worker.requests);
    }
    head(&mut text, "prefork_worker_ready_seconds", "gauge", "From the fork to the first connection accepted.");
    for (pid, after) in workers.iter().filter_map(|worker| Some((worker.pid, worker.ready_after?))) {
        line(&mut text, "prefork_worker_ready_seconds", pid, after.as_secs_f64());
    }
    text
}

fn metric(text: &mut String, name: &str, kind: &str, help: &str, value: impl Display) {
    head(text, name, kind, help);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{name} {value}");
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, pid: u32, value: impl Display) {
    let _ = writeln!(text, "{name}{{pid=\"{pid}\"}} {value}");
}

fn seconds(unix_ms: u64) -> String {
    format!("{}.{:03}", unix_ms / 1_000, unix_ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_help_and_type() {
        let board = Board::new().unwrap();
        board.row(0).count_request();
        let text = text(board, board.freshness(), true);
        assert!(text.contains("\nprefork_requests_total 1\n"), "{text}");
        assert!(text.contains("\nflags_initialized 1\n"), "{text}");
        for name in text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split([' ', '{']).next())
        {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
        }
    }
}
