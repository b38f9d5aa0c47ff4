//! `rc`, the binary, against an embedded DynamoDB that another program has filled, so that no Redis
//! is needed. What `store` and `reader` make of it is tested with them, end to end.
//!
//! - `stage`: the table, the folder, the variables

#![expect(clippy::unwrap_used, reason = "what a test relies on has to be there")]

mod stage;

use serde_json::{Value, json};
use stage::{NAME, Stage};

const ON: &str = "update-dynamodb -p p -e e -f f -s on";
const OFF: &str = "update-dynamodb -p p -e e -f f -s off";
const ON_LINE: &str = "rc update-ld-api -p p -e e -f f -s on";

#[tokio::test]
async fn an_override_is_journalled_and_shown_as_one_in_redis_is() {
    let stage = Stage::new().await;
    let flag = stage.flag().await;
    let ran = stage.run(&format!("{ON} --dry-run")).await;
    assert_eq!((ran.code, ran.out), (0, format!("{NAME}  would update v12 → v13\n")), "{}", ran.err);
    assert_eq!((stage.pending(), stage.flag().await), (Vec::new(), flag.clone()));

    let ran = stage.run(ON).await;
    assert_eq!((ran.code, ran.out), (0, format!("{NAME}  updated v12 → v13\n")), "{}", ran.err);
    let expected = flag.replace("\"on\":false", "\"on\":true").replace("\"version\":12", "\"version\":13");
    assert_eq!(stage.flag().await, expected, "nothing else changes");
    assert_eq!(stage.pending(), [ON_LINE]);
    let ran = stage.run(ON).await;
    assert_eq!((ran.code, ran.out), (0, format!("{NAME}  unchanged (v13)\n")));
    assert_eq!(stage.pending(), [ON_LINE]);

    let status: Value = serde_json::from_str(&stage.run("status --json").await.out).unwrap();
    let facts = &status["flags"][0];
    assert_eq!(facts["hosts"], json!([{"host": NAME, "is": "holds", "version": 13, "on": true}]));
    assert_eq!((&facts["pending"][0]["state"], &facts["pending"][0]["heldVersion"]), (&json!("on"), &json!(12)));

    let ran = stage.run("revert -p p -e e -f f").await;
    assert_eq!((ran.code, ran.out), (0, format!("{NAME}  f (p/e) on: reverted v13 → v12\n")), "{}", ran.err);
    assert_eq!((stage.pending(), stage.flag().await), (Vec::new(), flag));
}

#[tokio::test]
async fn a_variation_is_named_by_index_or_value_and_recorded_by_its_index() {
    let stage = Stage::new().await;
    let flag = stage.flag().await;
    let ran = stage.run("update-dynamodb -p p -e e -f f --variation blue").await;
    assert_eq!((ran.code, ran.out), (0, format!("{NAME}  updated v12 → v13\n")), "{}", ran.err);
    assert!(stage.flag().await.contains(r#""fallthrough":{"variation":1}"#));
    let serves_blue = "rc update-ld-api -p p -e e -f f --variation=index:1";
    assert_eq!(stage.pending(), [serves_blue]);
    let ran = stage.run("update-dynamodb -p p -e e -f f --variation 1").await;
    assert!(ran.code == 0 && ran.out.contains("unchanged (v13)"), "{ran:?}");
    assert_eq!(stage.run(ON).await.code, 0);
    assert_eq!(stage.pending(), [serves_blue, ON_LINE]);
    let shown = stage.run("status").await.out;
    assert!(shown.contains("pending: serve variation index:1 since"), "{shown}");
    assert!(shown.contains("on v14, serves variation index:1\n"), "{shown}");
    assert_eq!(stage.run("revert --all").await.code, 0);
    assert_eq!(stage.flag().await, flag);
}

#[tokio::test]
async fn what_is_no_flag_or_no_variation_is_an_error_and_not_recorded() {
    let stage = Stage::new().await;
    for (line, expected) in [
        ("update-dynamodb -p p -e e -f nope -s on", "no such flag"),
        (
            "update-dynamodb -p p -e e -f f --variation green",
            "not changed: \"green\" is none of its variations, which are 0: \"red\", 1: \"blue\", 2: 2",
        ),
        ("update-dynamodb -p p -e e -f f --variation 2", "updated v12 → v13"),
        (
            "update-dynamodb -p p -e e -f g --variation 1",
            "\"1\" may mean several of its variations, which are 0: 1, 1: 0",
        ),
    ] {
        let ran = stage.run(line).await;
        assert!(ran.out.contains(expected), "{line}: {ran:?}");
        assert_eq!(ran.code, i32::from(!expected.starts_with("updated")), "{ran:?}");
    }
    assert_eq!(stage.pending(), ["rc update-ld-api -p p -e e -f f --variation=index:2"]);
}

#[tokio::test]
async fn a_wrong_setting_names_itself_and_nothing_is_recorded() {
    let stage = Stage::new().await;
    let wait = "--timeout 5";
    for (variables, line, code, expected) in [
        (&[("LAUNCHDARKLY_DYNAMODB_TABLE", "")][..], ON, 2, "LAUNCHDARKLY_DYNAMODB_TABLE is not set"),
        (&[("LAUNCHDARKLY_DYNAMODB_TABLE", "")], "status", 2, "REDIS_HOSTS is not set"),
        (&[("AWS_MAX_ATTEMPTS", "many")], ON, 2, "AWS_MAX_ATTEMPTS=\"many\""),
        (&[("LAUNCHDARKLY_DYNAMODB_TABLE", "none")], ON, 1, "it does not exist in this region"),
        (&[("LAUNCHDARKLY_DYNAMODB_PREFIX", "other")], ON, 1, "no such flag"),
        (&[("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")], ON, 1, "unreachable: "),
        (&[], "update-dynamodb -p p -e e -f f", 2, "--variation"),
        (&[], "update-dynamodb -p p -e e -f f -s on --variation 1", 2, "cannot be used with"),
    ] {
        let ran = stage.run_with(variables, &format!("{line} {}", if code == 1 { wait } else { "" })).await;
        assert!(format!("{}{}", ran.out, ran.err).contains(expected), "{variables:?} {line}: {ran:?}");
        assert_eq!(ran.code, code, "{variables:?} {line}: {ran:?}");
    }
    assert_eq!(stage.pending(), Vec::<String>::new());
}

#[tokio::test]
async fn options_lead_to_another_table_and_the_environment_may_stand_in_the_prefix() {
    let stage = Stage::new().await;
    stage.put("ld:p:e:features", "f", 3, r#"{"key":"f","on":false,"version":3}"#).await;
    let with = "--table flags --table-prefix ld:{project}:{environment} --region eu-central-1";
    let ran = stage.run_with(&[("LAUNCHDARKLY_DYNAMODB_TABLE", "none")], &format!("{ON} {with}")).await;
    assert_eq!(
        (ran.code, ran.out),
        (0, "dynamodb:eu-central-1/flags/ld:{project}:{environment}  updated v3 → v4\n".to_owned()),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn doctor_looks_at_the_table_too() {
    let stage = Stage::new().await;
    let ran = stage.run("doctor").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains(&format!("ok    {NAME}: reachable, and features is marked as filled\n")), "{ran:?}");
    assert!(ran.out.contains("an override changes the item alone") && !ran.out.contains("Relay Proxy:"), "{ran:?}");
    let ran = stage.run("doctor --table-prefix x").await;
    assert!(ran.code == 1 && ran.out.contains("x:features is not marked as filled"), "{ran:?}");
}

#[tokio::test]
async fn overrides_at_the_same_time_all_count() {
    let stage = Stage::new().await;
    let mut running = tokio::task::JoinSet::new();
    for line in [[ON; 6], [OFF; 6]].concat() {
        running.spawn(local::patience::output(stage.command_with(&[], line)));
    }
    while let Some(ended) = running.join_next().await {
        let output = ended.unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let held: Value = serde_json::from_str(&stage.flag().await).unwrap();
    let raised = stage.pending().len() as u64;
    assert!(raised >= 1 && held["version"] == 12 + raised, "{held} {:?}", stage.pending());
}

#[tokio::test]
async fn whoever_is_killed_between_record_and_write_leaves_the_record() {
    let stage = Stage::new().await;
    let (address, reached) = stage.stalled_at("TransactWriteItems");
    let endpoint = format!("http://{address}");
    let mut process = stage.command_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &endpoint)], ON).spawn().unwrap();
    tokio::task::spawn_blocking(move || reached.recv_timeout(local::patience::PATIENCE).unwrap()).await.unwrap();
    process.kill().await.unwrap();
    assert!(stage.flag().await.contains("\"version\":12"), "nothing was written");
    assert_eq!(stage.pending(), [ON_LINE]);

    let shown = stage.run("status").await;
    assert!(shown.out.contains("pending: on") && shown.out.contains("off v12"), "{shown:?}");
    let ran = stage.run("playback").await;
    assert!(ran.code == 0 && ran.out.contains("f (p/e) on: done v12 → v13"), "{ran:?}");
    assert_eq!(stage.pending(), Vec::<String>::new());
    assert_eq!(stage.theirs()["on"], true);
}
