//! Evaluation over raw items, whole and broken.

use bytes::Bytes;
use flagcache_payload::Payload;
use serde_json::{Value, json};

use super::*;
use crate::context;

fn items(flags: &Value, segments: &Value) -> Arc<dyn Items> {
    let body = json!({"flags": flags, "segments": segments}).to_string();
    Arc::new(Payload::parse(Bytes::from(body)).unwrap())
}

fn flag(version: u64, rest: Value) -> Value {
    let mut flag = json!({"key": "set-below", "version": version, "on": true, "variations": ["off", "on"],
        "fallthrough": {"variation": 1}, "offVariation": 0, "targets": [], "rules": [], "prerequisites": [], "salt": ""});
    let Value::Object(rest) = rest else { panic!("{rest} is no object") };
    flag.as_object_mut().unwrap().extend(rest);
    flag
}

fn segment_rule(segment: &str) -> Value {
    json!([{"id": "r", "variation": 0, "trackEvents": false,
        "clauses": [{"attribute": "key", "op": "segmentMatch", "values": [segment]}]}])
}

fn reason(evaluation: &Evaluation) -> Value {
    serde_json::to_value(&evaluation.reason).unwrap()
}

#[test]
fn a_flag_has_value_variation_reason_and_version() {
    let evaluator = Evaluator::new(items(&json!({"a": flag(5, json!({"key": "a"}))}), &json!({})));
    let evaluation = evaluator.flag("a", &context::keyed("k").unwrap());
    assert_eq!(evaluation.value, Some("on".to_owned().into()));
    assert_eq!((evaluation.variation, evaluation.version), (Some(1), Some(5)));
    assert_eq!(reason(&evaluation), json!({"kind": "FALLTHROUGH"}));
}

#[test]
fn many_flags_at_once_are_what_each_is_alone_broken_ones_too() {
    let key = |number: usize| format!("flag-{number:03}");
    let flags: serde_json::Map<_, _> = (0..500)
        .map(|number| {
            let rest = if number % 7 == 0 { json!({"on": 7}) } else { json!({"on": number % 2 == 0}) };
            (key(number), flag(number as u64, rest))
        })
        .collect();
    let (evaluator, context) = (Evaluator::new(items(&flags.into(), &json!({}))), context::keyed("k").unwrap());
    let all = serde_json::to_value(evaluator.all(&context, Filter::Everything, Shape::Values)).unwrap();
    assert_eq!(all.as_object().unwrap().len(), 500);
    for number in 0..500 {
        let alone = evaluator.flag(&key(number), &context).value;
        assert_eq!(all[key(number)], alone.map_or(Value::Null, |value| json!(value.as_string())), "{number}");
        assert_eq!(all[key(number)].is_null(), number % 7 == 0);
    }
    assert_eq!(evaluator.parsed().decoded(), (500, 0));
}

#[test]
fn prerequisites_are_looked_up_where_they_are_needed_alone() {
    let flags = json!({
        "a": flag(1, json!({"key": "a", "prerequisites": [{"key": "b", "variation": 0}]})),
        "b": flag(1, json!({"key": "b"})),
        "c": flag(1, json!({"key": "c"})),
    });
    let evaluator = Evaluator::new(items(&flags, &json!({})));
    let evaluation = evaluator.flag("a", &context::keyed("k").unwrap());
    assert_eq!(reason(&evaluation), json!({"kind": "PREREQUISITE_FAILED", "prerequisiteKey": "b"}));
    assert_eq!(evaluator.parsed().decoded(), (2, 0));
}

#[test]
fn a_segment_holds_whom_it_lists_and_whom_its_rules_match() {
    let segment = |rest: Value| {
        let mut segment = json!({"key": "s", "version": 1, "included": [], "excluded": [], "rules": [], "salt": "x"});
        segment.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        segment
    };
    let anyone = json!([{"clauses": [{"attribute": "key", "op": "startsWith", "values": ["k"]}]}]);
    let org = json!([{"contextKind": "org", "values": ["acme"]}]);
    let multi = r#"{"kind":"multi","user":{"key":"x"},"org":{"key":"acme"}}"#;
    for (rest, context, member) in [
        (json!({"included": ["z", "k", "a"]}), r#"{"key":"k"}"#, true),
        (json!({"included": ["z", "a"]}), r#"{"key":"k"}"#, false),
        (json!({"included": ["k"]}), r#"{"kind":"org","key":"k"}"#, false),
        (json!({"rules": anyone}), r#"{"key":"k1"}"#, true),
        (json!({"rules": anyone, "excluded": ["b", "k1"]}), r#"{"key":"k1"}"#, false),
        (json!({"included": ["k1"], "excluded": ["k1"]}), r#"{"key":"k1"}"#, true),
        (json!({"includedContexts": org}), r#"{"kind":"org","key":"acme"}"#, true),
        (json!({"includedContexts": org, "excluded": ["x"]}), multi, true),
        (json!({"included": ["acme"]}), multi, false),
        (json!({"included": ["x"]}), multi, true),
    ] {
        let flags = json!({"a": flag(1, json!({"key": "a", "rules": segment_rule("s")}))});
        let evaluator = Evaluator::new(items(&flags, &json!({"s": segment(rest.clone())})));
        let evaluation = evaluator.flag("a", &context::from_json("context", context).unwrap());
        assert_eq!(evaluation.variation == Some(0), member, "{rest} for {context}");
        if member {
            assert_eq!(reason(&evaluation), json!({"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r"}));
        }
    }
}

#[test]
fn a_broken_flag_is_an_error_for_itself_and_those_that_need_it() {
    let flags = json!({
        "broken": flag(1, json!({"key": "broken", "on": 1})),
        "needy": flag(1, json!({"key": "needy", "prerequisites": [{"key": "broken", "variation": 1}]})),
        "whole": flag(1, json!({"key": "whole"})),
    });
    let evaluator = Evaluator::new(items(&flags, &json!({})));
    let somebody = context::keyed("k").unwrap();
    let broken = evaluator.flag("broken", &somebody);
    assert_eq!(reason(&broken), json!({"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}));
    assert!(!broken.is_unknown());
    assert_eq!(evaluator.flag("needy", &somebody).value, Some("off".to_owned().into()));
    assert_eq!(evaluator.flag("whole", &somebody).value, Some("on".to_owned().into()));
}

#[test]
fn a_variation_out_of_range_is_an_error_without_an_index() {
    let flags = json!({"a": flag(1, json!({"key": "a", "fallthrough": {"variation": 9}}))});
    let evaluation = Evaluator::new(items(&flags, &json!({}))).flag("a", &context::keyed("k").unwrap());
    assert_eq!((evaluation.value.as_ref(), evaluation.variation), (None, None));
    assert_eq!(reason(&evaluation), json!({"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}));
}

#[test]
fn unknown_and_deleted_flags_are_unknown_and_leave_no_trace() {
    let evaluator = Evaluator::new(items(&json!({"gone": {"version": 3, "deleted": true}}), &json!({})));
    let somebody = context::keyed("k").unwrap();
    for key in ["gone", "never", ""] {
        assert!(evaluator.flag(key, &somebody).is_unknown(), "{key}");
    }
    assert_eq!(evaluator.parsed().decoded(), (0, 0));
    let all = serde_json::to_value(evaluator.all(&somebody, Filter::Everything, Shape::Details)).unwrap();
    assert_eq!(all, json!({}));
}

#[test]
fn new_items_are_evaluated_and_unchanged_ones_stay_decoded() {
    let segment = json!({"s": {"key": "s", "version": 1, "included": ["k"], "excluded": [], "rules": [], "salt": ""}});
    let before = json!({
        "same": flag(1, json!({"key": "same"})),
        "changes": flag(1, json!({"key": "changes", "rules": segment_rule("s")})),
        "goes": flag(1, json!({"key": "goes"})),
    });
    let evaluator = Evaluator::new(items(&before, &segment));
    let somebody = context::keyed("k").unwrap();
    for key in ["same", "changes", "goes"] {
        assert!(evaluator.flag(key, &somebody).value.is_some());
    }
    assert_eq!(evaluator.parsed().decoded(), (3, 1));
    let after = json!({"same": before["same"], "changes": flag(2, json!({"key": "changes", "on": false}))});
    evaluator.set_items(items(&after, &segment));
    assert_eq!(evaluator.parsed().decoded(), (1, 1));
    assert_eq!(evaluator.flag("changes", &somebody).version, Some(2));
    assert_eq!(evaluator.flag("changes", &somebody).value, Some("off".to_owned().into()));
    assert!(evaluator.flag("goes", &somebody).is_unknown());
}

#[test]
fn an_answer_under_way_sees_the_items_it_began_with() {
    let evaluator = Evaluator::new(items(&json!({"a": flag(1, json!({"key": "a"}))}), &json!({})));
    let somebody = context::keyed("k").unwrap();
    let under_way = evaluator.all(&somebody, Filter::Everything, Shape::Values);
    evaluator.set_items(items(&json!({}), &json!({})));
    assert_eq!(serde_json::to_value(under_way).unwrap(), json!({"a": "on"}));
    assert_eq!(serde_json::to_value(evaluator.all(&somebody, Filter::Everything, Shape::Values)).unwrap(), json!({}));
}

#[test]
fn a_circle_of_prerequisites_is_an_error_and_not_an_endless_loop() {
    let flags = json!({
        "a": flag(1, json!({"key": "a", "prerequisites": [{"key": "b", "variation": 1}]})),
        "b": flag(1, json!({"key": "b", "prerequisites": [{"key": "a", "variation": 1}]})),
    });
    let evaluation = Evaluator::new(items(&flags, &json!({}))).flag("a", &context::keyed("k").unwrap());
    assert_eq!(reason(&evaluation), json!({"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}));
}
