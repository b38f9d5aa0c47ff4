//! The real table: [`Table`] over the DynamoDB API.
//!
//! Reads that a sync bases a write on are consistent. The AWS SDK retries single requests; what it cannot know (items of
//! a batch left over, transactions cancelled by throttling or by each other) is retried here, with backoff and jitter.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{self, AttributeValue, ConditionCheck, Delete, TransactWriteItem};
use flagcache_payload::{ItemId, Kind};
use launchdarkly_server_sdk::SerializedItem;
use rand::Rng;

use super::attributes::{self, Attributes, Unreadable};
use super::conditions::{self, Condition};
use super::errors::is_throttling;
use super::{
    Chunk, CommitError, Found, FoundVersion, Head, Limits, Put, SeenHead, Table, TableCause, TableError, Write,
};
use crate::layout::{
    HEAD, KEY, Layout, MAX_BATCH_PUTS, MAX_DELTA_BYTES, MAX_TRANSACTION_ACTIONS, MAX_TRANSACTION_BYTES, NAMESPACE,
    chunk_key, fits,
};
use crate::persistent::serialized;

/// How often leftovers of a batch and cancelled transactions are tried again.
pub(super) const RETRIES: u32 = 8;
/// The first pause between tries; it doubles up to [`MAX_PAUSE`], and a random part of it is waited.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// One environment's part of a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbTable {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) layout: Layout,
}

impl DynamoDbTable {
    /// The part of a table that lies below a prefix (none: empty).
    pub fn new(client: Client, name: impl Into<String>, prefix: &str) -> Self {
        Self { client, name: name.into(), layout: Layout::new(prefix) }
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How namespaces are spelled.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Head and, at once, the first chunk of slot 0, which is where nearly every base begins. The two are read together
    /// but not as of one moment: the chunk counts only where its generation is the one that the head names. A read that
    /// is not consistent costs half, and may be a moment old.
    pub(crate) async fn head_and_first_chunk(
        &self,
        consistent: bool,
    ) -> Result<(Option<Head>, Option<Chunk>), TableError> {
        let ours = self.layout.ours();
        let keys = vec![attributes::key(&ours, HEAD), attributes::key(&ours, &chunk_key(0, 0))];
        let mut head = None;
        let mut chunk = None;
        for item in self.batch("read head and base", keys, consistent).await? {
            match item.get(KEY).and_then(|key| key.as_s().ok()).map(String::as_str) {
                Some(HEAD) => head = attributes::read_head(&item).ok(),
                _ => chunk = attributes::read_chunk(0, item),
            }
        }
        Ok((head, chunk))
    }

    /// The head, read as cheaply as can be: it may be a moment old. One that cannot be read counts as none.
    pub(crate) async fn recent_head(&self) -> Result<Option<Head>, TableError> {
        let item = self.get("read the head", attributes::key(&self.layout.ours(), HEAD), false).await?;
        Ok(item.and_then(|item| attributes::read_head(&item).ok()))
    }

    /// One item of the official layout, as the SDK takes it.
    pub(crate) async fn item(&self, kind: Kind, key: &str) -> Result<Option<SerializedItem>, TableError> {
        let item = self.get("read an item", attributes::key(&self.layout.items(kind), key), true).await?;
        Ok(item.as_ref().and_then(|item| attributes::found(kind, item)).and_then(serialized))
    }

    /// Somebody's broken head counts as none, and the sync writes it anew; a newer program's head is left alone.
    fn understand(&self, item: &Attributes) -> Result<SeenHead, TableError> {
        let head = match attributes::read_head(item) {
            Ok(head) => Some(head),
            Err(Unreadable::Broken(reason)) => {
                tracing::warn!(table = %self.name, reason, "the head cannot be read and counts as missing");
                None
            }
            Err(Unreadable::Newer(reason)) => {
                let cause = TableCause::Unreadable(reason);
                return Err(TableError::without_source("read the head", &self.name, cause));
            }
        };
        Ok(SeenHead { nonce: attributes::read_nonce(item), head })
    }

    async fn get(
        &self,
        action: &'static str,
        key: Attributes,
        consistent: bool,
    ) -> Result<Option<Attributes>, TableError> {
        let request = self.client.get_item().table_name(&self.name).set_key(Some(key)).consistent_read(consistent);
        let output = request.send().await.map_err(|error| TableError::from_sdk(action, &self.name, error))?;
        Ok(output.item)
    }

    fn action(&self, write: &Write) -> Result<TransactWriteItem, CommitError> {
        let ours = self.layout.ours();
        match write {
            Write::Item { id, version, json, guard } => {
                let item = attributes::item(&self.layout.items(id.kind), &id.key, *version, json.clone());
                self.put(item, conditions::guard(*guard))
            }
            Write::Delete { id, guard } => {
                let key = attributes::key(&self.layout.items(id.kind), &id.key);
                self.delete(key, conditions::guard(*guard))
            }
            Write::Inited => self.put(attributes::key(&self.layout.inited(), &self.layout.inited()), None),
            Write::Chunk { slot, chunk } => self.put(attributes::chunk(&self.layout, *slot, chunk.clone()), None),
            Write::DropChunk { slot, number } => self.delete(attributes::key(&ours, &chunk_key(*slot, *number)), None),
            Write::Head { head, follows } => {
                self.put(attributes::head(&self.layout, head), Some(conditions::head_is(follows.as_ref())))
            }
            Write::Fence { follows } => self.fence(attributes::key(&ours, HEAD), conditions::head_is(follows.as_ref())),
        }
    }

    fn put(&self, item: Attributes, condition: Option<Condition>) -> Result<TransactWriteItem, CommitError> {
        let mut put = types::Put::builder().table_name(&self.name).set_item(Some(item));
        if let Some(condition) = condition {
            put = put
                .condition_expression(condition.expression)
                .set_expression_attribute_names(Some(condition.names))
                .set_expression_attribute_values(some_if_any(condition.values));
        }
        let put = put.build().map_err(|error| self.incomplete(&error))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    fn delete(&self, key: Attributes, condition: Option<Condition>) -> Result<TransactWriteItem, CommitError> {
        let mut delete = Delete::builder().table_name(&self.name).set_key(Some(key));
        if let Some(condition) = condition {
            delete = delete
                .condition_expression(condition.expression)
                .set_expression_attribute_names(Some(condition.names))
                .set_expression_attribute_values(some_if_any(condition.values));
        }
        let delete = delete.build().map_err(|error| self.incomplete(&error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    fn fence(&self, key: Attributes, condition: Condition) -> Result<TransactWriteItem, CommitError> {
        let check = ConditionCheck::builder()
            .table_name(&self.name)
            .set_key(Some(key))
            .condition_expression(condition.expression)
            .set_expression_attribute_names(Some(condition.names))
            .set_expression_attribute_values(some_if_any(condition.values))
            .build()
            .map_err(|error| self.incomplete(&error))?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }

    fn incomplete(&self, error: &dyn std::error::Error) -> CommitError {
        TableError::without_source(COMMIT, &self.name, TableCause::Other(error.to_string())).into()
    }

    fn cancelled(&self, error: SdkError<TransactWriteItemsError>, about_head: &[bool]) -> Verdict {
        let Some(service) = error.as_service_error() else {
            let error = TableError::from_sdk(COMMIT, &self.name, error);
            return Verdict::Failed(if error.cause.is_transient() {
                CommitError::Unknown(error)
            } else {
                error.into()
            });
        };
        match service {
            TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                let codes: Vec<_> =
                    cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or("None")).collect();
                if let Some(overtaken) = overtaken(&codes, about_head) {
                    Verdict::Failed(overtaken)
                } else if codes.iter().all(|code| matches!(*code, "None" | "TransactionConflict") || is_throttled(code))
                {
                    Verdict::Again(TableCause::Throttled)
                } else {
                    let reasons: Vec<_> =
                        cancelled.cancellation_reasons().iter().filter_map(|reason| reason.message()).collect();
                    let cause = TableCause::Other(format!("the transaction was refused: {}", reasons.join("; ")));
                    Verdict::Failed(TableError::without_source(COMMIT, &self.name, cause).into())
                }
            }
            TransactWriteItemsError::TransactionInProgressException(_) => {
                Verdict::Again(TableCause::Unavailable("the transaction is still in progress".to_owned()))
            }
            _ => {
                let error = TableError::from_sdk(COMMIT, &self.name, error);
                match error.cause {
                    TableCause::Throttled => Verdict::Again(TableCause::Throttled),
                    TableCause::Unavailable(_) => Verdict::Failed(CommitError::Unknown(error)),
                    _ => Verdict::Failed(error.into()),
                }
            }
        }
    }
}

const COMMIT: &str = "write a transaction";

enum Verdict {
    Again(TableCause),
    Failed(CommitError),
}

/// Whether a condition did not hold. An item that has moved while the head is in conflict was moved by whoever is writing
/// the head, and not by a stranger.
fn overtaken(codes: &[&str], about_head: &[bool]) -> Option<CommitError> {
    let any = |expected: &str, of_head: bool| {
        codes.iter().zip(about_head).any(|(code, head)| *code == expected && *head == of_head)
    };
    let item = any("ConditionalCheckFailed", false);
    let head = any("ConditionalCheckFailed", true) || (item && any("TransactionConflict", true));
    (head || item).then_some(CommitError::Overtaken { head, item })
}

fn is_throttled(code: &str) -> bool {
    is_throttling(code) || code == "ProvisionedThroughputExceeded"
}

fn some_if_any(values: Attributes) -> Option<Attributes> {
    (!values.is_empty()).then_some(values)
}

pub(super) async fn pause(retry: u32) {
    let longest = FIRST_PAUSE.saturating_mul(1 << retry.min(16)).min(MAX_PAUSE);
    let share = rand::rng().random_range(0.5..1.0);
    tokio::time::sleep(longest.mul_f64(share)).await;
}

impl Table for DynamoDbTable {
    async fn head(&self) -> Result<SeenHead, TableError> {
        let item = self.get("read the head", attributes::key(&self.layout.ours(), HEAD), true).await?;
        Ok(item.map(|item| self.understand(&item)).transpose()?.unwrap_or_default())
    }

    async fn chunks(&self, slot: u64, numbers: Range<u64>) -> Result<Vec<Chunk>, TableError> {
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let ours = self.layout.ours();
        let keys = numbers.map(|number| attributes::key(&ours, &chunk_key(slot, number))).collect();
        let found = self.batch("read the base", keys, true).await?;
        let mut chunks: Vec<_> = found.into_iter().filter_map(|item| attributes::read_chunk(slot, item)).collect();
        chunks.sort_by_key(|chunk| chunk.number);
        Ok(chunks)
    }

    async fn items(&self, kind: Kind, visit: &mut (dyn FnMut(Found<'_>) + Send)) -> Result<(), TableError> {
        let namespace = self.layout.items(kind);
        let mut from = None;
        loop {
            let request = self
                .client
                .query()
                .table_name(&self.name)
                .key_condition_expression("#n = :n")
                .expression_attribute_names("#n", NAMESPACE)
                .expression_attribute_values(":n", AttributeValue::S(namespace.clone()))
                .consistent_read(true)
                .set_exclusive_start_key(from);
            let page =
                request.send().await.map_err(|error| TableError::from_sdk("read the items", &self.name, error))?;
            page.items().iter().filter_map(|item| attributes::found(kind, item)).for_each(&mut *visit);
            from = page.last_evaluated_key;
            if from.as_ref().is_none_or(Attributes::is_empty) {
                return Ok(());
            }
        }
    }

    async fn official(&self, id: &ItemId) -> Result<Option<(FoundVersion, Option<String>)>, TableError> {
        let item = self.get("read an item", attributes::key(&self.layout.items(id.kind), &id.key), true).await?;
        let found = item.as_ref().and_then(|item| attributes::found(id.kind, item));
        Ok(found.map(|found| (found.version, found.json.map(str::to_owned))))
    }

    async fn inited(&self) -> Result<bool, TableError> {
        let inited = self.layout.inited();
        Ok(self.get("read the mark that it is filled", attributes::key(&inited, &inited), true).await?.is_some())
    }

    async fn commit(&self, writes: &[Write]) -> Result<(), CommitError> {
        let about_head: Vec<_> =
            writes.iter().map(|write| matches!(write, Write::Head { .. } | Write::Fence { .. })).collect();
        let mut last = TableCause::Throttled;
        for retry in 0..=RETRIES {
            let actions = writes.iter().map(|write| self.action(write)).collect::<Result<_, _>>()?;
            let request = self.client.transact_write_items().set_transact_items(Some(actions));
            match request.send().await {
                Ok(_) => return Ok(()),
                Err(error) => match self.cancelled(error, &about_head) {
                    Verdict::Failed(error) => return Err(error),
                    Verdict::Again(cause) => last = cause,
                },
            }
            if retry < RETRIES {
                pause(retry).await;
            }
        }
        Err(TableError::without_source(COMMIT, &self.name, last).into())
    }

    async fn put_batch(&self, puts: &[Put<'_>]) -> Result<Vec<usize>, CommitError> {
        self.put_once(puts).await
    }

    fn limits(&self) -> Limits {
        Limits {
            transaction_actions: MAX_TRANSACTION_ACTIONS,
            transaction_bytes: MAX_TRANSACTION_BYTES,
            batch_puts: MAX_BATCH_PUTS,
            delta_bytes: MAX_DELTA_BYTES,
        }
    }

    fn fits(&self, kind: Kind, key: &str, json: &str) -> bool {
        fits(&self.layout.items(kind), key, json)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::config::BehaviorVersion;
    use aws_sdk_dynamodb::error::ErrorMetadata;

    use super::*;

    #[test]
    fn an_item_that_moved_with_the_head_is_no_strangers_doing() {
        for (codes, expected) in [
            (["None", "None"], None),
            (["None", "TransactionConflict"], None),
            (["ConditionalCheckFailed", "None"], Some((false, true))),
            (["None", "ConditionalCheckFailed"], Some((true, false))),
            (["ConditionalCheckFailed", "TransactionConflict"], Some((true, true))),
        ] {
            let moved = overtaken(&codes, &[false, true]).map(|error| match error {
                CommitError::Overtaken { head, item } => (head, item),
                CommitError::Unknown(_) | CommitError::Table(_) | CommitError::OutOfTime => panic!("{error}"),
            });
            assert_eq!(moved, expected, "for {codes:?}");
        }
    }

    #[test]
    fn a_transaction_that_is_throttled_as_a_whole_is_tried_again() {
        let config = aws_sdk_dynamodb::Config::builder().behavior_version(BehaviorVersion::latest()).build();
        let table = DynamoDbTable::new(Client::from_conf(config), "t", "");
        let verdict = |code: &str| {
            let error = TransactWriteItemsError::generic(ErrorMetadata::builder().code(code).build());
            let answer = aws_sdk_dynamodb::config::http::HttpResponse::new(
                400.try_into().unwrap(),
                aws_smithy_types::body::SdkBody::empty(),
            );
            table.cancelled(SdkError::service_error(error, answer), &[])
        };
        assert!(matches!(verdict("ThrottlingException"), Verdict::Again(TableCause::Throttled)));
        assert!(matches!(verdict("InternalServerError"), Verdict::Failed(CommitError::Unknown(_))));
        assert!(matches!(verdict("AccessDeniedException"), Verdict::Failed(CommitError::Table(_))));
    }
}
