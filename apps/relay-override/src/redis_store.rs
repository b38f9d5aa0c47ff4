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
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::sync::Mutex;

use crate::change::FlagName;
use crate::flag_json;
use crate::hosts::Host;
use crate::store::{Edit, Edited, Purpose, Store, StoreError};

pub use inspect::Inspection;

/// Writes by others that an edit outlasts.
const ATTEMPTS: usize = 50;

/// Servers of a cluster that are gone to for one answer.
const REDIRECTIONS: usize = 3;

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

    /// Asks for something that lies in one key; follows the server of a cluster that knows better.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        for _ in 0..REDIRECTIONS {
            let mut connection = self.connection().await?;
            match command.query_async(&mut connection).await {
                Err(error) if is_moved(&error) => self.follow(&error).await?,
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

    /// Nothing where somebody else wrote, or another server of the cluster has the hash.
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
        let (before,) = match watched {
            Err(error) if is_moved(&error) => {
                // The error of several commands at once does not say where to.
                self.ask::<Option<Vec<u8>>>(redis::cmd("HGET").arg(hash).arg(flag)).await?;
                return Ok(None);
            }
            watched => watched.map_err(before_writing)?,
        };
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
        let found: Option<Vec<u8>> =
            self.ask(redis::cmd("HGET").arg(self.prefix.hash_key(flag)).arg(&flag.flag)).await?;
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

fn is_moved(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
}

/// An error at a moment when nothing can have been written.
fn before_writing(error: RedisError) -> StoreError {
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::AuthenticationFailed => refused(&error),
        // The handshake is over for us by the time that the server looks for our certificate (TLS 1.3).
        _ if error.to_string().contains("CertificateRequired") => refused(&error),
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
    } else if text.contains("CertificateRequired") {
        "; set REDIS_CLIENT_CERT_FILE and REDIS_CLIENT_KEY_FILE"
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
