//! Against a server whose answers are right, late, cut off or nonsense.

use std::error::Error as _;
use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::*;
use crate::ExchangeError;
use crate::test_server::{Answer, TestServer, answer, head};

const PAYLOAD: &str = r#"{"flags":{},"segments":{}}"#;

fn limits() -> Limits {
    Limits { attempts: 1, first_pause: Duration::from_millis(1), ..Limits::default() }
}

fn key() -> SecretString {
    SecretString::from("sdk-secret")
}

async fn fetch_with(uri: BaseUri, limits: Limits) -> Result<Fetched, FetchError> {
    let client = PollingClient::new(uri, limits).expect("a client");
    let deadline = Instant::now() + Duration::from_mins(1);
    client.latest_all(&key(), Some("\"v1\""), deadline).await
}

async fn fetch(answers: Vec<Vec<u8>>, limits: Limits) -> (Result<Fetched, FetchError>, Vec<String>) {
    let server = TestServer::start(answers.into_iter().map(Answer::Send).collect()).await;
    let result = fetch_with(server.uri(), limits).await;
    (result, server.requests())
}

async fn error_of(answer: Vec<u8>) -> FetchError {
    fetch(vec![answer], limits()).await.0.expect_err("an error")
}

fn payload(etag: Option<&str>) -> Fetched {
    Fetched::Payload { body: Bytes::from(PAYLOAD), etag: etag.map(str::to_owned) }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("compress");
    encoder.finish().expect("compress")
}

#[tokio::test]
async fn sends_what_sdks_send_and_hands_out_the_body_as_it_is() {
    let (result, requests) = fetch(vec![answer("200 OK", &["ETag: W/\"v2\""], PAYLOAD)], limits()).await;
    assert_eq!(result.unwrap(), payload(Some("W/\"v2\"")));
    let request = requests[0].to_ascii_lowercase();
    assert!(request.starts_with("get /sdk/latest-all http/1.1\r\n"), "{request}");
    for header in
        ["authorization: sdk-secret", "if-none-match: \"v1\"", "accept-encoding: gzip", "user-agent: flagcache/"]
    {
        assert!(request.contains(header), "{header} in {request}");
    }
}

#[tokio::test]
async fn an_unchanged_payload_is_not_sent_again() {
    let (result, _) = fetch(vec![head("304 Not Modified", &[], "ETag: \"v1\"")], limits()).await;
    assert_eq!(result.unwrap(), Fetched::NotModified);
}

#[tokio::test]
async fn a_304_that_nobody_asked_for_is_an_error() {
    let server = TestServer::start(vec![Answer::Send(head("304 Not Modified", &[], "A: b"))]).await;
    let client = PollingClient::new(server.uri(), limits()).unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    let error = client.latest_all(&key(), None, deadline).await.unwrap_err();
    assert!(matches!(error, FetchError::UnexpectedStatus { status: 304, .. }), "{error:?}");
    assert!(!server.requests()[0].contains("if-none-match"));
}

#[tokio::test]
async fn decompresses_gzip() {
    let body = "0123456789".repeat(100_000);
    let header = &["Content-Encoding: gzip"];
    let (result, _) = fetch(vec![answer("200 OK", header, gzip(body.as_bytes()))], limits()).await;
    let expected = Fetched::Payload { body: Bytes::from(body), etag: None };
    assert_eq!(result.unwrap(), expected);
}

#[tokio::test]
async fn joins_chunks() {
    let mut chunked = head("200 OK", &[], "Transfer-Encoding: chunked");
    let (first, second) = PAYLOAD.split_at(7);
    for part in [first, second, ""] {
        chunked.extend(format!("{:x}\r\n{part}\r\n", part.len()).bytes());
    }
    let (result, _) = fetch(vec![chunked], limits()).await;
    assert_eq!(result.unwrap(), payload(None));
}

#[tokio::test]
async fn asks_again_while_the_server_is_unavailable() {
    for status in ["503 Unavailable", "500 Error", "408 Timeout", "429 Too Many\r\nRetry-After: 0"] {
        let answers = vec![answer(status, &[], "no"), answer("200 OK", &[], PAYLOAD)];
        let (result, requests) = fetch(answers, Limits { attempts: 2, ..limits() }).await;
        assert_eq!(result.unwrap(), payload(None), "{status}");
        assert_eq!(requests.len(), 2, "{status}");
    }
}

#[tokio::test]
async fn asks_again_after_a_cut_off_body() {
    let cut_off = [head("200 OK", &[], "Content-Length: 100"), b"{".to_vec()].concat();
    let answers = vec![cut_off, Vec::new(), answer("200 OK", &[], PAYLOAD)];
    let (result, requests) = fetch(answers, Limits { attempts: 3, ..limits() }).await;
    assert_eq!(result.unwrap(), payload(None));
    assert_eq!(requests.len(), 3);
}

#[tokio::test]
async fn does_not_wait_longer_than_the_deadline_allows() {
    let refusal = answer("429 Too Many Requests", &["Retry-After: 600"], "");
    let (result, requests) = fetch(vec![refusal], Limits { attempts: 9, ..limits() }).await;
    let error = result.unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Unavailable { status: 429, retry_after: Some(wait) } if wait.as_secs() == 600
        ),
        "{error:?}"
    );
    assert_eq!(requests.len(), 1);
}

#[tokio::test]
async fn does_not_ask_again_where_the_answer_would_be_the_same() {
    for (status, expected) in [
        ("401 Unauthorized", "fetch the payload: LaunchDarkly refuses the SDK key (status 401)"),
        ("403 Forbidden", "fetch the payload: LaunchDarkly refuses the SDK key (status 403)"),
        ("404 Not Found", "/sdk/latest-all answers with status 404; is LAUNCHDARKLY_BASE_URI"),
        ("400 Bad Request", "/sdk/latest-all answers with status 400"),
        ("204 No Content", "/sdk/latest-all answers with status 204"),
    ] {
        let answer = head(status, &[], "Content-Length: 0");
        let (result, requests) = fetch(vec![answer], Limits { attempts: 3, ..limits() }).await;
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(requests.len(), 1);
    }
}

#[tokio::test]
async fn says_where_the_body_was_cut_off() {
    let cut_off = [head("200 OK", &[], "Content-Length: 100"), b"{\"fla".to_vec()].concat();
    let error = error_of(cut_off).await;
    assert_eq!(error.to_string(), "receive LaunchDarkly's answer: its body was cut off after 5 bytes of 100");
    assert!(error.source().is_some());

    let cut_off = [head("200 OK", &[], "Transfer-Encoding: chunked"), b"5\r\n{\"fla\r\n".to_vec()].concat();
    assert_eq!(
        error_of(cut_off).await.to_string(),
        "receive LaunchDarkly's answer: its body was cut off after 5 bytes"
    );
}

#[tokio::test]
async fn counts_a_compressed_body_as_it_is_sent() {
    let body = gzip(PAYLOAD.as_bytes());
    let length = format!("Content-Length: {}", body.len());
    let head = head("200 OK", &["Content-Encoding: gzip"], &length);
    let error = error_of([head, body[..20].to_vec()].concat()).await;
    assert_eq!(
        error.to_string(),
        format!("receive LaunchDarkly's answer: its body was cut off after 20 bytes of {}", body.len())
    );
}

#[tokio::test]
async fn refuses_gzip_that_is_none_or_incomplete() {
    let whole = gzip(PAYLOAD.as_bytes());
    let mut wrong_checksum = whole.clone();
    let checksum = whole.len() - 8;
    wrong_checksum[checksum] ^= 1;
    for body in [PAYLOAD.as_bytes(), &whole[..20], &whole[..whole.len() - 1], &wrong_checksum, b""] {
        let error = error_of(answer("200 OK", &["Content-Encoding: gzip"], body)).await;
        assert!(matches!(error, FetchError::Exchange(ExchangeError::NotGzip { .. })), "{error:?} for {body:?}");
    }
    let error = error_of(answer("200 OK", &["Content-Encoding: br"], PAYLOAD)).await;
    assert_eq!(error.to_string(), "decompress LaunchDarkly's answer: content encoding \"br\", expected gzip or none");
}

#[tokio::test]
async fn stops_at_the_limit_also_where_little_unfolds_into_much() {
    let limits = Limits { body_bytes: 10_000, ..limits() };
    let chunked = |body: &[u8]| {
        let framing = head("200 OK", &[], "Transfer-Encoding: chunked");
        [framing, format!("{:x}\r\n", body.len()).into(), body.to_vec(), b"\r\n0\r\n\r\n".to_vec()].concat()
    };
    for (answer, is_ok) in [
        (answer("200 OK", &[], [b' '; 10_000]), true),
        (answer("200 OK", &[], [b' '; 10_001]), false),
        (chunked(&[b' '; 10_000]), true),
        (chunked(&[b' '; 10_001]), false),
        (answer("200 OK", &["Content-Encoding: gzip"], gzip(&[b' '; 10_000])), true),
        (answer("200 OK", &["Content-Encoding: gzip"], gzip(&vec![b' '; 10_000_000])), false),
    ] {
        let (result, _) = fetch(vec![answer], limits.clone()).await;
        match result {
            Ok(_) => assert!(is_ok),
            Err(error) => {
                assert!(!is_ok);
                assert!(matches!(error, FetchError::Exchange(ExchangeError::TooLarge { limit: 10_000 })), "{error:?}");
            }
        }
    }
}

#[tokio::test]
async fn waits_no_longer_than_an_attempt_may_take() {
    let body = [head("200 OK", &[], "Content-Length: 100"), b"{\"f".to_vec()].concat();
    for (sent, expected) in [(b"HTTP/1.1 200 OK\r\n".to_vec(), 0), (body, 3)] {
        let server = TestServer::start(vec![Answer::SendAndHang(sent)]).await;
        // What is sent has to arrive within that time.
        let limits = Limits { attempt_timeout: Duration::from_secs(2), ..limits() };
        let error = fetch_with(server.uri(), limits).await.unwrap_err();
        let FetchError::Exchange(ExchangeError::TimedOut { waited, received }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(received, expected);
        assert!(waited >= Duration::from_secs(2), "{waited:?}");
    }
}

#[tokio::test]
async fn a_deadline_cuts_an_attempt_short() {
    let server = TestServer::start(vec![Answer::SendAndHang(Vec::new())]).await;
    let an_hour = Duration::from_hours(1);
    let client =
        PollingClient::new(server.uri(), Limits { attempts: 9, attempt_timeout: an_hour, ..limits() }).unwrap();
    let key = key();
    let fetched = client.latest_all(&key, None, Instant::now() + Duration::from_secs(1));
    let fetched = tokio::time::timeout(an_hour / 60, fetched).await;
    let error = fetched.expect("it is cut short long before the attempt's own time").unwrap_err();
    assert!(matches!(error, FetchError::Exchange(ExchangeError::TimedOut { received: 0, .. })), "{error:?}");
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let uri = format!("http://{address}").parse().unwrap();
    let error = fetch_with(uri, limits()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("reach LaunchDarkly at {address}"));
    assert!(format!("{:?}", error.source()).contains("ConnectionRefused"), "{error:?}");
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_unreachable() {
    let error = error_of(Vec::new()).await;
    assert!(matches!(error, FetchError::Exchange(ExchangeError::Unreachable { .. })), "{error:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_unreachable_over_https() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let _ = stream.write_all(&answer("400 Bad Request", &[], "")).await;
    });
    let error = fetch_with(uri.parse().unwrap(), limits()).await.unwrap_err();
    assert!(format!("{:?}", error.source()).contains("InvalidMessage"), "{error:?}");
}

#[tokio::test]
async fn the_key_follows_no_redirect() {
    let other = TestServer::start(vec![Answer::Send(answer("200 OK", &[], PAYLOAD))]).await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let location = format!("Location: {}/sdk/latest-all?token=secret", other.uri());
        let error = error_of(answer(status, &[&location], "")).await;
        let text = error.to_string();
        assert!(
            text.ends_with(&format!(
                "redirects to {}/sdk/latest-all; set LAUNCHDARKLY_BASE_URI to where the payload is",
                other.uri()
            )),
            "{text}"
        );
    }
    assert!(other.requests().is_empty());
    let error = error_of(answer("302 Found", &["Location: http://u:secret@h/"], "")).await;
    assert!(error.to_string().contains("redirects to http://h/;"), "{error}");
}

#[tokio::test]
async fn a_key_that_no_header_can_carry_is_not_sent() {
    let client = PollingClient::new("http://127.0.0.1:1".parse().unwrap(), limits()).unwrap();
    let key = SecretString::from("sdk-secret\n");
    let error = client.latest_all(&key, None, Instant::now()).await.unwrap_err();
    assert!(matches!(error, FetchError::MalformedKey), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("sdk-secret"));
}
