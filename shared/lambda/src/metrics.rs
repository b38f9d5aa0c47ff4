//! Metrics as `CloudWatch`'s Embedded Metric Format: log lines out of which it makes metrics.
//!
//! Format: `CloudWatch` user guide, "Specification: Embedded metric format". One line is one
//! metric directive in the namespace [`NAMESPACE`] with one set of dimensions; the specification
//! allows it 100 metrics and 30 dimensions. Costs one line on stdout and no request.

use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// The namespace of all metrics of this project.
pub const NAMESPACE: &str = "flagcache";

/// One line of metrics, being gathered.
#[derive(Debug, Clone)]
pub struct Metrics {
    at: SystemTime,
    dimensions: Vec<String>,
    definitions: Vec<Value>,
    members: Map<String, Value>,
}

impl Metrics {
    /// Metrics of this moment, with the dimension `FunctionName`.
    pub fn new(function_name: &str, at: SystemTime) -> Self {
        let metrics = Self { at, dimensions: Vec::new(), definitions: Vec::new(), members: Map::new() };
        metrics.dimension("FunctionName", function_name)
    }

    /// Tells the metrics apart by this too; an empty value, which `CloudWatch` refuses, does not.
    #[must_use]
    pub fn dimension(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.dimensions.push(name.to_owned());
            // CloudWatch takes no dimension value of more than 1,024 characters.
            let value: String = value.chars().take(1024).collect();
            self.members.insert(name.to_owned(), value.into());
        }
        self
    }

    /// A number of things.
    #[must_use]
    pub fn count(self, name: &str, value: u64) -> Self {
        self.metric(name, "Count", value.into())
    }

    /// A duration in milliseconds; a value that is no number is left out.
    #[must_use]
    pub fn milliseconds(self, name: &str, value: f64) -> Self {
        self.metric(name, "Milliseconds", value.into())
    }

    /// What can be searched for in the log but makes no metric, such as the request id.
    #[must_use]
    pub fn property(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    fn metric(mut self, name: &str, unit: &str, value: Value) -> Self {
        if value.is_number() {
            self.definitions.push(json!({"Name": name, "Unit": unit}));
            self.members.insert(name.to_owned(), value);
        }
        self
    }

    /// Writes the line; nothing where there is no metric.
    pub fn write_to(&self, output: &mut impl Write) -> io::Result<()> {
        if self.definitions.is_empty() {
            return Ok(());
        }
        let since = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut line = self.members.clone();
        let directive = json!({
            "Timestamp": u64::try_from(since.as_millis()).unwrap_or_default(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [self.dimensions],
                "Metrics": self.definitions,
            }],
        });
        line.insert("_aws".to_owned(), directive);
        let mut line = Value::Object(line).to_string();
        line.push('\n');
        output.write_all(line.as_bytes())
    }

    /// Writes the line to stdout, where Lambda's log begins. A failure has nowhere to be told.
    pub fn print(&self) {
        let _ = self.write_to(&mut io::stdout().lock());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn line(metrics: &Metrics) -> String {
        let mut output = Vec::new();
        metrics.write_to(&mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    fn empty() -> Metrics {
        Metrics::new("store", UNIX_EPOCH + Duration::from_millis(1_564_109_732_003))
    }

    #[test]
    fn one_line_defines_and_carries_every_metric() {
        let metrics = empty()
            .dimension("Prefix", "staging")
            .count("Syncs", 1)
            .milliseconds("SyncDuration", 12.5)
            .property("requestId", "id\nwith a line break");
        let line = line(&metrics);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.ends_with('\n'));
        assert_eq!(
            serde_json::from_str::<Value>(&line).unwrap(),
            json!({
                "_aws": {
                    "Timestamp": 1_564_109_732_003_u64,
                    "CloudWatchMetrics": [{
                        "Namespace": "flagcache",
                        "Dimensions": [["FunctionName", "Prefix"]],
                        "Metrics": [
                            {"Name": "Syncs", "Unit": "Count"},
                            {"Name": "SyncDuration", "Unit": "Milliseconds"}
                        ]
                    }]
                },
                "FunctionName": "store", "Prefix": "staging",
                "Syncs": 1, "SyncDuration": 12.5, "requestId": "id\nwith a line break"
            })
        );
    }

    #[test]
    fn no_metric_writes_no_line() {
        assert_eq!(line(&empty().property("requestId", "id")), "");
        assert_eq!(line(&empty().milliseconds("SyncDuration", f64::NAN)), "");
    }

    #[test]
    fn an_empty_dimension_is_left_out() {
        let line = line(&empty().dimension("Prefix", "").count("Syncs", 0));
        assert!(line.contains(r#""Dimensions":[["FunctionName"]]"#), "{line}");
    }
}
