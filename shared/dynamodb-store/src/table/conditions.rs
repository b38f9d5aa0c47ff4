//! Guards, fences and heads' conditions as DynamoDB spells them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::{FoundVersion, Guard, Nonce};
use crate::layout::VERSION;

/// A condition expression with the names and values that it uses.
#[derive(Debug, Default)]
pub(super) struct Condition {
    pub(super) expression: String,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

/// The attribute of the head's nonce (N).
pub(super) const NONCE: &str = "nonce";

pub(super) fn guard(guard: Guard) -> Option<Condition> {
    match guard {
        Guard::AtMost(version) => Some(condition("attribute_not_exists(#v) OR #v <= :v", VERSION, Some(version))),
        Guard::Below(version) => Some(condition("attribute_not_exists(#v) OR #v < :v", VERSION, Some(version))),
        Guard::Unmoved(FoundVersion::Version(version)) => Some(condition("#v = :v", VERSION, Some(version))),
        Guard::Unmoved(FoundVersion::Missing) => Some(condition("attribute_not_exists(#v)", VERSION, None)),
        Guard::Unmoved(FoundVersion::Malformed) | Guard::Always => None,
    }
}

/// That the head is the one with this nonce, or that there is none.
pub(super) fn head_is(nonce: Option<&Nonce>) -> Condition {
    nonce.map_or_else(no_head, nonce_is)
}

fn nonce_is(nonce: &Nonce) -> Condition {
    let mut condition = condition("#v = :v", NONCE, None);
    condition.values.insert(":v".to_owned(), AttributeValue::N(nonce.0.clone()));
    condition
}

/// That there is no head, or one whose nonce nobody can follow: somebody broke it, and it is to be written anew.
fn no_head() -> Condition {
    let mut condition = condition("attribute_not_exists(#v) OR NOT attribute_type(#v, :number)", NONCE, None);
    condition.values.insert(":number".to_owned(), AttributeValue::S("N".to_owned()));
    condition
}

fn condition(expression: &str, attribute: &str, value: Option<u64>) -> Condition {
    let values = value.map(|value| (":v".to_owned(), AttributeValue::N(value.to_string())));
    Condition {
        expression: expression.to_owned(),
        names: HashMap::from([("#v".to_owned(), attribute.to_owned())]),
        values: values.into_iter().collect(),
    }
}
