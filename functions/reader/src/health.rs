//! What `GET /health` says: `{"status":"ok","initialized":true,"generation":42,"ageSeconds":3}`.

use flagcache::{State, Status};
use serde::Serialize;

/// The state of the flags, as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Health<'a> {
    status: &'static str,
    initialized: bool,
    generation: Option<u64>,
    age_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem<'a>>,
}

/// Why not all is well, in the shape of every other error.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Problem<'a> {
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
}

impl<'a> Health<'a> {
    /// How these flags stand.
    pub(crate) fn of(status: &'a Status) -> Self {
        let fault = status.fault.as_ref();
        Self {
            status: match status.state {
                State::Ok => "ok",
                State::Stale => "stale",
                State::Empty => "empty",
            },
            initialized: status.state != State::Empty,
            generation: status.generation,
            age_seconds: status.age.map(|age| age.as_secs()),
            error: fault.map(|fault| Problem { code: fault.problem.code(), message: &fault.message }),
        }
    }

    /// There are no flags, for a reason that no look at the table changes.
    pub(crate) const fn empty(error: Problem<'a>) -> Self {
        Self { status: "empty", initialized: false, generation: None, age_seconds: None, error: Some(error) }
    }

    /// The HTTP status: with anything to answer from, all requests are answered.
    pub(crate) const fn http_status(&self) -> u16 {
        if self.initialized { 200 } else { 503 }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flagcache::{Fault, Problem as Kind};

    use super::*;

    #[test]
    fn health_tells_state_generation_and_age() {
        let fault = Fault { problem: Kind::Throttled, message: "slow down".to_owned() };
        for (status, http_status, json) in [
            (
                Status { state: State::Ok, generation: Some(42), age: Some(Duration::from_millis(3900)), fault: None },
                200,
                r#"{"status":"ok","initialized":true,"generation":42,"ageSeconds":3}"#,
            ),
            (
                Status {
                    state: State::Stale,
                    generation: None,
                    age: Some(Duration::from_secs(61)),
                    fault: Some(fault),
                },
                200,
                r#"{"status":"stale","initialized":true,"generation":null,"ageSeconds":61,"error":{"code":"throttled","message":"slow down"}}"#,
            ),
            (
                Status { state: State::Empty, generation: None, age: None, fault: None },
                503,
                r#"{"status":"empty","initialized":false,"generation":null,"ageSeconds":null}"#,
            ),
        ] {
            let health = Health::of(&status);
            assert_eq!(health.http_status(), http_status);
            assert_eq!(serde_json::to_string(&health).unwrap(), json);
        }
    }
}
