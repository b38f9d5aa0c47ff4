//! A reload: options and variables read anew, for the processes that are forked from now on.
//!
//! The process's own variables cannot change, so it is `.env` that may say something else. What cannot be used leaves
//! things as they are, and is told: a reload must never take flags from a server that has some.

use std::os::fd::BorrowedFd;

use flagcache_prefork::flags::State;
use flagcache_program::one_line;

use crate::cli::Cli;
use crate::config::Config;
use crate::start::fetch;

/// What to go on with.
pub(crate) struct Renewed {
    pub(crate) config: Config,
    /// The flags, where they come from elsewhere now.
    pub(crate) state: Option<State>,
}

/// Reads the configuration anew; nothing where it is not usable.
pub(crate) fn renew(cli: &Cli, current: &Config, interrupt: BorrowedFd<'_>) -> Option<Renewed> {
    let mut config = match Config::read(cli) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(error = one_line(&error), "the configuration cannot be read anew and stays as it is");
            return None;
        }
    };
    if config.bind != current.bind {
        tracing::warn!(bind = config.bind, "another address to listen on counts from the next start on");
        config.bind.clone_from(&current.bind);
    }
    if config.has_source_of(current) {
        return Some(Renewed { config, state: None });
    }
    match fetch(&config, interrupt) {
        Ok(state) => Some(Renewed { config, state: Some(state) }),
        Err(error) => {
            let error = one_line(&error);
            tracing::error!(error, "the new SDK key or address gives no flags; the old one stays in use");
            Some(Renewed { config: config.with_source_of(current), state: None })
        }
    }
}
