//! A server that outlived its `up`: told apart from strangers, then ended.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use super::NatsServerError;

/// How long it may take to stop when asked, and then when made.
const EACH: Duration = Duration::from_secs(5);

/// Ends the server whose process id stands in `pid_file`, if it still is a server with our settings file. A number alone
/// proves nothing: the system gives it to somebody else some day.
pub(super) async fn end(pid_file: &Path, config: &Path) -> Result<(), NatsServerError> {
    let Ok(text) = tokio::fs::read_to_string(pid_file).await else { return Ok(()) };
    let Ok(pid) = text.trim().parse::<i32>() else { return Ok(()) };
    if pid <= 1 || !is_ours(pid, config).await {
        return Ok(());
    }
    tracing::warn!(pid, "a nats-server of an earlier run is still there and is ended");
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        // It may end between the look and the signal.
        let _ = kill(Pid::from_raw(pid), signal);
        let deadline = Instant::now() + EACH;
        while Instant::now() < deadline {
            if !is_ours(pid, config).await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Err(NatsServerError::Leftover { pid })
}

/// Whether a process runs a server with this settings file. A dead one whose parent has not looked has no command line.
async fn is_ours(pid: i32, config: &Path) -> bool {
    let command_line = if cfg!(target_os = "linux") {
        tokio::fs::read(format!("/proc/{pid}/cmdline")).await.unwrap_or_default()
    } else {
        let ps = tokio::process::Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
        ps.await.map(|output| output.stdout).unwrap_or_default()
    };
    String::from_utf8_lossy(&command_line).contains(&*config.to_string_lossy())
}
