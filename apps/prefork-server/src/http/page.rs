//! The group's health for people: one page without scripts or anything to load, which looks again by itself.

use std::fmt::Write;
use std::time::Duration;

use flagcache_prefork::board::{WorkerFacts, now_ms};
use flagcache_prefork::{Board, Freshness};

const STYLE: &str = include_str!("page.css");

/// The page; `counts` are the flags and segments there are.
pub(super) fn html(board: Board, freshness: Freshness, initialized: bool, (flags, segments): (usize, usize)) -> String {
    let group = board.facts();
    let now = now_ms();
    let (class, state) = state(initialized, freshness);
    let holder = match group.helper {
        0 => "each worker has its own".to_owned(),
        pid => format!("process {pid}, for all workers"),
    };
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta http-equiv=\"refresh\" content=\"5\">\
         <title>prefork-server</title><style>{STYLE}</style></head>\n<body><h1>prefork-server</h1>\
         <p class=\"state {class}\">{state}</p><dl>"
    );
    for (name, value) in [
        ("Flags", flags.to_string()),
        ("Segments", segments.to_string()),
        ("LaunchDarkly’s stream", holder),
        ("Master", group.master.to_string()),
        ("Uptime", span(now.saturating_sub(group.started_ms))),
        ("Requests", group.requests.to_string()),
        ("Processes replaced", group.respawns.to_string()),
        ("Reloads", group.reloads.to_string()),
    ] {
        // Writing to a string cannot fail.
        let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    html.push_str("</dl>\n<h2>Workers</h2><table><thead><tr>");
    for name in COLUMNS {
        let _ = write!(html, "<th scope=\"col\">{name}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for worker in board.workers() {
        row(&mut html, &worker, now);
    }
    html.push_str("</tbody></table></body></html>\n");
    html
}

const COLUMNS: [&str; 5] = ["Process", "Uptime", "Requests", "Connections", "Last flag update"];

/// How the flags are, in a class and in words.
fn state(initialized: bool, freshness: Freshness) -> (&'static str, String) {
    let age = freshness.age().unwrap_or(Duration::ZERO);
    let age = span(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    match (initialized, freshness.is_open()) {
        (false, _) => ("bad", "No flags yet: LaunchDarkly has not been reached since the start".to_owned()),
        (true, true) => ("good", "Flags are live".to_owned()),
        (true, false) => ("warn", format!("Flags are as of {age} ago: LaunchDarkly’s stream is being opened")),
    }
}

fn row(html: &mut String, worker: &WorkerFacts, now: u64) {
    let updated = match worker.updated_ms {
        0 => "never".to_owned(),
        at => format!("{} ago", span(now.saturating_sub(at))),
    };
    let [process, cells @ ..] = COLUMNS;
    let note = if worker.misplaced { " <span class=\"bad\">flags were set up before the fork</span>" } else { "" };
    let _ = write!(html, "<tr><th scope=\"row\" data-label=\"{process}\">{}{note}</th>", worker.pid);
    let uptime = span(now.saturating_sub(worker.started_ms));
    for (name, cell) in
        cells.into_iter().zip([uptime, worker.requests.to_string(), worker.connections.to_string(), updated])
    {
        let _ = write!(html, "<td data-label=\"{name}\">{cell}</td>");
    }
    html.push_str("</tr>");
}

/// A time span in its two largest units.
fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (ms, text) in [(999, "0 s"), (61_000, "1 min 1 s"), (7_260_000, "2 h 1 min"), (90_000_000, "1 d 1 h")] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn the_page_says_whether_there_are_flags_and_how_old_they_are() {
        let board = Board::new().unwrap();
        let page = |initialized| html(board, board.freshness(), initialized, (3, 1));
        assert!(page(false).contains("No flags yet"));
        board.freshness().fetched(now_ms().saturating_sub(61_000));
        assert!(page(true).contains("Flags are as of 1 min 1 s ago"), "{}", page(true));
        board.freshness().opened();
        assert!(page(true).contains("Flags are live") && page(true).contains("<dt>Flags</dt><dd>3</dd>"));
    }
}
