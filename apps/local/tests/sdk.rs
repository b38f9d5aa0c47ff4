//! The official Rust SDK against the stand-in, unchanged: streaming, polling, events.

#![expect(clippy::unwrap_used, reason = "a test")]

use launchdarkly_server_sdk::{
    Client, ConfigBuilder, Context, ContextBuilder, PollingDataSourceBuilder, ServiceEndpointsBuilder,
};
use local::patience::{self, PATIENCE};
use local::standin::{Endpoint, ItemKind, Misbehaviour, Standin, StandinOptions};
use serde_json::json;
use std::time::Duration;

async fn connect(standin: &Standin, config: ConfigBuilder) -> Client {
    // The client also installs the TLS provider that the SDK looks for.
    local::http_client();
    let config = config.service_endpoints(ServiceEndpointsBuilder::new().relay_proxy(&standin.url())).build().unwrap();
    let client = Client::build(config).unwrap();
    client.start_with_default_executor();
    assert_eq!(client.wait_for_initialization(PATIENCE).await, Some(true));
    client
}

fn user(key: &str) -> Context {
    ContextBuilder::new(key).build().unwrap()
}

/// The SDK tells nobody of changes, so there is nothing to await.
async fn until(mut is_so: impl FnMut() -> bool) {
    patience::until(async || is_so(), || "a change at the client".to_owned()).await.unwrap();
}

#[tokio::test]
async fn a_streaming_client_sees_put_patch_and_delete() {
    let standin = Standin::start(StandinOptions::default()).await.unwrap();
    let client = connect(&standin, ConfigBuilder::new("sdk-local")).await;
    let user = user("user-1");
    let is_on = |flag: &str| client.bool_variation(&user, flag, false);
    assert!(!is_on("sample-flag"));
    assert!(is_on("new-checkout"));
    assert_eq!(client.str_variation(&user, "SAMPLE_API_URL", String::new()), "https://api-v2.example.com");

    standin.set_flag_on("sample-flag", true).unwrap();
    until(|| is_on("sample-flag")).await;

    standin.delete_flag("sample-flag").unwrap();
    until(|| !is_on("sample-flag")).await;

    standin.set_field(ItemKind::Segment, "beta-testers", "included", json!(["user-1"])).unwrap();
    until(|| is_on("beta-dashboard")).await;

    standin.set_data(r#"{"flags":{},"segments":{}}"#).unwrap();
    until(|| !is_on("new-checkout")).await;
}

#[tokio::test]
async fn a_stream_that_is_closed_or_cut_off_is_opened_again() {
    let standin = Standin::start(StandinOptions::default()).await.unwrap();
    standin.misbehave(Misbehaviour::cut_off(20).at(Endpoint::Stream).times(1));
    let client = connect(&standin, ConfigBuilder::new("sdk-local")).await;
    standin.close_streams();
    standin.wait_for_requests(Endpoint::Stream, 3).await.unwrap();
    standin.set_flag_on("sample-flag", true).unwrap();
    until(|| client.bool_variation(&user("u"), "sample-flag", false)).await;
}

#[tokio::test]
async fn a_polling_client_initialises() {
    let standin = Standin::start(StandinOptions::default()).await.unwrap();
    let mut polling = PollingDataSourceBuilder::<launchdarkly_sdk_transport::HyperTransport>::new();
    polling.poll_interval(Duration::from_millis(10));
    let client = connect(&standin, ConfigBuilder::new("sdk-local").data_source(&polling)).await;
    assert_eq!(client.variation(&user("user-7"), "page-size", 0), 50.into());
    let request = &standin.requests_to(Endpoint::Polling)[0];
    assert_eq!((request.path.as_str(), request.status), ("/sdk/latest-all", 200));
}

#[tokio::test]
async fn events_arrive() {
    let standin = Standin::start(StandinOptions::default()).await.unwrap();
    let client = connect(&standin, ConfigBuilder::new("sdk-local")).await;
    client.bool_variation(&user("u"), "sample-flag", false);
    assert!(client.flush_blocking(PATIENCE).await);
    let events = standin.wait_for_events(2).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"summary") && kinds.contains(&"index"), "{kinds:?}");
}

#[tokio::test]
async fn every_flag_of_the_demonstration_data_evaluates() {
    let standin = Standin::start(StandinOptions::default()).await.unwrap();
    let client = connect(&standin, ConfigBuilder::new("sdk-local")).await;
    let mut builder = ContextBuilder::new("user-1");
    let german = builder.set_string("country", "DE").set_string("email", "a@example.com").build().unwrap();
    for (context, flag, expected) in [
        (&user("user-1"), "express-checkout", json!(false)),
        (&german, "express-checkout", json!(true)),
        (&german, "page-size", json!(100.0)),
        (&user("user-42"), "beta-dashboard", json!(true)),
        (&user("user-13"), "beta-dashboard", json!(false)),
        (&user("user-1"), "theme", json!({"accent": "#405bff", "dark": false})),
        (&user("user-1"), "search-ranking", json!("classic")),
        (&user("user-1"), "SAMPLE_APP_URL", json!("https://app-api.example.com")),
    ] {
        let value = client.json_variation(context, flag, json!(null));
        assert_eq!(value, expected, "{flag}");
    }
}
