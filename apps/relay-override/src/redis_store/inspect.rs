//! What `rc doctor` wants to know of a Redis, beyond a flag.
//!
//! `INFO` rather than `CONFIG GET`: hosted Redis servers forbid the second.

use std::collections::HashMap;

use super::{RedisStore, before_writing};
use crate::store::StoreError;

/// How a Redis stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspection {
    /// `master` or `slave`, as Redis still calls them.
    pub role: String,
    /// What it drops when its memory is full.
    pub eviction_policy: String,
    /// The memory that it may use, in bytes; 0: as much as there is.
    pub memory_limit_bytes: u64,
    /// Whether each write is logged to disk.
    pub has_append_only_file: bool,
    /// Changes since the last snapshot, and when that was (Unix seconds).
    pub unsaved_changes: u64,
    /// When the last snapshot was taken (Unix seconds).
    pub last_save: i64,
}

impl RedisStore {
    /// Asks for its state.
    ///
    /// # Errors
    /// Where it cannot be reached, or refuses `INFO`.
    pub async fn inspect(&self) -> Result<Inspection, StoreError> {
        let mut connection = self.connection().await?;
        let info: String = redis::cmd("INFO").query_async(&mut connection).await.map_err(before_writing)?;
        Ok(inspection(&info))
    }

    /// How many flags an environment's hash holds, and whether it is marked as filled.
    ///
    /// # Errors
    /// Where it cannot be reached, or refuses.
    pub async fn environment(&self, project: &str, environment: &str) -> Result<(u64, bool), StoreError> {
        let prefix = self.prefix.of(project, environment);
        // One after the other: in a cluster the two keys may lie on two servers.
        let flags = self.ask(redis::cmd("HLEN").arg(format!("{prefix}:features"))).await?;
        let is_filled = self.ask(redis::cmd("EXISTS").arg(format!("{prefix}:$inited"))).await?;
        Ok((flags, is_filled))
    }
}

fn inspection(info: &str) -> Inspection {
    let fields: HashMap<&str, &str> = info.lines().filter_map(|line| line.trim().split_once(':')).collect();
    let text = |name: &str| fields.get(name).copied().unwrap_or_default();
    Inspection {
        role: text("role").to_owned(),
        eviction_policy: text("maxmemory_policy").to_owned(),
        memory_limit_bytes: text("maxmemory").parse().unwrap_or_default(),
        has_append_only_file: text("aof_enabled") == "1",
        unsaved_changes: text("rdb_changes_since_last_save").parse().unwrap_or_default(),
        last_save: text("rdb_last_save_time").parse().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_by_its_names() {
        let info = "# Server\r\nrole:slave\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\naof_enabled:1\r\n\
                    rdb_changes_since_last_save:7\r\nrdb_last_save_time:1700000000\r\n";
        assert_eq!(
            inspection(info),
            Inspection {
                role: "slave".to_owned(),
                eviction_policy: "allkeys-lru".to_owned(),
                memory_limit_bytes: 100,
                has_append_only_file: true,
                unsaved_changes: 7,
                last_save: 1_700_000_000,
            }
        );
    }
}
