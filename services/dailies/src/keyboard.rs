//! Lines that a person types, while the program goes on with other things.
//!
//! Invariant: nothing is read while the keyboard is lent to another program, so no key meant for an editor ends up here.

use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc;

/// Standard input, line by line.
#[derive(Debug)]
pub struct Keyboard {
    lines: mpsc::UnboundedReceiver<String>,
    owner: Arc<Owner>,
}

/// Who has the keyboard.
#[derive(Debug, Default)]
struct Owner {
    lent: Mutex<bool>,
    given_back: Condvar,
}

impl Keyboard {
    /// Starts to listen. The thread that reads ends with the process: nothing waits for it.
    pub fn listen() -> std::io::Result<Self> {
        let (sender, lines) = mpsc::unbounded_channel();
        let owner = Arc::new(Owner::default());
        let shared = owner.clone();
        std::thread::Builder::new().name("keyboard".into()).spawn(move || read(&shared, &sender))?;
        Ok(Self { lines, owner })
    }

    /// The next line; none at the end of input.
    pub async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Forgets what was typed before the question: nobody can have meant it as an answer.
    pub fn forget(&mut self) {
        while self.lines.try_recv().is_ok() {}
    }

    /// Leaves the keyboard to another program until the loan is dropped.
    pub fn lend(&self) -> Loan {
        *self.owner.lent() = true;
        Loan { owner: self.owner.clone() }
    }
}

/// While it lives, another program reads the keyboard.
#[derive(Debug)]
pub struct Loan {
    owner: Arc<Owner>,
}

impl Drop for Loan {
    fn drop(&mut self) {
        *self.owner.lent() = false;
        self.owner.given_back.notify_all();
    }
}

impl Owner {
    fn lent(&self) -> MutexGuard<'_, bool> {
        // A flag cannot be left half changed.
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(owner: &Owner, sender: &mpsc::UnboundedSender<String>) {
    loop {
        // Waits without holding anything, so that the keyboard can be lent at any time.
        if !has_input(PollTimeout::from(250_u8)) {
            continue;
        }
        let waiting = owner.given_back.wait_while(owner.lent(), |lent| *lent);
        let _ours = waiting.unwrap_or_else(PoisonError::into_inner);
        // The borrower may have read it. A terminal hands over whole lines, so that this read does not wait.
        if !has_input(PollTimeout::ZERO) {
            continue;
        }
        let mut line = String::new();
        if !std::io::stdin().read_line(&mut line).is_ok_and(|bytes| bytes > 0) || sender.send(line).is_err() {
            return;
        }
    }
}

/// Whether a read would give something now: a line, the end, or an error.
fn has_input(timeout: PollTimeout) -> bool {
    let stdin = std::io::stdin();
    match poll(&mut [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(ready) => ready > 0,
        Err(Errno::EINTR) => false,
        // The read says what is wrong.
        Err(_) => true,
    }
}
