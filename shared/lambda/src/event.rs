//! What invoked the function: one parser from the invocation's JSON to [`Invocation`].
//!
//! First room behind the Runtime API. Everything in an event may be missing, null or of another
//! type than documented: an event is only refused when it is no JSON at all. Values that are of no
//! interest are skipped without recursion, so depth costs no stack; only a manual invocation
//! is read in full, and one nested beyond `serde_json`'s limit is an error.

mod gateway;
mod object;
mod request;

use object::Object;
pub use request::{BadBase64, Body, Request, Source};
use serde_json::Value;

/// What invoked the function.
#[derive(Debug, Clone, PartialEq)]
pub enum Invocation {
    /// An HTTP request, whichever gateway brought it.
    Http(Request),
    /// `EventBridge`: a scheduled rule or a schedule of `EventBridge` Scheduler.
    Schedule {
        /// The event's id; empty where there is none.
        id: String,
        /// When it was due, RFC 3339 as delivered; empty where there is none.
        time: String,
    },
    /// Any other JSON: somebody invoked the function directly.
    Manual(Value),
}

/// Why an invocation cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("read the event: it is not valid JSON, or nested too deeply")]
pub struct EventError(#[from] serde_json::Error);

impl Invocation {
    /// Reads an invocation's payload; an empty one is a manual invocation with `null`.
    ///
    /// The body of an HTTP request is kept as delivered: whether its base64 is sound shows when
    /// [`Body::bytes`] decodes it, so that a request can be refused before.
    pub fn parse(event: &[u8]) -> Result<Self, EventError> {
        if event.trim_ascii().is_empty() {
            return Ok(Self::Manual(Value::Null));
        }
        if event.trim_ascii_start().first() == Some(&b'{') {
            let fields: Object = serde_json::from_slice(event)?;
            if let Some(request) = gateway::request(&fields) {
                return Ok(Self::Http(request));
            }
            if is_schedule(&fields) {
                return Ok(Self::Schedule {
                    id: fields.text("id").unwrap_or_default(),
                    time: fields.text("time").unwrap_or_default(),
                });
            }
        }
        Ok(Self::Manual(serde_json::from_slice(event)?))
    }
}

/// The envelope that `EventBridge` documents for scheduled rules and for Scheduler's default input.
fn is_schedule(fields: &Object) -> bool {
    let source = fields.text("source").unwrap_or_default();
    matches!(source.as_str(), "aws.events" | "aws.scheduler")
        && fields.text("detail-type").as_deref() == Some("Scheduled Event")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parse(event: &Value) -> Invocation {
        Invocation::parse(event.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_scheduled_rule_and_a_scheduler_schedule_are_schedules() {
        for source in ["aws.events", "aws.scheduler"] {
            let event = json!({
                "version": "0", "id": "53dc4d37", "detail-type": "Scheduled Event",
                "source": source, "account": "123456789012", "time": "2025-01-01T00:00:00Z",
                "region": "eu-west-1", "resources": [], "detail": {}
            });
            let id = "53dc4d37".to_owned();
            let time = "2025-01-01T00:00:00Z".to_owned();
            assert_eq!(parse(&event), Invocation::Schedule { id, time });
        }
    }

    #[test]
    fn any_other_json_is_manual() {
        for event in [
            json!({}),
            json!({"body": "{}"}),
            json!({"body": "{}", "headers": {"x-ld-signature": "00"}}),
            json!({"version": "2.0", "rawPath": "/"}),
            json!({"version": 2, "requestContext": null}),
            json!({"source": "aws.events", "detail-type": "EC2 Instance State-change"}),
            json!({"context": {"kind": "user", "key": "a"}, "flag": "f"}),
            json!(null),
            json!([1, 2]),
            json!("text"),
            json!(7),
        ] {
            assert_eq!(parse(&event), Invocation::Manual(event));
        }
    }

    #[test]
    fn an_empty_payload_is_manual() {
        assert_eq!(Invocation::parse(b" \n").unwrap(), Invocation::Manual(Value::Null));
    }

    #[test]
    fn the_last_of_two_equal_members_counts() {
        let event = br#"{"flag":"a","flag":"b"}"#;
        assert_eq!(Invocation::parse(event).unwrap(), Invocation::Manual(json!({"flag": "b"})));
    }

    #[test]
    fn what_is_not_json_is_an_error_and_not_a_panic() {
        for event in [&b"{"[..], b"{]", b"nope", b"\xff\xfe", b"{\"a\":\"\xff\"}", b"{} x"] {
            assert!(Invocation::parse(event).is_err(), "{event:?}");
        }
    }

    #[test]
    fn depth_overflows_no_stack() {
        let depth = 200_000;
        let nest = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Invocation::parse(nest.as_bytes()).is_err());
        let objects = "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        assert!(Invocation::parse(objects.as_bytes()).is_err());
        let http = format!(
            r#"{{"httpMethod":"GET","path":"/","headers":{nest},"requestContext":{nest},
                "queryStringParameters":{objects},"isBase64Encoded":{nest},"more":{nest}}}"#
        );
        let parsed = Invocation::parse(http.as_bytes()).unwrap();
        assert!(matches!(parsed, Invocation::Http(_)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(event: Vec<u8>) {
            let _ = Invocation::parse(&event);
        }

        #[test]
        fn no_values_in_known_members_make_it_panic(
            member in "version|headers|body|path|rawPath|requestContext|isBase64Encoded|cookies",
            value in "null|true|7|\"text\"|\\[1\\]|\\{\"http\":\\{\"method\":\"GET\"\\}\\}|\\{\"a\":null\\}",
        ) {
            for base in [r#""httpMethod":"POST""#, r#""requestContext":{"http":{"method":"POST"}}"#] {
                let event = format!(r#"{{{base},"{member}":{value}}}"#);
                prop_assert!(Invocation::parse(event.as_bytes()).is_ok());
            }
        }
    }
}
