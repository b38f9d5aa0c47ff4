//! `local`: the pipeline on one machine. Reads the command line and leaves the work to `cli`.
//!
//! Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}

#[cfg(test)]
mod tests {
    use super::cli::Arguments;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
