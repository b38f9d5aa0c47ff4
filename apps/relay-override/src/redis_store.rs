//! The Relay Proxy's Redis: one hash an environment, `PREFIX:features`, a flag's JSON by its key.
//!
//! The layout is that of LaunchDarkly's own Redis stores (`launchdarkly/go-server-sdk-redis-redigo`):
//! the hash `PREFIX:features`, and the key `PREFIX:$inited` once it was filled. Like them, a change
//! is written under `WATCH`, so that of two writers at once neither undoes the other. Knows nothing
//! of what a flag's JSON means.

mod connection;
mod inspect;

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::sync::Mutex;

use crate::change::FlagName;
use crate::flag_json;
use crate::hosts::Host;
use crate::store::{Edit, Edited, Purpose, Store, StoreError};

pub use inspect::Inspection;

/// Writes by others that an edit outlasts.
const ATTEMPTS: usize = 50;

/// What stands before `:features`, with `{project}` and `{environment}` to be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPrefix(pub String);

impl Default for KeyPrefix {
    fn default() -> Self {
        Self("ld:{project}:{environment}".to_owned())
    }
}

impl KeyPrefix {
    /// The prefix of a flag's environment.
    pub fn of(&self, project: &str, environment: &str) -> String {
        // Filled in at once, so that a key that looks like a placeholder stays what it is.
        let parts = self.0.split("{project}").map(|part| part.replace("{environment}", environment));
        parts.collect::<Vec<_>>().join(project)
    }

    /// The hash key of a flag's environment.
    pub fn hash_key(&self, flag: &FlagName) -> String {
        format!("{}:features", self.of(&flag.project, &flag.environment))
    }
}

/// One Redis. Connects when first asked, and stays connected.
pub struct RedisStore {
    host: Host,
    prefix: KeyPrefix,
    timeout: Duration,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl RedisStore {
    /// Does not connect yet. `timeout` is for each step: to connect, and to get an answer.
    pub fn new(host: Host, prefix: KeyPrefix, timeout: Duration) -> Self {
        Self { host, prefix, timeout, connection: Mutex::new(None) }
    }

    async fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let connected = tokio::time::timeout(self.timeout, connection::connect(&self.host, self.timeout)).await;
        let connected = connected.map_err(|_| self.timed_out())?.map_err(before_writing)?;
        Ok(connection.insert(connected).clone())
    }

    fn timed_out(&self) -> StoreError {
        let text = format!("no answer within {} ms", self.timeout.as_millis());
        StoreError::Unreachable(text.into())
    }

    /// Reads one field; follows the server of a cluster that knows better.
    async fn get(&self, hash: &str, field: &str) -> Result<Option<Vec<u8>>, StoreError> {
        for _ in 0..3 {
            let mut connection = self.connection().await?;
            let answer = redis::cmd("HGET").arg(hash).arg(field).query_async(&mut connection).await;
            match answer {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => self.follow(&error).await?,
                answer => return answer.map_err(before_writing),
            }
        }
        Err(StoreError::Refused("the cluster keeps sending us from server to server".to_owned()))
    }

    async fn follow(&self, moved: &RedisError) -> Result<(), StoreError> {
        let connecting = connection::connect_elsewhere(&self.host, moved, self.timeout);
        let connected = tokio::time::timeout(self.timeout, connecting).await;
        let connected = connected.map_err(|_| self.timed_out())?.map_err(before_writing)?;
        *self.connection.lock().await = Some(connected);
        Ok(())
    }

    async fn attempt(&self, hash: &str, flag: &str, edit: &impl Edit) -> Result<Option<Edited>, StoreError> {
        let mut connection = self.connection().await?;
        let watched: Result<(Option<Vec<u8>>,), RedisError> = redis::pipe()
            .cmd("WATCH")
            .arg(hash)
            .ignore()
            .cmd("HGET")
            .arg(hash)
            .arg(flag)
            .query_async(&mut connection)
            .await;
        let (before,) = watched.map_err(before_writing)?;
        let before = before.map(flag_json::text).transpose()?;
        let after = before.as_deref().map(edit).transpose()?.flatten();
        let (Some(before), Some(after)) = (&before, after) else {
            // Closing the connection would do as well: a lost answer changes nothing.
            let _ = redis::cmd("UNWATCH").exec_async(&mut connection).await;
            return Ok(Some(before.map_or(Edited::Absent, Edited::Kept)));
        };
        let mut transaction = redis::pipe();
        transaction.atomic().hset(hash, flag, &after);
        let written: Result<Option<(i64,)>, RedisError> = transaction.query_async(&mut connection).await;
        match written {
            Ok(Some(_)) => Ok(Some(Edited::Written { before: before.clone(), after })),
            Ok(None) => Ok(None),
            Err(error) => Err(while_writing(error)),
        }
    }
}

impl Store for RedisStore {
    fn name(&self) -> &str {
        &self.host.name
    }

    async fn read(&self, flag: &FlagName) -> Result<Option<String>, StoreError> {
        let found = self.get(&self.prefix.hash_key(flag), &flag.flag).await?;
        Ok(found.map(flag_json::text).transpose()?)
    }

    async fn edit(&self, flag: &FlagName, _purpose: Purpose, edit: impl Edit) -> Result<Edited, StoreError> {
        let hash = self.prefix.hash_key(flag);
        for _ in 0..ATTEMPTS {
            if let Some(edited) = self.attempt(&hash, &flag.flag, &edit).await? {
                return Ok(edited);
            }
        }
        Err(StoreError::Contended)
    }
}

/// An error at a moment when nothing can have been written.
fn before_writing(error: RedisError) -> StoreError {
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::AuthenticationFailed => refused(&error),
        _ => StoreError::Unreachable(Box::new(error)),
    }
}

fn while_writing(error: RedisError) -> StoreError {
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => refused(&error),
        _ => StoreError::Unsure(Box::new(error)),
    }
}

fn refused(error: &RedisError) -> StoreError {
    let text = error.to_string();
    let hint = if text.contains("READONLY") || text.contains("read only") {
        "; name its primary in REDIS_HOSTS instead"
    } else if text.contains("NOAUTH") || text.contains("WRONGPASS") || error.kind() == ErrorKind::AuthenticationFailed {
        "; check user and password (in the URL, REDIS_USERNAME, REDIS_PASSWORD or REDIS_PASSWORD_FILE)"
    } else if text.contains("NOPERM") || text.contains("permission") {
        "; the user needs HGET, HSET, WATCH, UNWATCH, MULTI and EXEC"
    } else {
        ""
    };
    StoreError::Refused(format!("{text}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_key_is_the_relays() {
        let flag = |project: &str, environment: &str| FlagName {
            project: project.to_owned(),
            environment: environment.to_owned(),
            flag: "f".to_owned(),
        };
        for (prefix, project, environment, expected) in [
            ("ld:{project}:{environment}", "p", "e", "ld:p:e:features"),
            ("ld:{project}:{environment}", "{environment}", "e", "ld:{environment}:e:features"),
            ("launchdarkly", "p", "e", "launchdarkly:features"),
            ("{environment}-{project}", "p", "e", "e-p:features"),
        ] {
            assert_eq!(KeyPrefix(prefix.to_owned()).hash_key(&flag(project, environment)), expected);
        }
    }
}
