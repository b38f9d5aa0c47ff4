//! `prefork-server`: reads the command line and the environment, sets up the log, and leaves the rest to the library.

use std::process::ExitCode;

use clap::Parser;
use prefork_server::cli::Cli;
use prefork_server::config::Config;
use prefork_server::environment::Environment;
use prefork_server::exit::Exit;
use prefork_server::{log, start};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment = match Environment::load(&cli.env_file) {
        Ok(environment) => environment,
        Err(error) => return log::refuse(&error, Exit::Misused),
    };
    let level = match log::level(&environment) {
        Ok(level) => level,
        Err(error) => return log::refuse(&error, Exit::Misused),
    };
    log::init(level);
    match Config::new(&cli, &environment).map_err(start::StartError::from).and_then(|config| start::start(&config)) {
        Ok(()) => Exit::Done.into(),
        Err(error) => log::refuse(&error, error.exit()),
    }
}
