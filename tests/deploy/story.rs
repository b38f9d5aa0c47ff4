//! One environment: deployed, filled, invoked, connected with LaunchDarkly, deployed again, destroyed.

use super::{STAGING, json_of, put_parameter, refused, succeeded, table};
use anyhow::{Context, Result};
use flagcache_tests::rehearsal::webhooks::{TOKEN, Webhooks};
use flagcache_tests::rehearsal::{Ran, Rehearsal};
use serde_json::{Value, json};

#[tokio::test]
async fn a_stack_is_deployed_filled_connected_and_destroyed() -> Result<()> {
    let rehearsal = Rehearsal::start().await?;
    put_parameter(&rehearsal, "/launchdarkly/staging/sdkkey", "sdk-local").await?;
    let deployed = succeeded(rehearsal.make("deploy", STAGING).await?)?;
    let url = the_endpoint_is_printed(&rehearsal, &deployed).await?;
    assert!(deployed.stdout.contains("/launchdarkly/staging/webhooksecret"), "it does not say how to sign");

    the_table_is_as_described(&rehearsal).await?;
    the_functions_are_as_described(&rehearsal).await?;
    the_functions_answer(&rehearsal).await?;
    webhooks_are_checked_once_there_is_a_secret(&rehearsal).await?;
    a_function_that_fails_says_so(&rehearsal).await?;
    launchdarkly_is_connected(&rehearsal, &url).await?;
    logs_are_shown(&rehearsal).await?;

    // A second time changes nothing, and is no fault.
    let again = succeeded(rehearsal.make("staging", &[]).await?)?;
    assert!(again.stdout.contains("\"outcome\":\"unchanged\""), "{}", again.stdout);
    assert!(!again.stdout.contains("not signed yet"), "{}", again.stdout);

    it_is_destroyed(&rehearsal).await
}

async fn the_endpoint_is_printed(rehearsal: &Rehearsal, deployed: &Ran) -> Result<String> {
    let printed = succeeded(rehearsal.make("url", STAGING).await?)?.stdout;
    let url = printed.trim_end().to_owned();
    assert!(url.starts_with("https://") && url.contains(".execute-api.eu-west-1."), "{printed}");
    assert!(!url.contains(char::is_whitespace), "{printed}");
    assert!(deployed.stdout.contains(&url), "{}", deployed.stdout);
    let policy = &deployed.stdout[deployed.stdout.find("\n[\n").context("no policy is printed")?..];
    let policy = json_of(&policy[..policy.find("\n]\n").context("no policy is printed")? + 2])?;
    assert_eq!(policy[0]["resources"], json!(["proj/*:env/staging:flag/*"]));
    assert_eq!(policy[1]["resources"], json!(["proj/*:env/staging:segment/*"]));
    Ok(url)
}

async fn the_table_is_as_described(rehearsal: &Rehearsal) -> Result<()> {
    let table = table(rehearsal, "flagcache-staging").await?;
    let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
    assert_eq!(table["KeySchema"], json!([key("namespace", "HASH"), key("key", "RANGE")]));
    assert_eq!(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(table["DeletionProtectionEnabled"], false);
    Ok(())
}

async fn the_functions_are_as_described(rehearsal: &Rehearsal) -> Result<()> {
    let words = ["lambda", "get-function-configuration", "--function-name", "flagcache-staging-store"];
    let store = rehearsal.aws(&words).await?;
    let variables = &store["Environment"]["Variables"];
    assert_eq!(variables["LAUNCHDARKLY_SDK_KEY_PARAMETER"], "/launchdarkly/staging/sdkkey");
    assert!(!store.to_string().contains("sdk-local"), "the SDK key has reached the stack");

    let store = policy(rehearsal, "Store").await?;
    let table = "arn:aws:dynamodb:eu-west-1:123456789012:table/flagcache-staging";
    let parameter = |name: &str| format!("arn:aws:ssm:eu-west-1:123456789012:parameter/launchdarkly/staging/{name}");
    for (resource, times) in [(table, 3), (&parameter("sdkkey"), 1), (&parameter("webhooksecret"), 1)] {
        assert_eq!(store.matches(&format!("'{resource}'")).count(), times, "{resource}: {store}");
    }
    assert_eq!(store.matches("'arn:").count(), 5, "{store}");
    let reader = policy(rehearsal, "Reader").await?;
    assert!(reader.contains(table) && reader.matches("'arn:").count() == 1, "{reader}");
    Ok(())
}

/// What the role of a function may do, as it was written into IAM.
async fn policy(rehearsal: &Rehearsal, function: &str) -> Result<String> {
    let roles = rehearsal.aws(&["iam", "list-roles"]).await?["Roles"].take();
    let names = roles.as_array().into_iter().flatten().filter_map(|role| role["RoleName"].as_str());
    let mut of_function = names.filter(|name| name.starts_with(&format!("flagcache-staging-{function}Role-")));
    let (Some(role), None) = (of_function.next(), of_function.next()) else { anyhow::bail!("not one role: {roles}") };
    let listed = rehearsal.aws(&["iam", "list-role-policies", "--role-name", role]).await?;
    let [name] = &listed["PolicyNames"].as_array().context("no policies")?[..] else { anyhow::bail!("{listed}") };
    let name = name.as_str().unwrap_or_default();
    let policy = rehearsal.aws(&["iam", "get-role-policy", "--role-name", role, "--policy-name", name]).await?;
    Ok(policy["PolicyDocument"].to_string())
}

async fn invoke(rehearsal: &Rehearsal, variables: &[(&str, &str)]) -> Result<Value> {
    let ran = rehearsal.make("invoke", &[STAGING, variables].concat()).await?;
    json_of(&succeeded(ran)?.stdout)
}

async fn the_functions_answer(rehearsal: &Rehearsal) -> Result<()> {
    let summary = invoke(rehearsal, &[]).await?;
    assert_eq!(summary["trigger"], "manual");
    assert_eq!(summary["outcome"], "unchanged", "not filled by deploy: {summary}");
    assert!(summary["flags"]["total"].as_u64() > Some(0), "{summary}");
    let summary = invoke(rehearsal, &[("EVENT", "events/store-schedule.json")]).await?;
    assert_eq!(summary["trigger"], "schedule");
    let flags = invoke(rehearsal, &[("FUNCTION", "reader")]).await?;
    assert_eq!(flags["initialized"], true, "{flags}");
    let flag = invoke(rehearsal, &[("EVENT", "events/reader-v2-flag.json")]).await?;
    assert_eq!(flag["statusCode"], 200, "{flag}");
    let missing = rehearsal.make("invoke", &[("EVENT", "events/nothing.json")]).await?;
    refused(&missing, "there is no file events/nothing.json", "ls events");
    let unknown = rehearsal.make("invoke", &[("FUNCTION", "writer")]).await?;
    refused(&unknown, "FUNCTION is 'writer'; it may be store or reader", "make invoke ENV=staging");
    Ok(())
}

async fn webhooks_are_checked_once_there_is_a_secret(rehearsal: &Rehearsal) -> Result<()> {
    let status =
        async |event: &str| -> Result<Value> { Ok(invoke(rehearsal, &[("EVENT", event)]).await?["statusCode"].take()) };
    assert_eq!(status("events/store-webhook-v2-unsigned.json").await?, 200);
    put_parameter(rehearsal, "/launchdarkly/staging/webhooksecret", "secret-local").await?;
    assert_eq!(status("events/store-webhook-v2-unsigned.json").await?, 401);
    assert_eq!(status("events/store-webhook-v2-signed.json").await?, 200);
    Ok(())
}

async fn a_function_that_fails_says_so(rehearsal: &Rehearsal) -> Result<()> {
    put_parameter(rehearsal, "/launchdarkly/staging/sdkkey", "sdk-of-nobody").await?;
    let refusal = rehearsal.make("invoke", STAGING).await?;
    refused(&refusal, "store failed; what it said stands above", "make logs-store ENV=staging");
    assert_eq!(json_of(&refusal.stdout)?["errorType"], "sdk-key-refused");
    put_parameter(rehearsal, "/launchdarkly/staging/sdkkey", "sdk-local").await?;
    Ok(())
}

async fn launchdarkly_is_connected(rehearsal: &Rehearsal, url: &str) -> Result<()> {
    let webhooks = Webhooks::start().await?;
    let api = webhooks.url();
    let unknown = rehearsal.make("connect", &[("LAUNCHDARKLY_API_URI", &api)]).await?;
    refused(&unknown, "LD_API_KEY is not set", "export LD_API_KEY");
    assert!(unknown.stdout.contains(url) && unknown.stdout.contains("proj/*:env/staging:flag/*"), "{}", unknown.stdout);

    let with = |token: &'static str| [("LAUNCHDARKLY_API_URI", api.as_str()), ("LD_API_KEY", token)];
    let refusal = rehearsal.make("connect", &with("api-stranger")).await?;
    refused(&refusal, "LaunchDarkly answers 401", "LD_API_KEY");
    for _ in 0..2 {
        let connected = succeeded(rehearsal.make("connect", &with(TOKEN)).await?)?;
        assert!(!format!("{connected:?}").contains("secret-local"), "{connected:?}");
    }
    let [webhook] = &webhooks.all()[..] else { anyhow::bail!("not one webhook: {:?}", webhooks.all()) };
    assert_eq!((&webhook["url"], &webhook["on"], &webhook["sign"]), (&json!(url), &json!(true), &json!(true)));
    assert_eq!(webhook["secret"], "secret-local");
    assert_eq!(webhook["statements"][0]["resources"], json!(["proj/*:env/staging:flag/*"]));

    let nowhere = [("LAUNCHDARKLY_API_URI", "http://127.0.0.1:1"), ("LD_API_KEY", TOKEN)];
    let refusal = rehearsal.make("connect", &nowhere).await?;
    refused(&refusal, "LaunchDarkly cannot be reached", "http://127.0.0.1:1");
    Ok(())
}

async fn logs_are_shown(rehearsal: &Rehearsal) -> Result<()> {
    for (target, line) in [("logs-store", "\"synced\""), ("logs-reader", "\"reader starts\"")] {
        let shown = succeeded(rehearsal.make(target, &[("FOLLOW", "no")]).await?)?;
        assert!(shown.stdout.contains(line), "{target}: {shown:?}");
    }
    Ok(())
}

async fn it_is_destroyed(rehearsal: &Rehearsal) -> Result<()> {
    let refusal = rehearsal.make("destroy", STAGING).await?;
    refused(&refusal, "there is no terminal to ask at", "make destroy ENV=staging CONFIRM=flagcache-staging");
    let refusal = rehearsal.make("destroy", &[("CONFIRM", "yes")]).await?;
    refused(&refusal, "not the stack's name", "CONFIRM=flagcache-staging");
    let refusal = rehearsal.make_answering("destroy", STAGING, &["yes"]).await?;
    refused(&refusal, "nothing was deleted", "type its name (flagcache-staging)");
    succeeded(rehearsal.make("url", STAGING).await?)?;

    // It is asked about once.
    succeeded(rehearsal.make_answering("destroy", STAGING, &["flagcache-staging"]).await?)?;
    refused(&rehearsal.make("url", STAGING).await?, "there is no stack", "make deploy ENV=staging");
    assert!(table(rehearsal, "flagcache-staging").await.is_err(), "the table is still there");
    Ok(())
}
