//! What others made and we compare ourselves with, as `interop/install` puts it in place.

use anyhow::{Context, Result, ensure};
use local::lambda::Function;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The installed tools.
#[derive(Debug, Clone)]
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// Installs whatever is not in place yet; takes a moment where everything is.
    pub fn install() -> Result<Self> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script = tests.join("interop/install");
        let status = Command::new(&script)
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("failed to run {}", script.display()))?;
        ensure!(status.success(), "failed to install the interop tools; the lines above say why");
        let root = folder().canonicalize().context("failed to find the installed interop tools")?;
        Ok(Self { root })
    }

    /// What is in place already; nothing is installed.
    pub fn found() -> Option<Self> {
        Some(Self { root: folder().canonicalize().ok()? })
    }

    /// The folder of DynamoDB Local's libraries.
    pub fn dynamodb_local(&self) -> PathBuf {
        self.root.join("dynamodb-local/lib")
    }

    /// The reader functions made with LaunchDarkly's SDKs, each with its name.
    pub fn readers(&self) -> [(&'static str, Function); 3] {
        [
            ("Go SDK", self.function("go/bin/reader")),
            ("Node SDK", self.function("node/reader")),
            ("Python SDK", self.function("python/reader")),
        ]
    }

    /// Those of them that can read the Relay Proxy's Redis, and are installed.
    pub fn redis_readers(&self) -> Vec<(&'static str, Function)> {
        let all = [("Go SDK", "go/bin/reader-redis"), ("Python SDK", "python/reader")];
        let installed = all.into_iter().filter(|(_, path)| self.root.join(path).is_file());
        installed.map(|(name, path)| (name, self.function(path))).collect()
    }

    /// The override tool as it was in Python.
    pub fn relay_commander(&self) -> PathBuf {
        self.root.join("python/relay-commander")
    }

    /// The store function over LaunchDarkly's Go store, which replaces the table's items.
    pub fn official_store(&self) -> Function {
        self.function("go/bin/store-official")
    }

    /// The store function that empties the table and fills it anew.
    pub fn predecessor(&self) -> Function {
        self.function("go/bin/store-predecessor")
    }

    fn function(&self, path: &str) -> Function {
        Function::new(self.root.join(path))
    }
}

fn folder() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = std::env::var_os("FLAGCACHE_TOOLS_DIR").map_or_else(|| tests.join("../.tools"), PathBuf::from);
    tools.join("interop")
}
