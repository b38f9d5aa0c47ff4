//! Flags over a source that is told what to answer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use flagcache_payload::Payload;
use flagcache_sdk::context;
use serde_json::json;

use super::*;
use crate::source::{Looked, Problem};

/// Answers looks in order; the last answer is given again and again.
struct Scripted {
    answers: Mutex<VecDeque<Answer>>,
    looks: AtomicUsize,
}

#[derive(Clone)]
enum Answer {
    /// A flag `on` of this value, as of this generation.
    News(bool, u64),
    NoNews,
    Fault,
    Never,
    /// News that take this long.
    Slow(Duration),
}

impl Source for Arc<Scripted> {
    fn look(&self) -> Looked<'_> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move {
            // As a request would: others get their turn meanwhile.
            tokio::task::yield_now().await;
            match answer.unwrap() {
                Answer::News(on, generation) => Ok(Some(News { items: items(on), generation: Some(generation) })),
                Answer::NoNews => Ok(None),
                Answer::Fault => Err(Fault { problem: Problem::NoTable, message: "no table".to_owned() }),
                Answer::Never => std::future::pending().await,
                Answer::Slow(duration) => {
                    tokio::time::sleep(duration).await;
                    Ok(Some(News { items: items(false), generation: Some(2) }))
                }
            }
        })
    }
}

fn items(on: bool) -> Arc<dyn Items> {
    let flag = |key: &str, value: serde_json::Value| {
        json!({"key": key, "version": 1, "on": on, "variations": [null, value],
        "fallthrough": {"variation": 1}})
    };
    let body = json!({"flags": {"on": flag("on", json!(true)), "text": flag("text", json!("words")),
        "number": flag("number", json!(1.99)), "json": flag("json", json!({"a": [1]}))}});
    Arc::new(Payload::parse(body.to_string().into()).unwrap())
}

fn flags(ttl_seconds: u64, answers: &[Answer]) -> (Flags, Arc<Scripted>) {
    let answers = Mutex::new(answers.iter().cloned().collect());
    let source = Arc::new(Scripted { answers, looks: AtomicUsize::new(0) });
    let config = Config {
        table: "t".to_owned(),
        prefix: String::new(),
        cache_ttl: Duration::from_secs(ttl_seconds),
        events: None,
    };
    (Flags::over(&config, Box::new(Arc::clone(&source))), source)
}

fn looks(source: &Scripted) -> usize {
    source.looks.load(Ordering::SeqCst)
}

async fn is_on(flags: &Flags) -> bool {
    flags.bool_variation("on", &context::keyed("k").unwrap(), false).await
}

#[tokio::test]
async fn flags_are_read_once_within_their_time_to_live() {
    let (flags, source) = flags(15, &[Answer::News(true, 7)]);
    assert_eq!(flags.status().state, State::Empty);
    assert!(is_on(&flags).await);
    assert!(is_on(&flags).await);
    assert_eq!(looks(&source), 1);
    let status = flags.status();
    assert_eq!((status.state, status.generation, status.fault), (State::Ok, Some(7), None));
    assert!(status.age.is_some());
}

#[tokio::test]
async fn without_a_time_to_live_every_evaluation_looks() {
    let (flags, source) = flags(0, &[Answer::News(false, 1), Answer::NoNews, Answer::News(true, 2), Answer::NoNews]);
    assert!(!is_on(&flags).await);
    assert!(!is_on(&flags).await);
    assert!(is_on(&flags).await);
    assert!(is_on(&flags).await);
    assert_eq!((looks(&source), flags.status().generation), (4, Some(2)));
}

#[tokio::test]
async fn a_failed_look_goes_on_with_what_is_there() {
    let (flags, _) = flags(0, &[Answer::News(true, 1), Answer::Fault, Answer::NoNews]);
    assert!(is_on(&flags).await);
    assert!(is_on(&flags).await);
    let status = flags.status();
    assert_eq!((status.state, status.generation), (State::Stale, Some(1)));
    assert_eq!(status.fault.unwrap().message, "no table");
    assert!(is_on(&flags).await);
    assert_eq!((flags.status().state, flags.status().fault), (State::Ok, None));
}

#[tokio::test]
async fn with_nothing_read_callers_get_their_defaults_and_the_cause_is_known() {
    let (flags, source) = flags(15, &[Answer::Fault, Answer::Fault, Answer::News(true, 1)]);
    assert!(!is_on(&flags).await);
    assert_eq!(flags.evaluate("on", &context::keyed("k").unwrap()).await, None);
    assert_eq!(flags.status().fault.unwrap().problem, Problem::NoTable);
    assert!(is_on(&flags).await, "the next use looks again");
    assert_eq!(looks(&source), 3);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_answers_costs_a_bounded_time() {
    let (flags, _) = flags(0, &[Answer::Never, Answer::News(true, 1), Answer::Never]);
    let before = tokio::time::Instant::now();
    flags.look(Duration::from_millis(1500)).await;
    assert_eq!(before.elapsed(), Duration::from_millis(1500));
    assert_eq!(flags.status().fault.unwrap().message, "DynamoDB gave no answer within 1500 ms");
    assert!(is_on(&flags).await);
    assert!(is_on(&flags).await);
    assert_eq!(before.elapsed(), Duration::from_millis(1500) + LOOK_FOR_NEWS);
    assert_eq!(flags.status().state, State::Stale);
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_than_one_look_is_read_in_the_end() {
    let (flags, source) = flags(0, &[Answer::News(true, 1), Answer::Slow(Duration::from_millis(3_500))]);
    assert!(is_on(&flags).await);
    for look in 2..4 {
        assert!(is_on(&flags).await);
        assert_eq!((looks(&source), flags.status().state), (look, State::Stale));
    }
    assert!(!is_on(&flags).await);
    assert_eq!((flags.status().state, flags.status().generation), (State::Ok, Some(2)));
}

#[tokio::test]
async fn two_uses_at_once_look_once() {
    let (flags, source) = flags(15, &[Answer::News(true, 1)]);
    assert_eq!(tokio::join!(is_on(&flags), is_on(&flags)), (true, true));
    assert_eq!(looks(&source), 1);
}

#[tokio::test]
async fn values_come_as_asked_for_or_not_at_all() {
    let (flags, _) = flags(15, &[Answer::News(true, 1)]);
    let somebody = context::keyed("k").unwrap();
    assert_eq!(flags.str_variation("text", &somebody, "d").await, "words");
    assert_eq!(flags.str_variation("number", &somebody, "d").await, "d");
    assert!((flags.float_variation("number", &somebody, 0.0).await - 1.99).abs() < f64::EPSILON);
    assert!((flags.float_variation("missing", &somebody, 0.5).await - 0.5).abs() < f64::EPSILON);
    assert!(!flags.bool_variation("text", &somebody, false).await);
    assert_eq!(flags.json_variation("json", &somebody, json!(0)).await, json!({"a": [1]}));
    assert_eq!(flags.json_variation("missing", &somebody, json!(0)).await, json!(0));
    assert!(flags.evaluate("missing", &somebody).await.unwrap().is_unknown());
}
