//! What was counted.

use std::collections::BTreeMap;
use std::fmt;

/// Capacity units of one or more requests.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Charge {
    pub(super) read: f64,
    pub(super) write: f64,
}

/// Requests by operation, and the capacity units that they consumed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// How many requests of each operation there were, failed ones included.
    pub requests: BTreeMap<String, usize>,
    /// Read capacity units; an eventually consistent read of up to 4 KB is half a one.
    pub read_units: f64,
    /// Write capacity units; a write of up to 1 KB is one.
    pub write_units: f64,
}

impl Counts {
    /// How many requests there were, whatever they were.
    pub fn total(&self) -> usize {
        self.requests.values().sum()
    }

    pub(super) fn add(&mut self, operation: &str, charge: Charge) {
        *self.requests.entry(operation.to_owned()).or_default() += 1;
        self.read_units += charge.read;
        self.write_units += charge.write;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests, {} read and {} write units", self.total(), self.read_units, self.write_units)?;
        for (operation, count) in &self.requests {
            write!(f, ", {operation} {count}")?;
        }
        Ok(())
    }
}
