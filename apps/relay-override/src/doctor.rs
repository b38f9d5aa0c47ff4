//! `rc doctor`: would an override work, would it last, and when would it be seen? Changes nothing.
//!
//! To be run before the night that it is needed in. Each finding is a line: `ok`, `warn`, or
//! `fail`, which makes the exit code 1.

mod cache;
mod table;

use chrono::Utc;

use flagcache_program::one_line;

use crate::cli;
use crate::console::Console;
use crate::environment::{self, Environment};
use crate::exit::Exit;
use crate::journal::JournalError;
use crate::launchdarkly::LaunchDarkly;
use crate::redis_store::{Inspection, RedisStore};
use crate::store::{AnyStore, Store};

pub use cache::CacheTtl;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Ok(String),
    Warn(String),
    Fail(String),
}

/// Examines everything, and says what it found.
///
/// # Errors
/// Never; the findings tell.
pub async fn run(
    arguments: &cli::Doctor,
    stores: &[AnyStore],
    launchdarkly: Option<&LaunchDarkly>,
    variables: &Environment,
    console: &mut Console<'_>,
) -> Result<Exit, JournalError> {
    let place = arguments.project.as_deref().zip(arguments.environment.as_deref());
    let mut is_well = true;
    for store in stores {
        let findings = match store {
            AnyStore::Redis(store) => examine(store, place).await,
            AnyStore::DynamoDb(store) => table::examine(store, place).await,
        };
        for finding in findings {
            is_well &= say(store.name(), &finding, console);
        }
    }
    if stores.iter().any(|store| matches!(store, AnyStore::Redis(_))) {
        let configuration = std::fs::read_to_string(&arguments.relay_config).ok();
        let ttl = CacheTtl::find(configuration.as_deref(), variables.get(environment::CACHE_TTL));
        is_well &= say("Relay Proxy", &cached(ttl), console);
    }
    is_well &= say("LaunchDarkly", &account(launchdarkly).await, console);
    Ok(Exit::done_if(is_well))
}

fn say(who: &str, finding: &Finding, console: &mut Console<'_>) -> bool {
    let (mark, text) = match finding {
        Finding::Ok(text) => ("ok  ", text),
        Finding::Warn(text) => ("warn", text),
        Finding::Fail(text) => ("fail", text),
    };
    console.say(format_args!("{mark}  {who}: {text}"));
    !matches!(finding, Finding::Fail(_))
}

async fn examine(store: &RedisStore, place: Option<(&str, &str)>) -> Vec<Finding> {
    let inspection = match store.inspect().await {
        Ok(inspection) => inspection,
        Err(error) => return vec![Finding::Fail(one_line(&error))],
    };
    let mut findings = judge(&inspection, Utc::now().timestamp());
    if let Some((project, environment)) = place {
        findings.push(match store.environment(project, environment).await {
            Ok((0, _)) => Finding::Fail(format!(
                "no flags of {project}/{environment}: check the keys, or --key-prefix if the Relay Proxy uses another"
            )),
            Ok((flags, true)) => Finding::Ok(format!("{flags} flags of {project}/{environment}, marked as filled")),
            Ok((flags, false)) => Finding::Warn(format!(
                "{flags} flags of {project}/{environment}, but `$inited` is missing: SDKs take the store for empty"
            )),
            Err(error) => Finding::Fail(one_line(&error)),
        });
    }
    findings
}

fn judge(inspection: &Inspection, now: i64) -> Vec<Finding> {
    let Inspection { role, eviction_policy, memory_limit_bytes, .. } = inspection;
    let mut findings = vec![if role == "slave" {
        Finding::Fail("reachable, but a read-only replica: name its primary in REDIS_HOSTS instead".to_owned())
    } else {
        Finding::Ok("reachable".to_owned())
    }];
    findings.push(if eviction_policy.is_empty() || eviction_policy == "noeviction" {
        Finding::Ok("drops nothing when its memory is full".to_owned())
    } else if eviction_policy.starts_with("volatile") {
        Finding::Ok(format!("{eviction_policy}: flags never expire, so they are not dropped"))
    } else if *memory_limit_bytes == 0 {
        Finding::Warn(format!(
            "{eviction_policy}: would drop flags once it is given a memory limit; noeviction is safe"
        ))
    } else {
        Finding::Warn(format!(
            "{eviction_policy}: drops whole environments when its memory is full; noeviction is safe"
        ))
    });
    findings.push(if inspection.has_append_only_file {
        Finding::Ok("writes are logged to disk".to_owned())
    } else if inspection.unsaved_changes > 0 {
        let minutes = (now - inspection.last_save).max(0) / 60;
        Finding::Warn(format!(
            "no append-only file, and the last snapshot is {minutes} min old: a restart of Redis may undo an override"
        ))
    } else {
        Finding::Warn("no append-only file: a restart of Redis may undo an override".to_owned())
    });
    findings
}

fn cached(ttl: Result<CacheTtl, String>) -> Finding {
    match ttl {
        Ok(CacheTtl::Forever) => Finding::Warn(
            "its cache never expires: an override is hidden for ever, until the Relay Proxy is restarted".to_owned(),
        ),
        Ok(CacheTtl::Off) => Finding::Ok("its cache is off: an override is seen at once".to_owned()),
        Ok(CacheTtl::For { seconds, is_default }) => {
            let source = if is_default { " (its default; no configuration was found)" } else { "" };
            Finding::Ok(format!(
                "its cache hides an override for up to {seconds} s{source}; SDKs in daemon mode see it by their own"
            ))
        }
        Err(problem) => Finding::Warn(problem),
    }
}

async fn account(launchdarkly: Option<&LaunchDarkly>) -> Finding {
    let Some(launchdarkly) = launchdarkly else {
        return Finding::Warn("not asked, because LD_API_KEY is not set; playback needs it".to_owned());
    };
    match launchdarkly.whose_token().await {
        Ok(name) => Finding::Ok(format!("reachable, and the token {name:?} is accepted")),
        Err(error) if error.is_outage() => Finding::Warn(format!("{}; overrides work all the same", one_line(&error))),
        Err(error) => Finding::Fail(one_line(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_undo_an_override_is_said() {
        let good = Inspection { role: "master".to_owned(), has_append_only_file: true, ..Inspection::default() };
        assert!(judge(&good, 0).iter().all(|finding| matches!(finding, Finding::Ok(_))));
        for (bad, expected) in [
            (Inspection { role: "slave".to_owned(), ..good.clone() }, "a read-only replica"),
            (
                Inspection { eviction_policy: "allkeys-lru".to_owned(), memory_limit_bytes: 1, ..good.clone() },
                "drops whole environments",
            ),
            (
                Inspection { eviction_policy: "allkeys-lru".to_owned(), ..good.clone() },
                "once it is given a memory limit",
            ),
            (
                Inspection { has_append_only_file: false, unsaved_changes: 1, ..good.clone() },
                "the last snapshot is 10 min old",
            ),
            (Inspection { has_append_only_file: false, ..good.clone() }, "a restart of Redis may undo"),
        ] {
            let findings = judge(&bad, 600);
            let said = |finding: &Finding| matches!(finding, Finding::Warn(text) | Finding::Fail(text) if text.contains(expected));
            assert!(findings.iter().any(said), "{expected}: {findings:?}");
        }
    }

    #[test]
    fn a_cache_that_never_expires_is_a_warning() {
        assert!(matches!(cached(Ok(CacheTtl::Forever)), Finding::Warn(text) if text.contains("for ever")));
        assert!(
            matches!(cached(Ok(CacheTtl::For { seconds: 30, is_default: true })), Finding::Ok(text) if text.contains("30 s"))
        );
    }
}
