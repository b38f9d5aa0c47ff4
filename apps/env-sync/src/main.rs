//! `env-sync`: parses the command line, sets up the log, and leaves the rest to the library.

use std::process::ExitCode;

use env_sync::cli::Cli;
use env_sync::exit::Exit;
use env_sync::settings::Settings;
use env_sync::{daemon, log};

fn main() -> ExitCode {
    match start(Cli::from_words(std::env::args_os())) {
        Ok(exit) => exit.into(),
        Err((exit, error)) => {
            complain(&error);
            exit.into()
        }
    }
}

fn start(cli: Cli) -> Result<Exit, (Exit, anyhow::Error)> {
    let misused = |error: anyhow::Error| (Exit::Misused, error);
    log::start(&cli.log_level).map_err(|error| misused(error.into()))?;
    let settings = Settings::of(cli).map_err(|error| misused(error.into()))?;
    // One thread: all there is to do is to wait, and to write a small file now and then.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| (Exit::Failed, error.into()))?;
    let ended = runtime.block_on(daemon::run(settings));
    // A name that no server resolves must not hold up the end.
    runtime.shutdown_background();
    ended.map_err(|error| (Exit::Failed, error))
}

#[expect(clippy::print_stderr, reason = "the last word of a program goes to its user, whatever the log level")]
fn complain(error: &anyhow::Error) {
    eprintln!("env-sync: {error:#}");
}
