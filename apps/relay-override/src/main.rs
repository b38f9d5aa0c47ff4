//! `rc`: parses the command line, sets up the log, and leaves the rest to the library.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use anyhow::Context;
use flagcache_program::{Level, LevelError, one_line};
use relay_override::cli::Cli;
use relay_override::console::Console;
use relay_override::environment::Environment;
use relay_override::exit::Exit;
use relay_override::run;
use tokio::signal::unix::{SignalKind, signal};

/// Its number on Linux, but for MIPS and SPARC, and on macOS.
const SIGXFSZ: i32 = 25;

fn main() -> ExitCode {
    let cli = Cli::from_process();
    let is_interactive = io::stdin().is_terminal() && io::stderr().is_terminal();
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut console = Console::new(&mut out, &mut err, is_interactive);
    match start(cli, &mut console) {
        Ok(exit) => exit.into(),
        Err((exit, text)) => {
            console.remark(format_args!("rc: {text}"));
            exit.into()
        }
    }
}

fn start(cli: Cli, console: &mut Console<'_>) -> Result<Exit, (Exit, String)> {
    let failed = |error: &run::RunError| (error.exit(), one_line(error));
    let misused = |error: anyhow::Error| (Exit::Misused, format!("{error:#}"));
    let environment = run::environment(&cli.env_file).map_err(|error| failed(&error))?;
    log(verbosity(&cli, &environment).map_err(|error| misused(error.into()))?);
    // One thread: all there is to do is to wait for a few sockets at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start the runtime").map_err(misused)?;
    let ended = runtime.block_on(async {
        // Would end the process where a limit for the size of files is met; caught, the write fails as on a full disk.
        let _too_large = signal(SignalKind::from_raw(SIGXFSZ));
        run::run(cli, &environment, console).await
    });
    let ended = ended.map_err(|error| failed(&error));
    // A name that no server resolves must not hold up the end.
    runtime.shutdown_background();
    ended
}

fn verbosity(cli: &Cli, environment: &Environment) -> Result<Level, LevelError> {
    match cli.verbosity {
        Some(level) => Ok(level),
        None => Ok(environment.level()?.unwrap_or(Level::Warning)),
    }
}

fn log(level: Level) {
    tracing_subscriber::fmt().with_max_level(level.filter()).with_writer(io::stderr).without_time().init();
}
