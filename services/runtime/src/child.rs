//! Media tools as child processes: they end with us, are stopped when nobody wants their work, and say why they failed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::job_error::JobError;

/// Makes `command` die with this process, also when this one is killed outright, and with the future that waits for it.
pub fn end_with_us(command: &mut Command) {
    command.kill_on_drop(true);
    // A Ctrl-C in the terminal is meant for us: a tool that gets it too fails a job that was to be handed back.
    command.process_group(0);
    #[cfg(target_os = "linux")]
    #[expect(
        unsafe_code,
        reason = "prctl between fork and exec is async-signal-safe and the only way to outlive nobody"
    )]
    // SAFETY: the closure makes one system call and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(std::io::Error::from)
        });
    }
}

/// `ffmpeg` and `ffprobe`, as found or configured.
#[derive(Debug, Clone)]
pub struct MediaTool {
    /// The `ffmpeg` to run.
    pub ffmpeg: PathBuf,
    /// The `ffprobe` to run.
    pub ffprobe: PathBuf,
}

impl Default for MediaTool {
    /// Those on `PATH`.
    fn default() -> Self {
        Self { ffmpeg: "ffmpeg".into(), ffprobe: "ffprobe".into() }
    }
}

/// Frames or samples that a run reads from its standard input, made while it reads them.
pub type Feed = tokio::sync::mpsc::Receiver<Vec<u8>>;

impl MediaTool {
    /// Runs `ffmpeg` with `arguments` in `folder` (file names are relative to it), feeding `input` to its standard input
    /// where there is some, until it ends or `cancelled` fires. The error of a failed run carries the tool's last words.
    ///
    /// No network, no interaction: only local files and pipes may be opened, whatever a file claims to be.
    pub async fn ffmpeg(
        &self,
        folder: &Path,
        arguments: &[String],
        input: Option<Feed>,
        cancelled: &CancellationToken,
    ) -> Result<Vec<u8>, JobError> {
        let quiet = ["-hide_banner", "-nostdin", "-y", "-loglevel", "error"].map(str::to_owned);
        self.run(&self.ffmpeg, folder, &[&quiet, arguments].concat(), input, cancelled).await
    }

    /// Runs `ffprobe` and gives what it printed.
    pub async fn ffprobe(
        &self,
        folder: &Path,
        arguments: &[String],
        cancelled: &CancellationToken,
    ) -> Result<Vec<u8>, JobError> {
        let quiet = ["-hide_banner", "-loglevel", "error"].map(str::to_owned);
        self.run(&self.ffprobe, folder, &[&quiet, arguments].concat(), None, cancelled).await
    }

    async fn run(
        &self,
        program: &Path,
        folder: &Path,
        arguments: &[String],
        input: Option<Feed>,
        cancelled: &CancellationToken,
    ) -> Result<Vec<u8>, JobError> {
        let name = program.display().to_string();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(folder)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        end_with_us(&mut command);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                JobError::give_up(format!("`{name}` was not found: install ffmpeg, then retry"))
            }
            _ => JobError::retry_later(format!("`{name}` did not start: {error}")),
        })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());

        let feeding = async {
            if let (Some(mut stdin), Some(mut input)) = (stdin, input) {
                while let Some(piece) = input.recv().await {
                    // A tool that has stopped reading has a reason, which its exit tells better than our broken pipe.
                    if stdin.write_all(&piece).await.is_err() {
                        break;
                    }
                }
            }
        };
        let working = async {
            let ((), printed, complaint, status) =
                tokio::join!(feeding, read_all(stdout), read_all(stderr), child.wait());
            (printed, complaint, status)
        };
        let (printed, complaint, status) = tokio::select! {
            done = working => done,
            () = cancelled.cancelled() => return Err(JobError::Cancelled),
        };
        let status = status.map_err(|error| JobError::retry_later(format!("`{name}` was lost: {error}")))?;
        if status.success() {
            return Ok(printed);
        }
        let complaint = String::from_utf8_lossy(&complaint);
        let last: Vec<_> = complaint.lines().rev().take(4).collect();
        let last = match last.into_iter().rev().collect::<Vec<_>>().join(" / ") {
            nothing if nothing.is_empty() => "it did not say why".to_owned(),
            last => last,
        };
        let reason = format!("`{name}` failed ({status}): {}", last.chars().take(600).collect::<String>());
        // A signal is somebody's doing (out of memory, an operator); an exit code is the tool's own judgement.
        Err(if status.code().is_none() { JobError::retry_later(reason) } else { JobError::give_up(reason) })
    }
}

async fn read_all(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What the tool printed before its pipe broke is all there is to say.
        let _ = pipe.take(1 << 20).read_to_end(&mut bytes).await;
    }
    bytes
}
