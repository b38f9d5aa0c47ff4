//! What a webhook carries: an edit as an entry of the audit log.
//!
//! Shape: `AuditLogEntryRep` of the REST API's public description, which webhooks carry as it is
//! (<https://launchdarkly.com/docs/api/webhooks>). Actions: the names of
//! <https://launchdarkly.com/docs/home/account/roles/role-actions>.

use super::environment::Edit;
use super::item::{Item, ItemKind};
use super::options::StandinOptions;
use super::rest::representation;
use serde_json::{Value, json};

/// The entry for an edit made at `now_ms`, milliseconds since the Unix epoch.
pub(super) fn entry(options: &StandinOptions, edit: &Edit, comment: &str, id: &str, now_ms: i64) -> Value {
    let before = edit.before.as_ref().map(|item| representation(options, edit.kind, &edit.key, item));
    let after = edit.after.as_ref().map(|item| representation(options, edit.kind, &edit.key, item));
    let name = edit.after.as_ref().or(edit.before.as_ref()).map_or("", |item| item.notes.name.as_str());
    let resource = resource(options, edit);
    let actions = actions(options, edit.kind, before.as_ref(), after.as_ref());
    let accesses: Vec<Value> = actions.iter().map(|action| json!({"action": action, "resource": resource})).collect();
    let verb = verb(edit.kind, &actions, edit.after.as_ref(), after.as_ref(), options);
    let StandinOptions { project, environment, .. } = options;
    let (canonical, site) = match edit.kind {
        ItemKind::Flag => {
            (format!("/api/v2/flags/{project}/{}", edit.key), format!("/{project}/{environment}/features/{}", edit.key))
        }
        ItemKind::Segment => (
            format!("/api/v2/segments/{project}/{environment}/{}", edit.key),
            format!("/{project}/{environment}/segments/{}", edit.key),
        ),
    };
    let mut entry = json!({
        "_links": {
            "canonical": {"href": canonical, "type": "application/json"},
            "parent": {"href": "/api/v2/auditlog", "type": "application/json"},
            "self": {"href": format!("/api/v2/auditlog/{id}"), "type": "application/json"},
            "site": {"href": site, "type": "text/html"},
        },
        "_id": id,
        "_accountId": "57be1db38b75bf0772d11383",
        "date": now_ms,
        "accesses": accesses,
        "kind": edit.kind.name(),
        "name": name,
        "description": "",
        "shortDescription": "",
        "comment": comment,
        "member": {
            "_links": {"self": {"href": "/api/v2/members/569fdeadbeef1644facecafe", "type": "application/json"}},
            "_id": "569fdeadbeef1644facecafe",
            "email": "ariel@example.com",
            "firstName": "Ariel",
            "lastName": "Flores",
        },
        "titleVerb": verb,
        "title": format!("Ariel Flores {verb} [{name}](https://app.launchdarkly.com{site}) in `{environment}`"),
        "target": {
            "_links": {"canonical": {"href": canonical, "type": "application/json"}},
            "name": name,
            "resources": [resource],
        },
    });
    if let Some(before) = before {
        entry["previousVersion"] = before;
    }
    if let Some(after) = after {
        entry["currentVersion"] = after;
    }
    entry
}

/// The item's resource specifier, with its tags.
fn resource(options: &StandinOptions, edit: &Edit) -> String {
    let item = edit.after.as_ref().or(edit.before.as_ref());
    let tags = item.map(|item| item.notes.tags.join(",")).filter(|tags| !tags.is_empty());
    let tags = tags.map_or_else(String::new, |tags| format!(";{tags}"));
    format!("proj/{}:env/{}:{}/{}{tags}", options.project, options.environment, edit.kind.name(), edit.key)
}

/// The action for each field that differs; fields without an action of their own share one.
const FLAG_ACTIONS: [(&str, &str); 12] = [
    ("/archived", "updateGlobalArchived"),
    ("/name", "updateName"),
    ("/description", "updateDescription"),
    ("/tags", "updateTags"),
    ("/temporary", "updateTemporary"),
    ("/variations", "updateFlagVariations"),
    ("/environments/E/on", "updateOn"),
    ("/environments/E/fallthrough", "updateFallthrough"),
    ("/environments/E/offVariation", "updateOffVariation"),
    ("/environments/E/rules", "updateRules"),
    ("/environments/E/targets", "updateTargets"),
    ("/environments/E/prerequisites", "updatePrerequisites"),
];

const SEGMENT_ACTIONS: [(&str, &str); 4] = [
    ("/included", "updateIncluded"),
    ("/excluded", "updateExcluded"),
    ("/rules", "updateRules"),
    ("/name", "updateName"),
];

fn actions(
    options: &StandinOptions,
    kind: ItemKind,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Vec<&'static str> {
    let (before, after) = match (kind, before, after) {
        (ItemKind::Flag, None, _) => return vec!["createFlag"],
        (ItemKind::Segment, None, _) => return vec!["createSegment"],
        (ItemKind::Flag, _, None) => return vec!["deleteFlag"],
        (ItemKind::Segment, _, None) => return vec!["deleteSegment"],
        (_, Some(before), Some(after)) => (before, after),
    };
    let (known, other): (&[_], _) = match kind {
        ItemKind::Flag => (&FLAG_ACTIONS, "updateFlagFallthroughTrackEvents"),
        ItemKind::Segment => (&SEGMENT_ACTIONS, "updateScheduledChanges"),
    };
    let differs = |path: &str| {
        let path = path.replace("/E/", &format!("/{}/", escaped(&options.environment)));
        before.pointer(&path) != after.pointer(&path)
    };
    let actions: Vec<_> = known.iter().filter(|(path, _)| differs(path)).map(|(_, action)| *action).collect();
    if actions.is_empty() { vec![other] } else { actions }
}

/// A name as a step of a JSON Pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn verb(
    kind: ItemKind,
    actions: &[&str],
    item: Option<&Item>,
    after: Option<&Value>,
    options: &StandinOptions,
) -> String {
    let is_on = after.and_then(|flag| flag["environments"][&options.environment]["on"].as_bool());
    let what = match (actions, is_on) {
        (["createFlag" | "createSegment"], _) => "created",
        (["deleteFlag" | "deleteSegment"], _) => "deleted",
        (["updateGlobalArchived"], _) if item.is_some_and(|item| item.is_archived) => "archived",
        (["updateGlobalArchived"], _) => "restored",
        (["updateOn"], Some(true)) => "turned on",
        (["updateOn"], Some(false)) => "turned off",
        _ => "updated",
    };
    format!("{what} the {}", kind.name())
}
