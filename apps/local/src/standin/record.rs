//! What the stand-in was asked and sent, to be counted, looked at and waited for.

use super::misbehaviour::Endpoint;
use crate::patience::{self, InVain};
use serde::Serialize;
use std::fmt::{Debug, Display};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// One request to the stand-in. Never with its credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRecord {
    /// Which group of paths it was for.
    pub endpoint: Endpoint,
    /// `GET` and so on.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The `ETag` that the client has, if it sent one.
    pub if_none_match: Option<String>,
    /// The `User-Agent`.
    pub user_agent: Option<String>,
    /// The answer's status; 0 where the connection was reset instead.
    pub status: u16,
}

/// A list that grows, and that can be waited for.
#[derive(Debug)]
pub(super) struct Recorded<T> {
    items: Arc<Mutex<Vec<T>>>,
    changed: watch::Sender<()>,
}

impl<T> Default for Recorded<T> {
    fn default() -> Self {
        Self { items: Arc::default(), changed: watch::Sender::new(()) }
    }
}

impl<T: Clone + Debug> Recorded<T> {
    pub(super) fn push(&self, item: T) {
        self.extend([item]);
    }

    pub(super) fn extend(&self, items: impl IntoIterator<Item = T>) {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).extend(items);
        self.changed.send_replace(());
    }

    pub(super) fn all(&self) -> Vec<T> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn clear(&self) {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What `wanted` makes of all of them, as soon as it makes something.
    pub(super) async fn in_time<R>(
        &self,
        awaited: impl Display,
        wanted: impl FnMut(&[T]) -> Option<R>,
    ) -> Result<R, InVain> {
        let awaited = || format!("{awaited}; there is {:?}", self.all());
        patience::in_time(self.wait_for(wanted), awaited).await
    }

    /// The same, for as long as it takes.
    pub(super) async fn wait_for<R>(&self, mut wanted: impl FnMut(&[T]) -> Option<R>) -> R {
        let mut changed = self.changed.subscribe();
        loop {
            let found = wanted(&self.items.lock().unwrap_or_else(PoisonError::into_inner));
            if let Some(found) = found {
                return found;
            }
            // The sender is part of `self`, so that it cannot be gone.
            let _ = changed.changed().await;
        }
    }
}
