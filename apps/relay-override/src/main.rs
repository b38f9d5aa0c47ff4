//! `rc`: parses the command line, sets up the log, and leaves the rest to the library.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use relay_override::cli::{Cli, Verbosity};
use relay_override::console::{Console, chain};
use relay_override::environment::{Environment, LOG_LEVEL};
use relay_override::exit::Exit;
use relay_override::run;
use tracing_subscriber::filter::LevelFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
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
    let failed = |error: &run::RunError| (error.exit(), chain(error));
    let misused = |error: anyhow::Error| (Exit::Misused, format!("{error:#}"));
    let environment = run::environment(&cli.env_file).map_err(|error| failed(&error))?;
    log(verbosity(&cli, &environment).map_err(misused)?);
    // One thread: all there is to do is to wait for a few sockets at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start the runtime").map_err(misused)?;
    let ended = runtime.block_on(run::run(cli, &environment, console)).map_err(|error| failed(&error));
    // A name that no server resolves must not hold up the end.
    runtime.shutdown_background();
    ended
}

fn verbosity(cli: &Cli, environment: &Environment) -> anyhow::Result<Verbosity> {
    if let Some(verbosity) = cli.verbosity {
        return Ok(verbosity);
    }
    let Some(level) = environment.get(LOG_LEVEL) else { return Ok(Verbosity::Warning) };
    let known = <Verbosity as ValueEnum>::from_str(level, true).ok();
    known.with_context(|| format!("read LOG_LEVEL={level:?}: it may be CRITICAL, ERROR, WARNING, INFO or DEBUG"))
}

fn log(verbosity: Verbosity) {
    let level = match verbosity {
        Verbosity::Critical | Verbosity::Error => "error",
        Verbosity::Warning => "warn",
        Verbosity::Info => "info",
        Verbosity::Debug => "debug",
    };
    let level = LevelFilter::from_str(level).unwrap_or(LevelFilter::WARN);
    tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).without_time().init();
}
