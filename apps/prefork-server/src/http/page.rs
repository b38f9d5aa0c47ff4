//! The group's health for people: one page without scripts or anything to load.

use std::fmt::Write;

use flagcache_prefork::Board;
use flagcache_prefork::board::{WorkerFacts, now_ms};

/// The page; `counts` are the flags and segments there are.
pub(super) fn html(board: Board, initialized: bool, (flags, segments): (usize, usize)) -> String {
    let group = board.facts();
    let now = now_ms();
    let state = if initialized { "flags are live" } else { "no flags yet: LaunchDarkly has not been reached" };
    let holder = match group.helper {
        0 => "each worker has its own".to_owned(),
        pid => format!("process {pid}, for all workers"),
    };
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>prefork-server</title>\
         <meta http-equiv=\"refresh\" content=\"5\"><style>body{{font:15px system-ui,sans-serif;margin:2rem}}\
         table{{border-collapse:collapse}}td,th{{padding:.3rem .9rem;border-bottom:1px solid #ddd;text-align:right}}\
         th:first-child,td:first-child{{text-align:left}}</style></head><body><h1>prefork-server</h1>\
         <p>{state}: {flags} flags, {segments} segments</p><table>\
         <tr><td>Master</td><td>{}</td></tr><tr><td>Uptime</td><td>{}</td></tr>\
         <tr><td>Requests</td><td>{}</td></tr><tr><td>Respawns</td><td>{}</td></tr>\
         <tr><td>LaunchDarkly's stream</td><td>{holder}</td></tr></table><h2>Workers</h2><table>\
         <tr><th>pid</th><th>uptime</th><th>requests</th><th>connections</th><th>last flag update</th><th></th></tr>",
        group.master,
        span(now.saturating_sub(group.started_ms)),
        group.requests,
        group.respawns,
    );
    for worker in board.workers() {
        row(&mut html, &worker, now);
    }
    html.push_str("</table></body></html>\n");
    html
}

fn row(html: &mut String, worker: &WorkerFacts, now: u64) {
    let updated = match worker.updated_ms {
        0 => "never".to_owned(),
        at => format!("{} ago", span(now.saturating_sub(at))),
    };
    let note = if worker.misplaced { "flags were set up before the fork" } else { "" };
    let uptime = span(now.saturating_sub(worker.started_ms));
    // Writing to a string cannot fail.
    let _ = write!(
        html,
        "<tr><td>{}</td><td>{uptime}</td><td>{}</td><td>{}</td><td>{updated}</td><td>{note}</td></tr>",
        worker.pid, worker.requests, worker.connections,
    );
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
    fn the_page_says_whether_there_are_flags() {
        let board = Board::new().unwrap();
        assert!(html(board, true, (3, 1)).contains("flags are live: 3 flags, 1 segments"));
        assert!(html(board, false, (0, 0)).contains("no flags yet"));
    }
}
