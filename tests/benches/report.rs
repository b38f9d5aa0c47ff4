//! Tables on standard output, one column a contestant.

#![expect(clippy::print_stdout, reason = "printing is what this room is for")]

use std::time::Duration;

/// A table of figures.
#[derive(Debug)]
pub(crate) struct Report {
    rows: Vec<Vec<String>>,
}

impl Report {
    /// A table without rows.
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        let head = [title].iter().chain(columns).map(ToString::to_string).collect();
        Self { rows: vec![head] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, label: &str, cells: Vec<String>) {
        let mut row = vec![label.to_owned()];
        row.extend(cells);
        self.rows.push(row);
    }

    /// Adds a row of times, and what the first is of the second.
    pub(crate) fn times(&mut self, label: &str, times: &[Duration]) {
        let mut cells: Vec<String> = times.iter().map(|time| milliseconds(*time)).collect();
        if let [first, second, ..] = times {
            cells.push(ratio(first.as_secs_f64(), second.as_secs_f64()));
        }
        self.row(label, cells);
    }

    /// Adds a row of sizes, and what the first is of the second.
    pub(crate) fn sizes(&mut self, label: &str, sizes: &[u64]) {
        let mut cells: Vec<String> = sizes.iter().map(|size| megabytes(*size)).collect();
        if let [first, second, ..] = *sizes {
            #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
            cells.push(ratio(first as f64, second as f64));
        }
        self.row(label, cells);
    }

    /// Prints it, the columns aligned.
    pub(crate) fn print(&self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate();
            let line: Vec<String> = cells.map(|(column, (cell, width))| aligned(column, cell, *width)).collect();
            println!("{}", line.join("   "));
        }
        println!();
    }
}

/// A line between tables.
pub(crate) fn remark(text: &str) {
    println!("{text}\n");
}

/// Labels stand at the left of their column, figures at the right.
fn aligned(column: usize, cell: &str, width: usize) -> String {
    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
}

/// A size as it is shown.
pub(crate) fn megabytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let megabytes = bytes as f64 / 1_048_576.0;
    format!("{megabytes:.1} MB")
}

fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1_000.0;
    match milliseconds {
        0.0..10.0 => format!("{milliseconds:.2} ms"),
        10.0..100.0 => format!("{milliseconds:.1} ms"),
        _ => format!("{milliseconds:.0} ms"),
    }
}

fn ratio(first: f64, second: f64) -> String {
    if second > 0.0 { format!("{:.2}×", first / second) } else { "–".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_show_three_digits() {
        for (micros, text) in [(160, "0.16 ms"), (7_512, "7.51 ms"), (20_140, "20.1 ms"), (813_400, "813 ms")] {
            assert_eq!(milliseconds(Duration::from_micros(micros)), text);
        }
    }
}
