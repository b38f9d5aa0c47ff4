//! Entries as LaunchDarkly sends them, entries bent out of shape, and noise.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(entry: &Value) -> Entry {
    Entry::parse(entry.to_string().as_bytes()).expect("an entry")
}

fn sole(entry: &Value) -> NamedChange {
    let mut changes = parse(entry).changes;
    assert_eq!(changes.len(), 1, "{changes:?}");
    changes.remove(0)
}

fn update(resource: &str, current: &Value) -> Value {
    json!({
        "_id": "57c0a8e29969090743529965",
        "date": 1_729_123_867_537_u64,
        "kind": "flag",
        "accesses": [{ "action": "updateOn", "resource": resource }],
        "currentVersion": current,
    })
}

#[test]
fn reads_a_flag_turned_on() {
    let entry = Entry::parse(include_bytes!("../../testdata/flag-turned-on.json")).expect("entry");
    assert_eq!(
        entry,
        Entry {
            id: Some("6710585b8b6a0a0f7d1c2b3a".into()),
            kind: Some("flag".into()),
            date_ms: Some(1_729_123_867_537),
            changes: vec![NamedChange {
                kind: ItemKind::Flag,
                key: "new-checkout".into(),
                action: "updateOn".into(),
                what: Change::Updated,
                environment: Some("production".into()),
                version: Some(12),
                candidate_versions: vec![],
            }],
            has_wildcards: false,
        }
    );
}

#[test]
fn an_entry_about_something_else_names_no_change() {
    let entry = parse(&json!({
        "_id": "1",
        "date": 1_472_243_938_774_u64,
        "accesses": [{ "action": "updateName", "resource": "proj/alexis:env/test" }],
        "kind": "environment",
        "target": { "resources": ["proj/alexis:env/test"] },
    }));
    assert_eq!((entry.changes, entry.has_wildcards), (vec![], false));
    assert_eq!(entry.kind.as_deref(), Some("environment"));
}

#[test]
fn the_version_is_that_of_the_environment_named() {
    let environments = json!({ "production": { "version": 50 }, "test": { "version": 3 } });
    let both = json!({ "key": "k", "_version": 99, "environments": environments });
    let one = json!({ "_version": 99, "environments": { "test": { "version": 3 } } });
    let none: &[u64] = &[];
    let cases = [
        ("proj/p:env/production:flag/k", &both, Some(50), none),
        ("proj/p:env/test;tag,other:flag/k;t", &both, Some(3), none),
        ("proj/p:env/*:flag/k", &both, None, &[3, 50]),
        ("proj/p:flag/k", &both, None, &[3, 50]),
        ("proj/p:env/*:flag/k", &one, Some(3), none),
        // Not the version of another environment, and never `_version`.
        ("proj/p:env/staging:flag/k", &both, None, none),
        ("proj/p:env/production:flag/k", &one, None, none),
        // An entry about another flag.
        ("proj/p:env/test:flag/other", &both, None, none),
    ];
    for (resource, current, version, candidates) in cases {
        let change = sole(&update(resource, current));
        assert_eq!(change.version, version, "{resource}");
        assert_eq!(change.candidate_versions, candidates, "{resource}");
    }
}

#[test]
fn a_flag_without_environments_has_its_own_version() {
    let resource = "proj/p:env/e:flag/k";
    for (current, expected) in [
        (json!({ "version": 4 }), Some(4)),
        (json!({ "version": "4" }), None),
        (json!({ "version": 4.5 }), None),
        (json!({ "_version": 4 }), None),
        (json!({ "environments": [], "version": 4 }), Some(4)),
        (json!("4"), None),
        (json!(null), None),
    ] {
        assert_eq!(sole(&update(resource, &current)).version, expected, "{current}");
    }
}

#[test]
fn a_segment_has_the_version_of_the_entry() {
    let mut entry = update("proj/p:env/e:segment/k", &json!({ "key": "k", "version": 8 }));
    entry["kind"] = "segment".into();
    let change = sole(&entry);
    assert_eq!((change.kind, change.version, change.environment.as_deref()), (ItemKind::Segment, Some(8), Some("e")));
}

#[test]
fn one_version_is_not_given_to_several_items() {
    let entry = parse(&json!({
        "accesses": [
            { "action": "updateOn", "resource": "proj/p:env/e:flag/a" },
            { "action": "updateOn", "resource": "proj/p:env/e:flag/b" },
        ],
        "currentVersion": { "version": 4 },
    }));
    assert_eq!(entry.changes.iter().map(|change| change.version).collect::<Vec<_>>(), [None, None]);
}

#[test]
fn the_action_says_what_happened() {
    for (action, expected) in [
        ("createFlag", Change::Created),
        ("cloneFlag", Change::Created),
        ("deleteFlag", Change::Deleted),
        ("createSegment", Change::Created),
        ("deleteSegment", Change::Deleted),
        ("updateRules", Change::Updated),
        ("deleteFlagLink", Change::Updated),
        ("", Change::Updated),
    ] {
        let mut entry = update("proj/p:env/e:flag/k", &Value::Null);
        entry["accesses"][0]["action"] = action.into();
        let change = sole(&entry);
        assert_eq!((change.what, change.action.as_str()), (expected, action));
    }
}

#[test]
fn an_archived_flag_has_left_the_payload() {
    let mut entry = update("proj/p:env/e:flag/k", &json!({ "archived": true }));
    entry["accesses"][0]["action"] = "updateGlobalArchived".into();
    assert_eq!(sole(&entry).what, Change::Deleted);
    entry["currentVersion"]["archived"] = false.into();
    assert_eq!(sole(&entry).what, Change::Updated);
}

#[test]
fn several_accesses_of_one_flag_are_one_change() {
    let resource = "proj/p:env/e:flag/k";
    let change = sole(&json!({ "accesses": [
        { "action": "updateOn", "resource": resource },
        { "action": "deleteFlag", "resource": resource },
        { "action": "updateFallthrough", "resource": resource },
    ]}));
    assert_eq!(
        (change.what, change.action.as_str(), change.environment.as_deref()),
        (Change::Deleted, "deleteFlag", Some("e"))
    );
}

#[test]
fn a_flag_created_in_several_environments_is_one_change() {
    let change = sole(&json!({
        "accesses": [
            { "action": "createFlag", "resource": "proj/p:env/a:flag/k" },
            { "action": "createFlag", "resource": "proj/p:env/b:flag/k" },
        ],
        "currentVersion": {
            "environments": { "a": { "version": 1 }, "b": { "version": 1 } },
        },
    }));
    assert_eq!((change.what, change.environment, change.version), (Change::Created, None, Some(1)));
}

#[test]
fn patterns_are_flagged_and_name_nothing() {
    let entry = parse(&json!({ "accesses": [
        { "action": "updateOn", "resource": "proj/p:env/e:flag/*" },
        { "action": "updateOn", "resource": "proj/p:env/e:flag/a-*,proj/p:env/e:segment/s" },
    ]}));
    assert!(entry.has_wildcards);
    assert_eq!(entry.changes.len(), 1);
    assert_eq!(entry.changes[0].key, "s");
}

#[test]
fn the_target_names_the_items_where_no_access_does() {
    let target = json!({ "resources": ["proj/p:env/e:flag/k", "proj/p:env/f:flag/k"] });
    let change = sole(&json!({
        "accesses": [{ "action": "createFlag" }],
        "target": target,
    }));
    assert_eq!((change.what, change.environment), (Change::Created, None));
    let change = sole(&json!({
        "accesses": [{ "action": "updateOn", "resource": "proj/p:env/e:flag/k" }],
        "target": target,
    }));
    assert_eq!(change.environment.as_deref(), Some("e"));
}

#[test]
fn a_payload_shows_a_change_from_its_version_on() {
    let change = |version, candidates: &[u64]| NamedChange {
        kind: ItemKind::Flag,
        key: "k".into(),
        action: String::new(),
        what: Change::Updated,
        environment: None,
        version,
        candidate_versions: candidates.to_vec(),
    };
    for (version, candidates, payload, expected) in [
        (Some(4), &[][..], 3, Some(false)),
        (Some(4), &[], 4, Some(true)),
        (Some(4), &[], 5, Some(true)),
        (None, &[3, 50], 2, Some(false)),
        (None, &[3, 50], 3, Some(true)),
        (None, &[3, 50], 49, Some(false)),
        (None, &[3, 50], 51, Some(true)),
        (None, &[], 1, None),
    ] {
        let change = change(version, candidates);
        assert_eq!(change.is_shown_by(payload), expected, "{change:?} by {payload}");
    }
}

#[test]
fn fields_of_unexpected_types_are_left_out() {
    for entry in [
        json!({}),
        json!({ "_id": 1, "date": "now", "kind": [], "accesses": {}, "target": [] }),
        json!({ "accesses": [null, 1, "x", [], {}, { "resource": 1, "action": {} }] }),
        json!({ "target": { "resources": [null, {}, ""] }, "currentVersion": 3 }),
    ] {
        assert_eq!(parse(&entry), Entry::default(), "{entry}");
    }
}

#[test]
fn what_is_no_object_is_an_error() {
    for (body, expected) in [
        ("[1]", "expected a JSON object, found an array"),
        ("null", "expected a JSON object, found null"),
        ("\"x\"", "expected a JSON object, found a string"),
    ] {
        let error = Entry::parse(body.as_bytes()).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{body}: {error}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000));
    let huge = "[".repeat(1 << 20);
    let noise: Vec<u8> =
        (0..1 << 20_u32).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    for body in [b"".as_slice(), b"{", b"\xff", deep.as_bytes(), huge.as_bytes(), &noise] {
        let error = Entry::parse(body).unwrap_err();
        assert!(matches!(error, EntryError::NotJson(_)), "{error:?}");
    }
}

proptest! {
    #[test]
    fn no_resource_makes_it_panic(resource in "[a-z/:;,* é]{0,64}", action in ".{0,8}") {
        let entry = parse(&json!({ "accesses": [{ "action": action, "resource": resource }] }));
        for change in entry.changes {
            prop_assert!(!change.key.is_empty() && !change.key.contains('*'));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = Entry::parse(&body);
    }
}
