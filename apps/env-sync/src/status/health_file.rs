//! The answer of `/health` in a file, for those who look at files. Replaced atomically, at most once in half a second.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Status;
use crate::file::directory;

const GATHERING: Duration = Duration::from_millis(500);

/// Keeps the file in step until the program ends.
pub async fn keep(path: PathBuf, status: Status) {
    let mut facts = status.subscribe();
    loop {
        let json = facts.borrow_and_update().json();
        if let Err(error) = write(&path, &json) {
            tracing::warn!(path = %path.display(), %error, "the health file cannot be written");
        }
        tokio::time::sleep(GATHERING).await;
        if facts.changed().await.is_err() {
            return;
        }
    }
}

/// Writes it.
pub fn write(path: &Path, json: &str) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".env-sync-").tempfile_in(directory(path))?;
    file.write_all(json.as_bytes())?;
    file.write_all(b"\n")?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
