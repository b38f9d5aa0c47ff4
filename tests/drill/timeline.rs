//! What happens, line by line, with the time since the start.

#![expect(clippy::print_stdout, reason = "printing is what this room is for")]

use std::time::Instant;

pub(crate) struct Timeline {
    start: Instant,
}

impl Timeline {
    pub(crate) fn begin() -> Self {
        Self { start: Instant::now() }
    }

    /// A heading: what the time after it is about.
    pub(crate) fn chapter(title: &str) {
        println!("\n{title}");
    }

    /// Who does or sees what; a text of several lines stands below each other.
    pub(crate) fn tell(&self, who: &str, what: &str) {
        let mut time = format!("{:>6.2} s", self.start.elapsed().as_secs_f64());
        for line in what.lines() {
            println!("{time:>8}  {who:<12}  {line}");
            time.clear();
        }
    }
}
