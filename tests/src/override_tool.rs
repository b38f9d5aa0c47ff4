//! `rc`, the built command line, in a folder of its own beside a test's pipeline.

use crate::binaries::binary;
use crate::pipeline::{AWS_SECRET, Pipeline};
use anyhow::{Context, Result, ensure};
use local::patience;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `rc` is run: the journal's folder, and the variables that it gets.
#[derive(Debug)]
pub struct OverrideTool {
    folder: tempfile::TempDir,
    program: PathBuf,
    variables: Vec<(String, String)>,
}

/// How a run ended, and what it said.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl OverrideTool {
    /// One that knows a pipeline's table and LaunchDarkly.
    pub fn beside(pipeline: &Pipeline) -> Result<Self> {
        let tool = Self { folder: tempfile::tempdir()?, program: binary("rc")?, variables: Vec::new() };
        let table = pipeline.table.variables(&pipeline.dynamodb.endpoint());
        let tool = table.into_iter().fold(tool, |tool, (name, value)| tool.with(name, &value));
        Ok(tool
            .with("AWS_REGION", "eu-west-1")
            .with("AWS_ACCESS_KEY_ID", "local")
            .with("AWS_SECRET_ACCESS_KEY", AWS_SECRET)
            .with("LD_API_KEY", "api-local")
            .with("LAUNCHDARKLY_API_URI", &pipeline.launchdarkly.url())
            .with("LAUNCHDARKLY_BASE_URI", &pipeline.launchdarkly.url()))
    }

    /// With another variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The folder that it is run in; the journal is below `replay`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs it with a line of arguments, none of which holds a blank.
    pub async fn run(&self, line: &str) -> Result<Ran> {
        let mut command = Command::new(&self.program);
        command
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = patience::output(command).await.context("failed to run rc")?;
        let ran = Ran {
            code: output.status.code().context("rc was stopped by a signal")?,
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        };
        ensure!(!format!("{ran:?}").contains(AWS_SECRET), "it told a secret: {ran:?}");
        Ok(ran)
    }

    /// Runs it and fails where it does; what it said.
    pub async fn succeed(&self, line: &str) -> Result<String> {
        let ran = self.run(line).await?;
        ensure!(ran.code == 0, "rc {line} ended with {}:\n{}{}", ran.code, ran.out, ran.err);
        Ok(ran.out)
    }
}
