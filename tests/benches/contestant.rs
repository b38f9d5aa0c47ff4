//! A function under measurement.

use crate::sample::{cpu_of_ended_children, resident};
use anyhow::{Context, Result};
use local::lambda::{Function, FunctionProcess};
use serde_json::Value;
use std::time::Duration;

/// A function with the name of its column.
#[derive(Debug, Clone)]
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) function: Function,
}

/// What one cold start with one invocation took.
#[derive(Debug)]
pub(crate) struct ColdStart {
    /// From the start of the process to its first request for an invocation.
    pub(crate) init: Duration,
    /// From the start of the process to its answer.
    pub(crate) wall: Duration,
    /// User and system time of the process in its whole life.
    pub(crate) cpu: Duration,
    /// In memory after the answer.
    pub(crate) resident: u64,
}

impl Contestant {
    /// The function with further variables.
    pub(crate) fn with<N: Into<String>, V: Into<String>>(
        &self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Contestant {
        // Writing a large environment through the counting proxy takes its time.
        let function = self.function.clone().envs(variables).timeout(Duration::from_mins(5));
        Contestant { name: self.name, function }
    }

    /// A running process of it.
    pub(crate) async fn start(&self) -> Result<FunctionProcess> {
        let process = self.function.spawn().await?;
        process.ready().await.with_context(|| format!("{} did not start", self.name))?;
        Ok(process)
    }

    /// Starts a process, has it answer once and ends it. One at a time: the CPU time is that of
    /// whichever child ends meanwhile.
    pub(crate) async fn cold_start(&self, event: &Value) -> Result<ColdStart> {
        let before = cpu_of_ended_children()?;
        let process = self.function.spawn().await?;
        let init = process.ready().await.with_context(|| format!("{} did not start", self.name))?;
        let answered = process.invoke_raw(event.to_string()).await.with_context(|| self.failure(&process))?;
        let resident = resident(process.pid())?;
        process.kill().await;
        let cpu = cpu_of_ended_children()?.saturating_sub(before);
        Ok(ColdStart { init, wall: init + answered.duration, cpu, resident })
    }

    /// What to say when an invocation failed.
    pub(crate) fn failure(&self, process: &FunctionProcess) -> String {
        format!("{} failed; its log ends with {:?}", self.name, process.logs().last(5))
    }
}

/// What to print in the head of a table, with the column of ratios.
pub(crate) fn columns(contestants: &[Contestant]) -> Vec<&'static str> {
    let mut columns: Vec<&str> = contestants.iter().map(|contestant| contestant.name).collect();
    columns.push("1st : 2nd");
    columns
}
