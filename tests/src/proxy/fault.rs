//! How the proxy misbehaves when it is told to.

use http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

/// A misbehaviour and when it happens.
#[derive(Debug, Clone)]
pub struct Fault {
    operation: Option<String>,
    mentioning: Option<String>,
    skip: usize,
    times: usize,
    what: Misbehaviour,
}

/// What happens to a request instead of being passed on and answered.
#[derive(Debug, Clone)]
pub enum Misbehaviour {
    /// It is not passed on but answered with this.
    Answer {
        /// The status of the answer.
        status: StatusCode,
        /// Its body.
        body: Value,
    },
    /// It is not passed on, and its connection closes without an answer.
    Drop,
    /// It is passed on and takes effect, but its connection closes without an answer.
    LoseAnswer,
    /// It is passed on after this time.
    Delay(Duration),
    /// Of a batch only the first half is passed on, and the rest answered as unprocessed; others are passed on whole.
    TakeHalf,
}

impl Misbehaviour {
    /// Refused for want of capacity, as DynamoDB says it.
    pub fn throttled() -> Self {
        Self::error(
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded",
        )
    }

    /// Refused with one of DynamoDB's errors, status 400.
    pub fn error(name: &str, message: &str) -> Self {
        let kind = format!("com.amazonaws.dynamodb.v20120810#{name}");
        Self::Answer { status: StatusCode::BAD_REQUEST, body: json!({"__type": kind, "message": message}) }
    }

    /// Failed on DynamoDB's side, status 500.
    pub fn broken() -> Self {
        let body = json!({"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "The request processing has failed"});
        Self::Answer { status: StatusCode::INTERNAL_SERVER_ERROR, body }
    }
}

impl Fault {
    /// Misbehaves once, at the next request.
    pub fn once(what: Misbehaviour) -> Self {
        Self { operation: None, mentioning: None, skip: 0, times: 1, what }
    }

    /// Misbehaves at every request until told to behave.
    pub fn always(what: Misbehaviour) -> Self {
        Self { times: usize::MAX, ..Self::once(what) }
    }

    /// Only at requests of this operation (`GetItem`, …).
    #[must_use]
    pub fn at(self, operation: &str) -> Self {
        Self { operation: Some(operation.to_owned()), ..self }
    }

    /// Only at requests whose JSON has this text somewhere.
    #[must_use]
    pub fn mentioning(self, text: &str) -> Self {
        Self { mentioning: Some(text.to_owned()), ..self }
    }

    /// Lets so many of the requests that it is for pass first.
    #[must_use]
    pub fn after(self, passed: usize) -> Self {
        Self { skip: passed, ..self }
    }

    /// Misbehaves so many times.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    fn is_for(&self, operation: &str, body: &Value) -> bool {
        self.operation.as_deref().is_none_or(|wanted| wanted == operation)
            && self.mentioning.as_deref().is_none_or(|text| body.to_string().contains(text))
    }
}

/// The faults that are still to happen.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) -> usize {
        let finite = self.0.drain(..).filter(|fault| fault.times != usize::MAX);
        finite.map(|fault| fault.times).sum()
    }

    /// What happens to this request, if anything.
    pub(super) fn next(&mut self, operation: &str, body: &Value) -> Option<Misbehaviour> {
        for fault in &mut self.0 {
            if fault.times == 0 || !fault.is_for(operation, body) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if fault.times != usize::MAX {
                fault.times -= 1;
            }
            return Some(fault.what.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happens(faults: &mut Faults, operation: &str) -> bool {
        faults.next(operation, &json!({"TableName": "flags"})).is_some()
    }

    #[test]
    fn a_fault_waits_for_its_turn_and_is_used_up() {
        let mut faults = Faults::default();
        faults.add(Fault::once(Misbehaviour::Drop).at("PutItem").after(1).times(2));

        let seen = ["GetItem", "PutItem", "PutItem", "GetItem", "PutItem", "PutItem"]
            .map(|operation| happens(&mut faults, operation));

        assert_eq!(seen, [false, false, true, false, true, false]);
        assert_eq!(faults.clear(), 0);
    }

    #[test]
    fn a_fault_can_be_for_requests_that_mention_a_text() {
        let mut faults = Faults::default();
        faults.add(Fault::always(Misbehaviour::throttled()).mentioning("other-table"));
        assert!(!happens(&mut faults, "PutItem"));
        assert!(faults.next("PutItem", &json!({"TableName": "other-table"})).is_some());
    }

    #[test]
    fn what_never_happened_is_told() {
        let mut faults = Faults::default();
        faults.add(Fault::once(Misbehaviour::broken()).times(3));
        assert!(happens(&mut faults, "Query"));
        assert_eq!(faults.clear(), 2);
        assert!(!happens(&mut faults, "Query"));
    }
}
