//! `--signal PID_FILE:SIGNAL`: tells a process whose id is in a file.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

const SIGNALS: &[(&str, Signal)] = &[
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("TERM", Signal::TERM),
    ("CONT", Signal::CONT),
    ("WINCH", Signal::WINCH),
];

/// Why no signal was sent.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// The option.
    #[error(
        "it may be PID_FILE:SIGNAL with HUP, INT, QUIT, KILL, USR1, USR2, TERM, CONT or WINCH, such as /run/app.pid:HUP"
    )]
    Usage,
    /// The file.
    #[error("`{0}` cannot be read")]
    PidFile(PathBuf, #[source] io::Error),
    /// Its content. Ids below 2 would be groups, everybody, or init.
    #[error("`{0}` does not hold the id of a process")]
    Pid(PathBuf),
    /// The process.
    #[error("process {0} cannot be signalled")]
    Process(i32, #[source] Errno),
}

/// A process and what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pid_file: PathBuf,
    signal: (&'static str, Signal),
}

impl FromStr for Target {
    type Err = SignalError;

    fn from_str(text: &str) -> Result<Self, SignalError> {
        let (pid_file, name) = text.rsplit_once(':').ok_or(SignalError::Usage)?;
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        let signal = SIGNALS.iter().find(|(known, _)| *known == name).ok_or(SignalError::Usage)?;
        if pid_file.is_empty() {
            Err(SignalError::Usage)
        } else {
            Ok(Self { pid_file: pid_file.into(), signal: *signal })
        }
    }
}

impl Target {
    /// Sends it to the process that the file names now.
    pub fn send(&self) -> Result<i32, SignalError> {
        let text = fs::read_to_string(&self.pid_file);
        let text = text.map_err(|error| SignalError::PidFile(self.pid_file.clone(), error))?;
        let id = text.trim().parse::<i32>().ok().filter(|id| *id > 1);
        let pid = id.and_then(Pid::from_raw).ok_or_else(|| SignalError::Pid(self.pid_file.clone()))?;
        kill_process(pid, self.signal.1).map_err(|errno| SignalError::Process(pid.as_raw_pid(), errno))?;
        Ok(pid.as_raw_pid())
    }

    /// The signal's name.
    pub const fn signal_name(&self) -> &'static str {
        self.signal.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_go_by_their_usual_names() {
        for text in ["/run/a.pid:HUP", "a:b:sighup", "x:Usr1"] {
            assert!(text.parse::<Target>().is_ok(), "{text}");
        }
        for text in ["", "/run/a.pid", ":HUP", "a:NOPE", "a:1"] {
            assert!(matches!(text.parse::<Target>(), Err(SignalError::Usage)), "{text}");
        }
    }

    #[test]
    fn only_the_id_of_one_process_is_signalled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let target: Target = format!("{}:CONT", path.display()).parse().unwrap();
        assert!(matches!(target.send(), Err(SignalError::PidFile(..))));
        for text in ["", "0", "1", "-1", "-5", "x", "99999999999"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(target.send(), Err(SignalError::Pid(_))), "{text}");
        }
        fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        assert_eq!(target.send().unwrap(), std::process::id().cast_signed());
    }
}
