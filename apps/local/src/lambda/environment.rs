//! The variables that Lambda sets for a function.
//!
//! Names: Lambda developer guide, "Defined runtime environment variables". The credentials are
//! made up: the embedded DynamoDB checks none, and an SDK refuses to start without.

use super::function::Function;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The region that functions believe to be in.
pub(super) const REGION: &str = "us-east-1";

/// Everything that a function's process gets: Lambda's variables, then the function's own, which
/// win, so that a test can also take a variable of Lambda's away or make it wrong.
pub(super) fn variables(function: &Function, runtime_api: SocketAddr) -> BTreeMap<String, String> {
    let name = function.name();
    let mut variables: BTreeMap<String, String> = [
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb().to_string()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "local".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIALOCAL".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ("AWS_SESSION_TOKEN", "local".to_owned()),
        ("_HANDLER", "bootstrap".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    variables.extend(function.variables().clone());
    variables
}
