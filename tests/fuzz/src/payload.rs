//! LaunchDarkly's answer: what is taken for a payload is kept byte for byte, and can be evaluated.

use crate::DEMO;
use bytes::Bytes;
use flagcache_payload::order::{delete_order, write_waves};
use flagcache_payload::{Diff, Kind, Payload};
use flagcache_sdk::json::OneFlag;
use flagcache_sdk::{Evaluator, Filter, Shape, context};
use launchdarkly_server_sdk_dynamodb::snapshot::{Base, BaseBuilder};
use std::sync::Arc;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(payload) = Payload::parse(Bytes::copy_from_slice(bytes)) else { return };
    let items: Vec<_> = Kind::ALL.into_iter().flat_map(|kind| payload.items(kind)).collect();
    let (mut diff, mut builder) = (Diff::new(&payload), BaseBuilder::new());
    for item in &items {
        diff.held(*item);
        builder.push(*item);
    }
    assert_eq!(diff.finish(), [], "a payload differs from itself");
    let pairs: Vec<_> = items.iter().map(|item| (item.id(), item.json)).collect();
    let (written, mut deleted) = (write_waves(&pairs).concat(), delete_order(&pairs));
    deleted.reverse();
    assert_eq!(written, deleted, "what is written first is deleted last");
    assert_eq!(written.len(), items.len(), "everything is written once");
    let base =
        Base::decode(builder.finish().into()).unwrap_or_else(|error| panic!("what was encoded is read: {error}"));
    for item in &items {
        assert_eq!(base.json(item.kind, item.key).as_deref(), Some(item.json), "an item is kept byte for byte");
    }
    evaluate(&Evaluator::new(Arc::new(payload)));
}

/// An evaluator of a payload; nothing where it is none.
pub(crate) fn evaluator(body: Bytes) -> Option<Evaluator> {
    Some(Evaluator::new(Arc::new(Payload::parse(body).ok()?)))
}

/// Evaluates all flags, however odd they are.
pub(crate) fn evaluate(evaluator: &Evaluator) {
    let Ok(user) = context::from_json("context", r#"{"kind":"user","key":"user-7","country":"DE","n":1.5}"#) else {
        return;
    };
    let all = serde_json::to_value(evaluator.all(&user, Filter::Everything, Shape::Details));
    let all = all.unwrap_or_else(|error| panic!("all flags make an answer: {error}"));
    for key in evaluator.items().keys(Kind::Flag).iter().take(20) {
        let alone = evaluator.flag(key, &user);
        let alone = serde_json::to_value(OneFlag::new(key, &alone, None)).unwrap_or_default();
        assert_eq!(all[&**key]["value"], alone["value"], "{key} is another one alone");
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let nested = format!(r#"{{"flags":{{"f":{{"version":1,"x":{}1{}}}}}}}"#, "[".repeat(100), "]".repeat(100));
    [
        DEMO,
        r#"{"flags":{},"segments":{}}"#,
        r#"{"flags":{"a":{"key":"a","version":1,"on":true,"prerequisites":[{"key":"b","variation":0}],"variations":[1],
            "fallthrough":{"variation":0}},"b":{"key":"b","version":2,"on":true,"prerequisites":[{"key":"a",
            "variation":0}],"variations":[1],"fallthrough":{"variation":0}}},"segments":{"s":{"key":"s","version":3,
            "rules":[{"clauses":[{"op":"segmentMatch","values":["s"]}]}]}}}"#,
        r#"{"flags":{"f":{"version":9007199254740991,"variations":[0.1,"\ud83e\udd80"],"rules":[{"clauses":[{"op":
            "matches","attribute":"country","values":["(a+)+$","[","\\p{L}"]}],"rollout":{"variations":[{"variation":0,
            "weight":100000}]}}]}}}"#,
        &nested,
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}
