//! Against a server that answers as the REST API does, or refuses.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::json;

use super::*;
use crate::test_server::{Answer, TestServer, answer};

struct Api {
    server: TestServer,
    client: RestClient,
    deadline: Instant,
}

async fn api(answers: Vec<Vec<u8>>) -> Api {
    let server = TestServer::start(answers.into_iter().map(Answer::Send).collect()).await;
    let limits = Limits { attempts: 2, first_pause: Duration::from_millis(1), ..Limits::default() };
    let token = SecretString::from("api-secret");
    Api {
        client: RestClient::new(server.uri(), &token, limits).expect("a client"),
        deadline: Instant::now() + Duration::from_mins(1),
        server,
    }
}

fn ok(body: &Value) -> Vec<u8> {
    answer("200 OK", &["Content-Type: application/json"], body.to_string())
}

fn flag() -> Value {
    json!({ "key": "f", "environments": { "e": { "on": false, "version": 3 } } })
}

fn turn_on() -> [PatchOperation; 1] {
    [PatchOperation::Replace { path: pointer(&["environments", "e", "on"]), value: true.into() }]
}

#[tokio::test]
async fn reads_a_flag_of_one_environment() {
    let api = api(vec![ok(&flag())]).await;
    let read = api.client.flag("p", "f g/h", "e", api.deadline).await.unwrap();
    assert_eq!(read.state("e"), Some(FlagState { version: 3, on: false, variation: None }));
    let request = &api.server.requests()[0];
    assert!(request.starts_with("GET /api/v2/flags/p/f%20g%2Fh?env=e HTTP/1.1\r\n"), "{request}");
    let request = request.to_ascii_lowercase();
    for header in ["authorization: api-secret", "ld-api-version: 20240415", "user-agent: flagcache/"] {
        assert!(request.contains(header), "{header} in {request}");
    }
}

#[tokio::test]
async fn sends_a_patch_with_its_comment() {
    let api = api(vec![ok(&flag())]).await;
    api.client.patch_flag("p", "f", &turn_on(), "by rc", api.deadline).await.unwrap();
    let request = &api.server.requests()[0];
    assert!(request.starts_with("PATCH /api/v2/flags/p/f HTTP/1.1\r\n"), "{request}");
    assert!(request.to_ascii_lowercase().contains("content-type: application/json\r\n"), "{request}");
    let body = request.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(
        serde_json::from_str::<Value>(body).unwrap(),
        json!({
            "comment": "by rc",
            "patch": [{ "op": "replace", "path": "/environments/e/on", "value": true }],
        })
    );
}

#[tokio::test]
async fn lists_the_environments_of_every_page() {
    let environment = |key: &str| {
        json!({
            "_id": format!("id-{key}"), "key": key, "name": key, "color": "000000", "tags": [],
            "apiKey": format!("sdk-{key}"), "mobileKey": format!("mob-{key}"),
            "secureMode": true, "defaultTtl": 5,
        })
    };
    let api = api(vec![
        ok(&json!({ "totalCount": 3, "items": [environment("a"), environment("b")] })),
        ok(&json!({ "totalCount": 3, "items": [environment("c")] })),
    ])
    .await;
    let environments = api.client.environments("p", api.deadline).await.unwrap();
    let keys: Vec<&str> = environments.iter().map(|environment| environment.key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert_eq!(environments[2].sdk_key.expose_secret(), "sdk-c");
    assert_eq!((environments[2].secure_mode, environments[2].default_ttl_minutes), (true, 5));
    assert!(!format!("{environments:?}").contains("sdk-c"));
    let paths: Vec<String> =
        api.server.requests().iter().map(|request| request.lines().next().unwrap().to_owned()).collect();
    assert_eq!(
        paths,
        [
            "GET /api/v2/projects/p/environments?limit=100&offset=0 HTTP/1.1",
            "GET /api/v2/projects/p/environments?limit=100&offset=2 HTTP/1.1",
        ]
    );
}

#[tokio::test]
async fn says_whose_token_it_is() {
    let api = api(vec![ok(&json!({ "tokenName": "on call", "memberId": "m", "scopes": [] }))]).await;
    let identity = api.client.caller_identity(api.deadline).await.unwrap();
    assert_eq!(identity.token_name.as_deref(), Some("on call"));
    assert!(api.server.requests()[0].starts_with("GET /api/v2/caller-identity "));
}

#[tokio::test]
async fn refusals_come_in_launchdarklys_words() {
    for (status, body, expected) in [
        (
            "404 Not Found",
            r#"{"code":"not_found","message":"Unknown flag key f"}"#,
            "GET /api/v2/flags/p/f: status 404 (not_found): Unknown flag key f",
        ),
        (
            "401 Unauthorized",
            r#"{"message":"Invalid access token"}"#,
            "GET /api/v2/flags/p/f: status 401: Invalid access token (it has to be an API access \
             token, api-…, not an SDK key)",
        ),
        ("400 Bad Request", "<html>", "GET /api/v2/flags/p/f: status 400"),
    ] {
        let api = api(vec![answer(status, &[], body)]).await;
        let error = api.client.flag("p", "f", "e", api.deadline).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!error.is_unavailable());
        assert_eq!(api.server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_rate_limit_is_obeyed_where_there_is_time_and_reported_where_not() {
    let refusal = |wait: &str| {
        let headers = [&format!("Retry-After: {wait}"), "X-Ratelimit-Route-Remaining: 0"];
        answer("429 Too Many Requests", &headers, r#"{"code":"rate_limited","message":"m"}"#)
    };
    let patient = api(vec![refusal("0"), ok(&flag())]).await;
    patient.client.flag("p", "f", "e", patient.deadline).await.unwrap();

    let hurried = api(vec![refusal("900")]).await;
    let error = hurried.client.flag("p", "f", "e", hurried.deadline).await.unwrap_err();
    assert_eq!(error.to_string(), "GET /api/v2/flags/p/f: too many requests for this kind of call; try again in 900 s");
    assert_eq!((error.status(), error.is_unavailable()), (Some(429), true));
}

#[tokio::test]
async fn a_patch_that_tests_is_not_sent_twice() {
    let test = PatchOperation::Test { path: pointer(&["environments", "e", "version"]), value: 3.into() };
    let cautious = [&[test][..], &turn_on()].concat();
    for (patch, first, expected) in [
        (&turn_on()[..], answer("503 Unavailable", &[], ""), 2),
        (&turn_on(), answer("409 Conflict", &[], ""), 2),
        (&turn_on(), Vec::new(), 2),
        (&cautious, answer("503 Unavailable", &[], ""), 1),
        (&cautious, answer("409 Conflict", &[], ""), 1),
        (&cautious, Vec::new(), 1),
        (&cautious, answer("429 Too Many", &["Retry-After: 0"], ""), 2),
    ] {
        let api = api(vec![first, ok(&flag())]).await;
        let result = api.client.patch_flag("p", "f", patch, "c", api.deadline).await;
        assert_eq!((result.is_ok(), api.server.requests().len()), (expected == 2, expected));
    }
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_error() {
    let not_json = api(vec![answer("200 OK", &[], "<html>")]).await;
    let error = not_json.client.flag("p", "f", "e", not_json.deadline).await.unwrap_err();
    assert!(error.to_string().ends_with("is LAUNCHDARKLY_API_URI right?"), "{error}");

    let no_items = api(vec![ok(&json!({}))]).await;
    let error = no_items.client.environments("p", no_items.deadline).await.unwrap_err();
    assert_eq!(error.to_string(), "read a list of environments in LaunchDarkly's answer");
}

#[tokio::test]
async fn the_token_follows_no_redirect_and_appears_nowhere() {
    let redirect = answer("302 Found", &["Location: http://h/login?return=x"], "");
    let api = api(vec![redirect]).await;
    let error = api.client.flag("p", "f", "e", api.deadline).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "GET /api/v2/flags/p/f: redirects to http://h/login; set LAUNCHDARKLY_API_URI to where \
         the API is"
    );
    let token = SecretString::from("api-secret\n");
    let refused = RestClient::new(api.server.uri(), &token, Limits::default()).unwrap_err();
    for text in [format!("{error:?}"), format!("{refused:?}"), format!("{:?}", api.client)] {
        assert!(!text.contains("api-secret"), "{text}");
    }
}

#[tokio::test]
async fn keys_that_no_url_can_name_are_not_asked_for() {
    let api = api(vec![]).await;
    for key in ["", ".", ".."] {
        let error = api.client.flag("p", key, "e", api.deadline).await.unwrap_err();
        assert!(matches!(error, RestError::Unaddressable { .. }), "{error:?}");
    }
}
