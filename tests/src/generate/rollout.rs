//! Percentage rollouts and experiments, and the fixed variations beside them.

use super::dice::Dice;
use serde_json::{Map, Value, json};

/// All weights of a rollout together.
const WHOLE: usize = 100_000;

/// The `variation` or `rollout` field of a rule or fallthrough.
pub(super) fn outcome(dice: &mut Dice, variations: usize) -> Map<String, Value> {
    let mut fields = Map::new();
    if dice.percent(65) {
        fields.insert("variation".into(), json!(dice.below(variations)));
    } else {
        fields.insert("rollout".into(), rollout(dice, variations));
    }
    fields
}

fn rollout(dice: &mut Dice, variations: usize) -> Value {
    let experiment = dice.percent(30);
    let mut weighted = Vec::new();
    let mut left = WHOLE;
    for variation in 0..variations {
        let last = variation + 1 == variations;
        // The weights of a few rollouts do not reach the whole, as rounding leaves them: the
        // contexts above belong to the last one.
        let weight = match last {
            true if dice.percent(10) => left.saturating_sub(1_000),
            true => left,
            false => dice.between(0, left),
        };
        left -= weight;
        let mut entry = json!({"variation": variation, "weight": weight});
        if experiment && dice.percent(30) {
            entry["untracked"] = json!(true);
        }
        weighted.push(entry);
    }
    let mut rollout = json!({"variations": weighted});
    if experiment {
        rollout["kind"] = json!("experiment");
        rollout["seed"] = json!(dice.between(1, 1 << 30));
        rollout["contextKind"] = json!(dice.pick(&["user", "organization"]));
    } else {
        bucketing(dice, &mut rollout);
    }
    rollout
}

/// By what contexts are divided: their key unless something else is named.
fn bucketing(dice: &mut Dice, rollout: &mut Value) {
    match dice.below(7) {
        0 => rollout["bucketBy"] = json!(dice.pick(&["key", "country", "email", "age"])),
        1 => {
            rollout["contextKind"] = json!("user");
            rollout["bucketBy"] = json!(dice.pick(&["/address/city", "/team~1role", "handle"]));
        }
        2 => rollout["contextKind"] = json!(dice.pick(&["organization", "device"])),
        // Neither text nor a whole number: such contexts fall into the first bucket.
        3 => rollout["bucketBy"] = json!(dice.pick(&["score", "beta", "groups"])),
        4 => rollout["kind"] = json!("rollout"),
        5 => rollout["seed"] = json!(dice.between(1, 1 << 20)),
        _ => {}
    }
}
