//! The cache against a scripted SSM and a clock in the test's hand.

use super::*;
use crate::scripted::{Asked, Reply, Scripted, config, impatient};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const NAME: &str = "/flagcache/webhook-secret";

/// An SSM that holds one parameter, and what is needed to look on.
struct Stage {
    secrets: Arc<Secrets>,
    source: SecretSource,
    reply: Arc<Mutex<Reply>>,
    reads: Arc<AtomicUsize>,
    seconds: Arc<AtomicU64>,
}

fn parameter(value: &str) -> Reply {
    Reply::json(200, &json!({"Parameter": {"Name": NAME, "Type": "SecureString", "Value": value, "Version": 1}}))
}

fn failure(code: &str, message: &str) -> Reply {
    Reply::json(400, &json!({"__type": code, "message": message}))
}

impl Stage {
    async fn set(reply: Reply) -> Self {
        let reply = Arc::new(Mutex::new(reply));
        let reads = Arc::new(AtomicUsize::new(0));
        let (script, count) = (reply.clone(), reads.clone());
        let server = Scripted::start(move |asked: Asked| {
            assert_eq!(asked.target, "AmazonSSM.GetParameter");
            assert_eq!(asked.body, json!({"Name": NAME, "WithDecryption": true}));
            count.fetch_add(1, Ordering::SeqCst);
            script.lock().unwrap().clone()
        })
        .await;
        let seconds = Arc::new(AtomicU64::new(1_700_000_000));
        let clock = seconds.clone();
        let mut secrets = Secrets::new(config(&server.url()).await);
        secrets.clock = Box::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::SeqCst)));
        let source = SecretSource::Parameter(NAME.to_owned());
        Self { secrets: Arc::new(secrets), source, reply, reads, seconds }
    }

    fn holds(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    fn passes(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    async fn get(&self) -> Result<String, SecretError> {
        self.secrets.get(&self.source).await.map(|secret| secret.expose_secret().to_owned())
    }

    async fn refresh(&self) -> Result<String, SecretError> {
        self.secrets.refresh(&self.source).await.map(|secret| secret.expose_secret().to_owned())
    }
}

#[tokio::test]
async fn a_value_is_taken_as_it_is_without_a_read() {
    let stage = Stage::set(Reply::close()).await;
    let source = SecretSource::Value("here".into());
    assert_eq!(stage.secrets.get(&source).await.unwrap().expose_secret(), "here");
    assert_eq!(stage.secrets.refresh(&source).await.unwrap().expose_secret(), "here");
    assert_eq!(stage.reads(), 0);
}

#[tokio::test]
async fn a_parameter_is_read_again_after_five_minutes_of_wall_clock() {
    let stage = Stage::set(parameter("one\n")).await;
    assert_eq!(stage.get().await.unwrap(), "one");
    stage.holds(parameter("two"));
    stage.passes(299);
    assert_eq!(stage.get().await.unwrap(), "one");
    stage.passes(1);
    assert_eq!(stage.get().await.unwrap(), "two");
    assert_eq!(stage.reads(), 2);
}

#[tokio::test]
async fn a_clock_that_goes_back_makes_no_value_last_longer() {
    let stage = Stage::set(parameter("one")).await;
    stage.get().await.unwrap();
    stage.seconds.fetch_sub(3600, Ordering::SeqCst);
    stage.get().await.unwrap();
    assert_eq!(stage.reads(), 2);
}

#[tokio::test]
async fn a_refresh_sees_a_rotated_secret_at_once_and_is_rationed() {
    let stage = Stage::set(parameter("one")).await;
    stage.get().await.unwrap();
    stage.holds(parameter("two"));
    assert_eq!(stage.refresh().await.unwrap(), "two");
    assert_eq!(stage.get().await.unwrap(), "two");
    for _ in 0..20 {
        stage.refresh().await.unwrap();
    }
    assert_eq!(stage.reads(), 4, "one read and three forced ones");
    stage.holds(parameter("three"));
    assert_eq!(stage.refresh().await.unwrap(), "two");
    stage.passes(10);
    assert_eq!(stage.refresh().await.unwrap(), "three");
    assert_eq!(stage.refresh().await.unwrap(), "three");
    assert_eq!(stage.reads(), 5);
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_read_and_its_failure() {
    let stage = Stage::set(parameter("one")).await;
    let ten = async |refresh: bool| {
        let calls = (0..10).map(|_| {
            let (secrets, source) = (stage.secrets.clone(), stage.source.clone());
            tokio::spawn(
                async move { if refresh { secrets.refresh(&source).await } else { secrets.get(&source).await } },
            )
        });
        let calls: Vec<_> = calls.collect();
        let mut outcomes = Vec::new();
        for call in calls {
            outcomes.push(call.await.unwrap().map(|_| ()).map_err(|error| error.fault));
        }
        outcomes
    };
    assert_eq!(ten(false).await, [Ok(()); 10]);
    assert_eq!(stage.reads(), 1);
    assert_eq!(ten(true).await, [Ok(()); 10]);
    assert_eq!(stage.reads(), 2);
    stage.passes(301);
    stage.holds(failure("ParameterNotFound", ""));
    assert_eq!(ten(false).await, [Err(SecretFault::Missing); 10]);
    assert_eq!(stage.reads(), 3);
}

#[tokio::test]
async fn an_older_value_serves_for_an_hour_while_ssm_cannot_answer() {
    let stage = Stage::set(parameter("one")).await;
    stage.get().await.unwrap();
    stage.holds(failure("ThrottlingException", "Rate exceeded"));
    stage.passes(3599);
    assert_eq!(stage.get().await.unwrap(), "one");
    assert_eq!(stage.refresh().await.unwrap_err().fault, SecretFault::Throttled);
    stage.passes(1);
    assert_eq!(stage.get().await.unwrap_err().fault, SecretFault::Throttled);
}

#[tokio::test]
async fn a_parameter_that_is_gone_or_denied_serves_no_longer() {
    let stage = Stage::set(parameter("one")).await;
    stage.get().await.unwrap();
    stage.passes(300);
    stage.holds(failure("AccessDeniedException", "is not authorized to perform: ssm:GetParameter on resource: r"));
    assert_eq!(stage.get().await.unwrap_err().fault, SecretFault::Denied);
}

#[tokio::test]
async fn every_failure_names_the_parameter_and_its_remedy() {
    let denied = "User: u is not authorized to perform: ssm:GetParameter on resource: arn:p because no policy";
    let kms = "The ciphertext refers to a customer master key that does not exist";
    for (reply, fault, words) in [
        (
            failure("ParameterNotFound", ""),
            SecretFault::Missing,
            "aws ssm put-parameter --name /flagcache/webhook-secret --type SecureString",
        ),
        (parameter(" \n"), SecretFault::Missing, "it is empty"),
        (Reply::json(200, &json!({})), SecretFault::Missing, "it is empty"),
        (failure("AccessDeniedException", denied), SecretFault::Denied, "ssm:GetParameter on arn:p"),
        (failure("AccessDeniedException", kms), SecretFault::Decryption, "kms:Decrypt"),
        (failure("InvalidKeyId", ""), SecretFault::Decryption, "kms:Decrypt"),
        (failure("UnrecognizedClientException", "bad token"), SecretFault::Credentials, "AWS_ACCESS_KEY_ID"),
        (failure("ThrottlingException", "Rate exceeded"), SecretFault::Throttled, "Rate exceeded"),
        (Reply::json(500, &Value::Null), SecretFault::Unreachable, "HTTP 500"),
        (Reply::close(), SecretFault::Unreachable, "check the network"),
        (Reply::hang(), SecretFault::Unreachable, "no answer in time"),
    ] {
        let hangs = matches!(reply, Reply::Hang);
        let mut stage = Stage::set(reply).await;
        if hangs {
            let secrets = Arc::get_mut(&mut stage.secrets).unwrap();
            secrets.config = impatient(&secrets.config);
        }
        let error = stage.get().await.unwrap_err();
        assert_eq!(error.fault, fault, "{error}");
        let text = error.to_string();
        assert!(text.starts_with("read the SSM parameter \"/flagcache/webhook-secret\": "), "{text}");
        assert!(text.contains(words) && !text.contains('\n'), "{text}");
    }
}
