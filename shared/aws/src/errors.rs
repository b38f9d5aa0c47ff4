//! AWS errors as one line with cause and remedy.
//!
//! Whoever operates the functions reads this line and nothing else, so it names what was asked,
//! where, and what to do. Codes: `DynamoDB` developer guide, "Error handling"; Systems Manager API
//! reference, "Common errors". Knows no operation, only errors.

mod cause;
mod remedy;

pub use cause::Cause;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::error::Error;
use std::fmt;

/// Where a request went: the names that an explanation gives.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The table or parameter.
    pub resource: &'a str,
    /// The region.
    pub region: &'a str,
    /// The URL of the service; empty where unknown.
    pub endpoint: &'a str,
}

/// An error, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// What it comes down to.
    pub cause: Cause,
    /// Cause and remedy in one line without secrets.
    pub message: String,
}

impl fmt::Display for Explained {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// What the error comes down to, and what to do about it.
pub fn explain<E>(error: &SdkError<E, HttpResponse>, place: &Place<'_>) -> Explained
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let said = remedy::one_line(error.message().unwrap_or_default());
    let (cause, detail) = match error {
        SdkError::TimeoutError(_) => (Cause::Timeout, String::new()),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => (Cause::Timeout, root(error)),
        SdkError::ServiceError(_) => (Cause::of_answer(error.code(), &said, status), said),
        _ => {
            let detail = root(error);
            (Cause::of_failure(error, &detail), detail)
        }
    };
    let code = error.code().unwrap_or_default();
    Explained { cause, message: remedy::line(cause, code, &detail, status, place) }
}

/// The innermost cause's text: the one that says what happened.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    // An `io::Error` hides the error it wraps from `source`.
    let wrapped = innermost.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    remedy::one_line(&wrapped.map_or_else(|| innermost.to_string(), ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Reply, Scripted, config, impatient};
    use serde_json::json;

    async fn explained(reply: Reply) -> Explained {
        let server = Scripted::start(move |_| reply.clone()).await;
        let config = config(&server.url()).await;
        at(&config, &server.url()).await
    }

    async fn at(config: &aws_config::SdkConfig, endpoint: &str) -> Explained {
        let request = crate::dynamodb(config).describe_table().table_name("flags");
        let error = request.send().await.unwrap_err();
        explain(&error, &Place { resource: "flags", region: "eu-west-1", endpoint })
    }

    #[tokio::test]
    async fn answers_come_down_to_their_cause() {
        for (status, code, said, cause) in [
            (400, "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "not found", Cause::NoTable),
            (400, "AccessDeniedException", "not authorized to perform: dynamodb:GetItem on x", Cause::NoPermission),
            (400, "UnrecognizedClientException", "The security token is invalid", Cause::Credentials),
            (400, "com.amazon.coral.service#ExpiredTokenException", "expired", Cause::Credentials),
            (400, "InvalidSignatureException", "mismatch", Cause::Credentials),
            (400, "ProvisionedThroughputExceededException", "slow", Cause::Throttled),
            (400, "ThrottlingException", "slow", Cause::Throttled),
            (400, "RequestLimitExceeded", "slow", Cause::Throttled),
            (
                400,
                "com.amazon.coral.validate#ValidationException",
                "The provided key element does not match the schema",
                Cause::WrongSchema,
            ),
            (
                400,
                "ValidationException",
                "One or more parameter values were invalid: Missing the key id in the item",
                Cause::WrongSchema,
            ),
            (400, "ValidationException", "Item size has exceeded the maximum allowed size", Cause::Other),
            (500, "InternalServerError", "oh", Cause::Unreachable),
            (503, "ServiceUnavailable", "oh", Cause::Unreachable),
            (400, "ConditionalCheckFailedException", "no", Cause::Other),
        ] {
            let reply = Reply::json(status, &json!({"__type": code, "message": said}));
            let explained = explained(reply).await;
            assert_eq!(explained.cause, cause, "{code}: {explained}");
            assert!(!explained.message.contains('\n'));
        }
    }

    #[tokio::test]
    async fn a_missing_table_is_named_with_its_place_and_remedy() {
        let reply = Reply::json(400, &json!({"__type": "ResourceNotFoundException", "message": "x"}));
        let message = explained(reply).await.message;
        assert!(message.starts_with("there is no table \"flags\" in eu-west-1 (http://127.0.0.1:"), "{message}");
        assert!(message.contains("deploy the stack or set LAUNCHDARKLY_DYNAMODB_TABLE"), "{message}");
    }

    #[tokio::test]
    async fn a_missing_permission_names_the_action_and_the_resource() {
        let said = "User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: \
                    dynamodb:DescribeTable on resource: arn:aws:dynamodb:eu-west-1:1:table/flags \
                    because no identity-based policy allows it";
        let reply = Reply::json(400, &json!({"__type": "AccessDeniedException", "Message": said}));
        assert_eq!(
            explained(reply).await.message,
            "the role may not do dynamodb:DescribeTable on arn:aws:dynamodb:eu-west-1:1:table/flags; \
             allow it in the role's policy"
        );
    }

    #[tokio::test]
    async fn an_address_where_nobody_listens_is_unreachable() {
        let url = Scripted::start(|_| Reply::hang()).await.stop().await;
        let explained = at(&config(&url).await, &url).await;
        assert_eq!(explained.cause, Cause::Unreachable);
        assert!(explained.message.contains("Connection refused"), "{explained}");
        assert!(explained.message.contains(&url), "{explained}");
    }

    #[tokio::test]
    async fn an_answer_cut_off_is_unreachable_and_a_missing_one_a_timeout() {
        assert_eq!(explained(Reply::close()).await.cause, Cause::Unreachable);
        let url = Scripted::start(|_| Reply::hang()).await.url();
        assert_eq!(at(&impatient(&config(&url).await), &url).await.cause, Cause::Timeout);
    }

    #[tokio::test]
    async fn an_answer_that_is_none_of_dynamodbs_is_unreachable() {
        let explained = explained(Reply::text(404, "<html>nothing here</html>")).await;
        assert_eq!(explained.cause, Cause::Unreachable, "{explained}");
        assert!(explained.message.contains("404"), "{explained}");
    }

    #[test]
    fn only_what_may_pass_is_transient() {
        for cause in [Cause::Throttled, Cause::Unreachable, Cause::Timeout] {
            assert!(cause.is_transient());
        }
        for cause in [Cause::NoTable, Cause::NoPermission, Cause::Credentials, Cause::WrongSchema, Cause::Other] {
            assert!(!cause.is_transient());
        }
    }
}
