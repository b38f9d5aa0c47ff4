//! The functions over a stand-in and a DynamoDB: which variables make them one pipeline.

use super::binaries::Binaries;
use local::dynamodb::EmbeddedDynamoDb;
use local::lambda::Function;
use local::standin::Standin;

/// How many processes of a function may run at the same time.
pub(super) const MOST_PROCESSES: usize = 8;

/// The keys that the pipeline shares.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) table: String,
    pub(super) sdk_key: String,
    pub(super) webhook_secret: String,
}

/// `store` over the two: it fetches from the stand-in and takes signed webhooks alone.
pub(super) fn store(binaries: &Binaries, standin: &Standin, dynamodb: &EmbeddedDynamoDb, keys: &Keys) -> Function {
    Function::new(&binaries.store)
        .env("LAUNCHDARKLY_DYNAMODB_TABLE", &keys.table)
        .env("LAUNCHDARKLY_SDK_KEY", &keys.sdk_key)
        .env("LAUNCHDARKLY_WEBHOOK_SECRET", &keys.webhook_secret)
        .env("LAUNCHDARKLY_WEBHOOK_SIGNATURE", "required")
        .env("LAUNCHDARKLY_BASE_URI", standin.url())
        .env("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.endpoint())
}

/// `reader` over the table, which checks for changes at each call. It has no SDK key, and so sends
/// no events.
pub(super) fn reader(binaries: &Binaries, dynamodb: &EmbeddedDynamoDb, keys: &Keys) -> Function {
    Function::new(&binaries.reader)
        .env("LAUNCHDARKLY_DYNAMODB_TABLE", &keys.table)
        .env("LAUNCHDARKLY_CACHE_TTL", "0")
        .env("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.endpoint())
}
