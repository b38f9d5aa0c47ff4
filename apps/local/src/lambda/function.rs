//! Which binary is run as a function, and how.

use super::process::FunctionProcess;
use super::{FunctionPool, SpawnError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

type LineSink = Arc<dyn Fn(&str) + Send + Sync>;

/// A function: its binary, its variables, and what Lambda would be configured with.
#[derive(Clone)]
pub struct Function {
    binary: PathBuf,
    name: String,
    variables: BTreeMap<String, String>,
    memory_mb: u32,
    timeout: Duration,
    on_line: Option<LineSink>,
}

impl Function {
    /// The function in `binary`, named like the file, with 128 MB, 30 seconds and no variables.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let binary = binary.into();
        let name = binary.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self {
            binary,
            name,
            variables: BTreeMap::new(),
            memory_mb: 128,
            timeout: Duration::from_secs(30),
            on_line: None,
        }
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Adds variables.
    #[must_use]
    pub fn envs<N: Into<String>, V: Into<String>>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self {
        self.variables.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Sets `AWS_LAMBDA_FUNCTION_NAME`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`, in MB. Nothing enforces it.
    #[must_use]
    pub fn memory(mut self, megabytes: u32) -> Self {
        self.memory_mb = megabytes;
        self
    }

    /// Sets how long an invocation may take before its process is killed.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Also hands every line that a process writes to `sink`, as it is written.
    #[must_use]
    pub fn on_line(mut self, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_line = Some(Arc::new(sink));
        self
    }

    /// Starts one process of it.
    pub async fn spawn(&self) -> Result<FunctionProcess, SpawnError> {
        FunctionProcess::start(self).await
    }

    /// As many processes of it as are needed at a time, up to `most`.
    pub fn pool(self, most: usize) -> FunctionPool {
        FunctionPool::new(self, most)
    }

    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    pub(super) fn memory_mb(&self) -> u32 {
        self.memory_mb
    }

    pub(super) fn time_limit(&self) -> Duration {
        self.timeout
    }

    pub(super) fn line_sink(&self) -> Option<LineSink> {
        self.on_line.clone()
    }
}

impl std::fmt::Debug for Function {
    /// Without the variables' values: there are secrets among them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function")
            .field("binary", &self.binary)
            .field("name", &self.name)
            .field("variables", &self.variables.keys())
            .finish_non_exhaustive()
    }
}
