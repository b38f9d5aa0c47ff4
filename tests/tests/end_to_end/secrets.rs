//! Secrets in the Parameter Store: read once, read again when rotated, and never a check left out.

use anyhow::Result;
use flagcache_tests::gateway::Request;
use flagcache_tests::parameters::{ParameterStore, Refusal};
use flagcache_tests::pipeline::{Pipeline, SDK_KEY, SECRET, entry};
use flagcache_tests::watched::Watched;
use local::lambda::Function;
use local::standin::StandinOptions;
use serde_json::json;

const KEY_PARAMETER: &str = "/flagcache/staging/sdk-key";
const SECRET_PARAMETER: &str = "/flagcache/staging/webhook-secret";

fn webhook() -> Request {
    // What the table has already, so that nobody waits for it.
    Request::signed(SECRET, entry("sample-flag", "updateOn", Some(1)))
}

/// A `store` whose secrets lie in a Parameter Store.
fn with_parameters(pipeline: &Pipeline, parameters: &ParameterStore) -> Result<Function> {
    let secretless = pipeline.store()?.env("LAUNCHDARKLY_SDK_KEY", "").env("LAUNCHDARKLY_WEBHOOK_SECRET", "");
    Ok(secretless
        .envs(parameters.variables())
        .env("LAUNCHDARKLY_SDK_KEY_PARAMETER", KEY_PARAMETER)
        .env("LAUNCHDARKLY_WEBHOOK_SECRET_PARAMETER", SECRET_PARAMETER))
}

async fn both() -> Result<ParameterStore> {
    Ok(ParameterStore::start([(KEY_PARAMETER, SDK_KEY), (SECRET_PARAMETER, SECRET)]).await?)
}

#[tokio::test]
async fn log_levels_are_heeded_and_even_the_lowest_tells_no_secret() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let parameters = both().await?;
    for (level, is_synced_logged) in
        [("DEBUG", true), ("debug", true), ("INFO", true), ("Warning", false), ("ERROR", false), ("CRITICAL", false)]
    {
        let function = with_parameters(&pipeline, &parameters)?.env("LOG_LEVEL", level);
        let store = Watched::start(&function).await?;
        assert_eq!(store.post(&webhook()).await?.status, 200, "{level}");
        assert_eq!(store.post(&webhook().header("X-LD-Signature", "0".repeat(64))).await?.status, 401, "{level}");
        assert!(store.run().await.is_ok());
        store.metrics(3).await?;
        let output = store.process().logs().text();
        assert_eq!(output.contains("\"synced\""), is_synced_logged, "{level}: {output}");
    }
    Ok(())
}

#[tokio::test]
async fn secrets_are_read_from_parameters_once() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let parameters = both().await?;
    let store = Watched::start(&with_parameters(&pipeline, &parameters)?).await?;
    for _ in 0..3 {
        assert_eq!(store.post(&webhook()).await?.status, 200);
        store.run().await?;
    }
    assert_eq!((parameters.reads_of(KEY_PARAMETER), parameters.reads_of(SECRET_PARAMETER)), (1, 1));
    assert_eq!(store.post(&Request::post("{}")).await?.status, 401);
    // What is set directly wins, and nobody asks.
    let store = Watched::start(
        &pipeline.store()?.envs(parameters.variables()).env("LAUNCHDARKLY_SDK_KEY_PARAMETER", KEY_PARAMETER),
    )
    .await?;
    assert_eq!(store.post(&webhook()).await?.status, 200);
    assert_eq!(parameters.reads_of(KEY_PARAMETER), 1);
    Ok(())
}

#[tokio::test]
async fn a_missing_sdk_key_parameter_is_a_misconfiguration() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    for value in [None, Some(" \n")] {
        let parameters = ParameterStore::start([(SECRET_PARAMETER, SECRET)]).await?;
        if let Some(value) = value {
            parameters.set(KEY_PARAMETER, value);
        }
        let store = Watched::start(&with_parameters(&pipeline, &parameters)?).await?;
        pipeline.launchdarkly.forget_requests();
        let answer = store.post(&webhook()).await?;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (500, &json!("misconfigured")), "{answer:?}");
        let message = answer.body["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(KEY_PARAMETER) && message.contains("aws ssm put-parameter"), "{message}");
        assert_eq!(store.fault(&json!({})).await?.0, "misconfigured");
        assert!(pipeline.launchdarkly.requests().is_empty());
        // Once it is there, it works without a restart.
        parameters.set(KEY_PARAMETER, SDK_KEY);
        assert_eq!(store.post(&webhook()).await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_webhook_secret_parameter_is_as_no_secret() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let parameters = ParameterStore::start([(KEY_PARAMETER, SDK_KEY)]).await?;
    let function = with_parameters(&pipeline, &parameters)?;
    let open = Watched::start(&function).await?;
    let at_start = "the webhook secret's parameter does not exist: webhooks are accepted unchecked until it does";
    let line = open.line(at_start).await?;
    assert_eq!((&line["level"], &line["parameter"]), (&json!("WARN"), &json!(SECRET_PARAMETER)));
    for request in [Request::post("{}"), webhook()] {
        assert_eq!(open.post(&request).await?.status, 200);
    }
    let warning = "no webhook secret is configured: this webhook is accepted without a check of its signature";
    let lines = open.lines(warning, 2).await?;
    assert!(lines.iter().all(|line| line["level"] == "WARN"), "{lines:?}");
    assert_eq!((&lines[0]["signed"], &lines[1]["signed"]), (&json!(false), &json!(true)));

    let closed = Watched::start(&function.env("LAUNCHDARKLY_WEBHOOK_SIGNATURE", "required")).await?;
    closed.line("the webhook secret's parameter does not exist: every webhook is refused until it does").await?;
    pipeline.launchdarkly.forget_requests();
    for request in [Request::post("{}"), webhook()] {
        let answer = closed.post(&request).await?;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (401, &json!("no-secret")), "{answer:?}");
    }
    assert!(pipeline.launchdarkly.requests().is_empty());
    // Once there is a secret, both check.
    parameters.set(SECRET_PARAMETER, SECRET);
    for store in [&open, &closed] {
        assert_eq!(store.post(&Request::post("{}")).await?.status, 401);
        assert_eq!(store.post(&webhook()).await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn a_run_that_needs_no_webhook_secret_waits_for_none() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let parameters = ParameterStore::start([]).await?;
    parameters.refuse(Some(Refusal::Silence));
    let function = with_parameters(&pipeline, &parameters)?.env("LAUNCHDARKLY_SDK_KEY", SDK_KEY);
    let store = Watched::start(&function).await?;
    assert_eq!(store.run().await?["outcome"], "updated");
    parameters.refuse(None);
    // Only who still asks can be told.
    store.line("the webhook secret's parameter does not exist: webhooks are accepted unchecked until it does").await?;
    assert_eq!(parameters.reads_of(SECRET_PARAMETER), 1);
    Ok(())
}

#[tokio::test]
async fn parameters_that_cannot_be_read_are_a_500_and_never_a_skipped_check() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let meets = async |refusal: Refusal, said: &str| -> Result<()> {
        let parameters = both().await?;
        parameters.refuse(Some(refusal));
        for signature in ["optional", "required"] {
            let function = with_parameters(&pipeline, &parameters)?.env("LAUNCHDARKLY_WEBHOOK_SIGNATURE", signature);
            // The key at hand, so that it is the webhook's secret alone that is missing.
            let store = Watched::start(&function.env("LAUNCHDARKLY_SDK_KEY", SDK_KEY)).await?;
            for request in [Request::post("{}"), webhook()] {
                let answer = store.post(&request).await?;
                let error = &answer.body["error"];
                anyhow::ensure!(answer.status == 500 && error["code"] == "misconfigured", "{refusal:?}: {answer:?}");
                let message = error["message"].as_str().unwrap_or_default();
                anyhow::ensure!(message.contains(SECRET_PARAMETER) && message.contains(said), "{refusal:?}: {message}");
            }
        }
        let store = Watched::start(&with_parameters(&pipeline, &parameters)?).await?;
        let (code, message) = store.fault(&json!({})).await?;
        anyhow::ensure!(code == "misconfigured" && message.contains(KEY_PARAMETER), "{refusal:?}: {code}: {message}");
        parameters.refuse(None);
        anyhow::ensure!(store.fault(&json!({})).await.is_err(), "{refusal:?}: it did not recover");
        Ok(())
    };
    tokio::try_join!(
        meets(Refusal::AccessDenied, "ssm:GetParameter"),
        meets(Refusal::Throttled, "throttles"),
        meets(Refusal::Broken, "no usable answer"),
        meets(Refusal::HangUp, "no usable answer"),
    )?;
    // The calls that recovered have filled the table; none of the others has reached LaunchDarkly.
    assert!(pipeline.launchdarkly.requests().iter().all(|request| request.status == 200));
    assert_eq!(pipeline.launchdarkly.requests().len(), 4);
    Ok(())
}

#[tokio::test]
async fn nobody_at_the_address_of_ssm_is_a_500() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let parameters = both().await?;
    // Bound, but nobody listens.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let nowhere = format!("http://{}", socket.local_addr()?);
    let store = Watched::start(&with_parameters(&pipeline, &parameters)?.env("AWS_ENDPOINT_URL_SSM", nowhere)).await?;
    let answer = store.post(&webhook()).await?;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (500, &json!("misconfigured")), "{answer:?}");
    assert!(pipeline.launchdarkly.requests().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_rotated_webhook_secret_works_without_a_restart() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let parameters = both().await?;
    let store = Watched::start(&with_parameters(&pipeline, &parameters)?).await?;
    let rotated = "rotated-secret-of-this-test";
    store.keep_secret(rotated);
    let signed = |secret: &str| Request::signed(secret, entry("sample-flag", "updateOn", Some(1)));
    assert_eq!(store.post(&signed(SECRET)).await?.status, 200);
    assert_eq!(store.post(&signed(rotated)).await?.status, 401);

    parameters.set(SECRET_PARAMETER, rotated);
    assert_eq!(store.post(&signed(rotated)).await?.status, 200);
    let reads = parameters.reads_of(SECRET_PARAMETER);
    assert_eq!(store.post(&signed(rotated)).await?.status, 200);
    assert_eq!(parameters.reads_of(SECRET_PARAMETER), reads, "the new secret is kept");
    assert_eq!(store.post(&signed(SECRET)).await?.status, 401, "the old secret counts no longer");
    Ok(())
}

#[tokio::test]
async fn forged_signatures_do_not_hammer_ssm() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let parameters = both().await?;
    let store = Watched::start(&with_parameters(&pipeline, &parameters)?).await?;
    for number in 0..40 {
        assert_eq!(store.post(&Request::signed("forged", format!("{{\"n\":{number}}}"))).await?.status, 401);
    }
    for _ in 0..40 {
        assert_eq!(store.post(&Request::post("{}")).await?.status, 401);
    }
    // One at first, a few at once, and perhaps one more after ten seconds on a slow machine.
    assert!(parameters.reads_of(SECRET_PARAMETER) <= 1 + 3 + 1, "{}", parameters.reads_of(SECRET_PARAMETER));
    assert_eq!(store.post(&webhook()).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_rotated_sdk_key_works_without_a_restart() -> Result<()> {
    let pipeline = Pipeline::start_with(StandinOptions::default().sdk_key("sdk-rotated")).await?;
    let parameters = both().await?;
    let store = Watched::start(&with_parameters(&pipeline, &parameters)?).await?;
    store.keep_secret("sdk-rotated");
    assert_eq!(store.fault(&json!({})).await?.0, "sdk-key-refused");
    assert_eq!(pipeline.launchdarkly.requests().len(), 1, "the same key is not tried twice");
    parameters.set(KEY_PARAMETER, "sdk-rotated");
    assert_eq!(store.run().await?["outcome"], "updated");
    let reads = parameters.reads_of(KEY_PARAMETER);
    assert_eq!(store.post(&webhook()).await?.status, 200);
    assert_eq!(parameters.reads_of(KEY_PARAMETER), reads, "the new key is kept");
    Ok(())
}
