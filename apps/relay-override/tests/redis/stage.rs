//! Where `rc` is run: a folder of its own, no variables but those given.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

pub(crate) struct Stage {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Stage {
    pub(crate) fn new(hosts: &[&str]) -> Self {
        let stage = Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() };
        stage.with("REDIS_HOSTS", &hosts.join(","))
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rc"));
        command.args(line.split_whitespace()).current_dir(self.folder.path()).env_clear();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        Ran::of(local::patience::output_blocking(self.command(line)).unwrap())
    }

    /// The same where the stand-in answers on the test's own runtime, so that nobody may block it.
    pub(crate) async fn run_beside(&self, line: &str) -> Ran {
        Ran::of(local::patience::output(self.command(line)).await.unwrap())
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The files of a folder by name.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let Ok(listed) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let mut names: Vec<_> = listed.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The lines of the pending changes, in order.
    pub(crate) fn pending(&self) -> Vec<String> {
        let read =
            |name: &String| fs::read_to_string(self.path("replay/toDo").join(name)).unwrap().trim_end().to_owned();
        self.files("replay/toDo").iter().map(read).collect()
    }
}

/// A flag's JSON that would not survive a round trip through a parser's value.
pub(crate) fn flag(on: bool, version: u64) -> String {
    format!(
        r#"{{"key":"f", "salt":"é\u00e9","weight":0.1000000000000000055511151231257827,"big":12345678901234567890123,"on":{on},"version":{version},"new":[ ],"variations":[true,false]}}"#
    )
}

pub(crate) const ON: &str = "update-redis -p p -e e -f f -s on";
pub(crate) const OFF: &str = "update-redis -p p -e e -f f -s off";
