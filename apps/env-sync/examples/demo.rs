//! Follows a few flags into a `.env` file, on this machine alone: `make demo-env-sync`.
//!
//! The built `env-sync` runs against LaunchDarkly's stand-in, in a folder that is deleted afterwards. Every step is
//! waited for, with a bound, and the program is ended the way a service manager would.

#![expect(clippy::print_stdout, reason = "showing is what this is for")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use local::standin::{ItemKind, Standin, StandinOptions};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::{Child, Command};

const BEFORE: &str = "# settings of the app, kept by hand\nPORT=8080\nexport SAMPLE_APP_URL=http://localhost:3000\n";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let standin = Standin::start(StandinOptions::default()).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join(".env");
    std::fs::write(&file, BEFORE)?;
    show(".env before", &file)?;

    let mut daemon = start(&standin, folder.path())?;
    wait(&file, "SAMPLE_API_URL=").await?;
    show("env-sync is connected: the flags are in the file, everything else is where it was", &file)?;

    change(&standin, &file, "SAMPLE_API_URL", "https://api-v3.example.com", "api-v3").await?;
    change(&standin, &file, "SAMPLE_APP_URL", "https://app.example.com/?a=1&b=two words", "two words").await?;
    standin.delete_flag("SAMPLE_SERVICE_URL");
    wait(&file, "SAMPLE_SERVICE_URL=\n").await?;
    show("SAMPLE_SERVICE_URL is deleted in LaunchDarkly: its value is empty now", &file)?;

    end(&mut daemon).await?;
    let entries = std::fs::read_dir(folder.path())?.flatten().map(|entry| entry.file_name());
    let mut names: Vec<_> = entries.filter_map(|name| name.into_string().ok()).collect();
    names.sort_unstable();
    println!("── env-sync has ended; each change left a backup: {}", names[1..].join(", "));
    Ok(())
}

fn start(standin: &Standin, folder: &Path) -> Result<Child> {
    let program = beside_this_one()?;
    let child = Command::new(&program)
        .current_dir(folder)
        .env("LD_SDK_KEY", "sdk-local")
        .env("LAUNCHDARKLY_STREAM_URI", standin.url())
        .env("LAUNCHDARKLY_EVENTS_URI", standin.url())
        .env("DEBOUNCE_MS", "0")
        .env("LOG_LEVEL", "ERROR")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    child.with_context(|| format!("failed to start {}; build it with cargo build -p env-sync", program.display()))
}

/// The program of the same build: examples lie in a folder of their own beside it.
fn beside_this_one() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.parent().and_then(Path::parent).context("this program lies nowhere")?;
    Ok(folder.join("env-sync"))
}

async fn change(standin: &Standin, file: &Path, flag: &str, value: &str, sign: &str) -> Result<()> {
    let since = Instant::now();
    let variations = json!([value, value, value]);
    ensure!(standin.set_field(ItemKind::Flag, flag, "variations", variations).is_some(), "there is no flag {flag}");
    wait(file, sign).await?;
    show(&format!("{flag} is changed in LaunchDarkly, and {:.1?} later in the file", since.elapsed()), file)
}

/// Nobody tells when a file has changed, so it is looked at again and again.
async fn wait(file: &Path, sign: &str) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(20);
    while !std::fs::read_to_string(file)?.contains(sign) {
        if Instant::now() > until {
            bail!("{sign} never came into the file");
        }
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    Ok(())
}

async fn end(daemon: &mut Child) -> Result<()> {
    let pid = daemon.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("env-sync has ended already")?;
    kill_process(pid, Signal::TERM)?;
    let status = tokio::time::timeout(Duration::from_secs(20), daemon.wait()).await??;
    ensure!(status.success(), "env-sync ended with {status}");
    Ok(())
}

fn show(title: &str, file: &Path) -> Result<()> {
    println!("── {title}\n{}", std::fs::read_to_string(file)?);
    Ok(())
}
