//! What a handler returns, made to fit what invoked the function. Pure.

use crate::answer::{Answer, WithCookies};
use crate::event::Source;
use lambda_runtime::Diagnostic;
use serde::Serialize;
use serde_json::Value;

/// What a handler returns.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// An HTTP answer. Of an invocation without HTTP it becomes the body's value, or with a status
    /// of 400 and more the fault that the body describes.
    Answer(Answer),
    /// A plain value; to a request it becomes an answer with status 200.
    Value(Value),
    /// A failure; to a request it becomes an answer with status 500.
    Fault(Fault),
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// A failed invocation as Lambda reports it to the invoker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Lambda's `errorType`: one word per kind of failure.
    pub error_type: String,
    /// Lambda's `errorMessage`; must hold no secret.
    pub message: String,
}

impl Fault {
    /// A failure of this kind.
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error_type: error_type.into(), message: message.into() }
    }
}

impl From<Fault> for Diagnostic {
    fn from(fault: Fault) -> Self {
        Self { error_type: fault.error_type, error_message: fault.message }
    }
}

/// What goes to the Runtime API when the invocation did not fail.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Reply {
    Format1(Answer),
    Format2(WithCookies),
    Value(Value),
}

impl Reply {
    /// The outcome in the form that the invoker understands: a gateway, or somebody without HTTP.
    pub(super) fn fit(outcome: Outcome, gateway: Option<Source>) -> Result<Self, Fault> {
        let Some(gateway) = gateway else {
            return match outcome {
                Outcome::Answer(answer) => value_of(&answer).map(Self::Value),
                Outcome::Value(value) => Ok(Self::Value(value)),
                Outcome::Fault(fault) => Err(fault),
            };
        };
        let answer = match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::Value(value) => Answer::json(200, &value),
            Outcome::Fault(Fault { error_type, message }) => Answer::error(500, &error_type, &message),
        };
        Ok(match gateway {
            Source::ApiGatewayV1 => Self::Format1(answer),
            Source::ApiGatewayV2 | Source::FunctionUrl => Self::Format2(answer.into()),
        })
    }
}

fn value_of(answer: &Answer) -> Result<Value, Fault> {
    let body = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    if answer.status < 400 {
        return Ok(body);
    }
    let text = |name: &str| body["error"][name].as_str().map(str::to_owned);
    Err(Fault {
        error_type: text("code").unwrap_or_else(|| format!("status-{}", answer.status)),
        message: text("message").unwrap_or_else(|| answer.body.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_always_gets_an_answer() {
        for (outcome, status, body) in [
            (Outcome::Answer(Answer::rendered(401, "1".into())), 401, "1"),
            (Outcome::Value(json!({"a": 1})), 200, r#"{"a":1}"#),
            (Outcome::Fault(Fault::new("no-table", "m")), 500, r#"{"error":{"code":"no-table","message":"m"}}"#),
        ] {
            let fitted = serde_json::to_value(Reply::fit(outcome, Some(Source::ApiGatewayV1)).unwrap()).unwrap();
            assert_eq!((&fitted["statusCode"], &fitted["body"]), (&json!(status), &json!(body)));
        }
    }

    #[test]
    fn an_answer_has_the_members_of_the_gateways_format_and_no_others() {
        let headers = json!({"content-type": "application/json"});
        let format_1 = json!({"statusCode": 200, "headers": headers, "body": "1", "isBase64Encoded": false});
        let mut format_2 = format_1.clone();
        format_2["cookies"] = json!([]);
        for (gateway, expected) in
            [(Source::ApiGatewayV1, &format_1), (Source::ApiGatewayV2, &format_2), (Source::FunctionUrl, &format_2)]
        {
            let fitted = Reply::fit(Outcome::Value(json!(1)), Some(gateway)).unwrap();
            assert_eq!(&serde_json::to_value(fitted).unwrap(), expected, "{gateway:?}");
        }
    }

    #[test]
    fn another_invocation_gets_the_value_or_fails() {
        for (outcome, expected) in [
            (Outcome::Value(json!(7)), Ok(json!(7))),
            (Outcome::Answer(Answer::json(200, &json!([1]))), Ok(json!([1]))),
            (Outcome::Answer(Answer::empty(204)), Ok(Value::Null)),
            (Outcome::Fault(Fault::new("t", "m")), Err(Fault::new("t", "m"))),
            (Outcome::Answer(Answer::error(503, "busy", "m")), Err(Fault::new("busy", "m"))),
            (Outcome::Answer(Answer::rendered(502, "oh".into())), Err(Fault::new("status-502", "oh"))),
        ] {
            let fitted = Reply::fit(outcome, None).map(|reply| serde_json::to_value(reply).unwrap());
            assert_eq!(fitted, expected);
        }
    }

    #[test]
    fn a_fault_becomes_lambdas_error_type_and_message() {
        let diagnostic = Diagnostic::from(Fault::new("no-table", "create it"));
        assert_eq!(
            serde_json::to_value(diagnostic).unwrap(),
            json!({"errorType": "no-table", "errorMessage": "create it"})
        );
    }
}
