//! `prefork-server`: reads the command line and the environment, sets up the log, and leaves the rest to the library.

use std::process::ExitCode;

use clap::Parser;
use flagcache_program::{Level, Variables};
use prefork_server::cli::Cli;
use prefork_server::config::Config;
use prefork_server::exit::Exit;
use prefork_server::{log, start};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let variables = match Variables::load(&cli.env_file) {
        Ok(variables) => variables,
        Err(error) => return log::refuse(&error, Exit::Misused),
    };
    let level = match Level::from_lookup(&variables.lookup()) {
        Ok(level) => level,
        Err(error) => return log::refuse(&error, Exit::Misused),
    };
    log::init(level.unwrap_or_default());
    match Config::new(&cli, &variables).map_err(start::StartError::from).and_then(|config| start::start(config, &cli)) {
        Ok(()) => Exit::Done.into(),
        Err(error) => log::refuse(&error, error.exit()),
    }
}
