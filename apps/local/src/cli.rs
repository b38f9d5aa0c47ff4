//! The commands: what they share, and which is run.

mod binaries;
mod companions;
mod demo;
mod screen;
mod stack;
mod up;

use clap::{Parser, Subcommand};
use screen::Screen;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// The flag pipeline on one machine: an embedded DynamoDB, a stand-in for LaunchDarkly, and the
/// functions under a Lambda Runtime API.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve DynamoDB and LaunchDarkly, and the functions where they are built, until Ctrl-C.
    Up(Box<up::UpOptions>),
    /// Run the whole pipeline once and show what happens.
    Demo(demo::DemoOptions),
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let screen = Screen::new();
    let ran = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ran = ran.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match arguments.command {
                Command::Up(options) => up::run(&options, screen).await,
                Command::Demo(options) => demo::run(&options, screen).await,
            }
        })
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Comes back when the program is asked to end: SIGINT (Ctrl-C) or SIGTERM.
async fn asked_to_end() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
