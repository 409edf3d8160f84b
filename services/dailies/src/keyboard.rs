//! Lines that a person types, while the program goes on with other things.

use tokio::sync::mpsc;

/// Standard input, line by line.
#[derive(Debug)]
pub struct Keyboard {
    lines: mpsc::UnboundedReceiver<String>,
}

impl Keyboard {
    /// Starts to listen. The thread that reads ends with the process: a read from a terminal cannot be called off, and
    /// nothing waits for it.
    pub fn listen() -> std::io::Result<Self> {
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::Builder::new().name("keyboard".into()).spawn(move || {
            for line in std::io::stdin().lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { lines })
    }

    /// The next line; none at the end of input.
    pub async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Forgets what was typed before the question: nobody can have meant it as an answer.
    pub fn forget(&mut self) {
        while self.lines.try_recv().is_ok() {}
    }
}
