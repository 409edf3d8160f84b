//! A person at a terminal: a program on a pseudo-terminal, what it shows, and what is typed.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::until;

/// A program that thinks it talks to a person.
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
    /// Up to here it was read.
    read_to: usize,
}

impl Terminal {
    /// Starts a command on a terminal of its own, made by `script` of util-linux. None, said loudly, where that is not
    /// installed.
    pub fn start(command: &Command, test: &str) -> Option<Self> {
        let known = Command::new("script").arg("--version").output();
        if !known.is_ok_and(|known| String::from_utf8_lossy(&known.stdout).contains("util-linux")) {
            let line = format!("SKIPPED {test}: `script` of util-linux is not installed\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        }
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line: Vec<_> = words.map(|word| quoted(&word.to_string_lossy())).collect();
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &line.join(" "), "/dev/null"]);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            script.current_dir(folder);
        }
        // Colours would only be in the way of whoever reads.
        script.env("NO_COLOR", "1").env("TERM", "xterm").env("COLUMNS", "100").env("SHELL", "/bin/sh");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut script = tokio::process::Command::from(script);
        runtime::child::end_with_us(&mut script);
        let mut child = script.as_std_mut().spawn().expect("script starts");
        let keys = child.stdin.take().expect("a pipe");
        let mut screen = child.stdout.take().expect("a pipe");
        let shown = Arc::new(Mutex::new(String::new()));
        let reader = shown.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                // The texts that tests look for are ASCII; a sign cut in two between reads does no harm.
                reader.lock().expect("one writer").push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Some(Self { child, keys, shown, read_to: 0 })
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("the terminal is there");
    }

    /// Reads on until `text` is shown, and gives what stands before it.
    pub async fn read_to(&mut self, text: &str, limit: Duration) -> String {
        let (shown, from) = (self.shown.clone(), self.read_to);
        let found = async || {
            let shown = shown.lock().expect("one writer");
            let rest = &shown[from..];
            if let Some(at) = rest.find(text) {
                return Some(Ok(at));
            }
            let ended = matches!(self.child.try_wait(), Ok(Some(_)));
            ended.then(|| Err(rest.to_owned()))
        };
        let found = until(&format!("the terminal shows `{text}`"), limit, found).await;
        let at = found.unwrap_or_else(|rest| panic!("it ended before it showed `{text}`:\n{rest}"));
        let before = self.shown.lock().expect("one writer")[from..from + at].to_owned();
        self.read_to = from + at + text.len();
        before
    }

    /// Waits for its end: how it ended, and all that it has shown since it was last read.
    pub async fn end(mut self, limit: Duration) -> (ExitStatus, String) {
        let status =
            until("the program at the terminal ends", limit, async || self.child.try_wait().expect("a child of ours"));
        let status = status.await;
        let shown = self.shown.lock().expect("one writer");
        (status, shown[self.read_to..].to_owned())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
