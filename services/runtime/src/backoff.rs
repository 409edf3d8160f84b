//! How long to wait before the next try.

use std::time::Duration;

/// Waits that double up to a limit, each spread over its upper half, so that many who failed together do not come back
/// together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    /// Starts with about `first` and never waits longer than `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, tries: 0 }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.tries.min(16)).min(self.most);
        self.tries = self.tries.saturating_add(1);
        spread(whole)
    }

    /// Starts over after a success.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }
}

/// Something between half of `whole` and all of it.
pub fn spread(whole: Duration) -> Duration {
    // The low bits of a random UUID; a generator of its own would be one dependency more.
    let share = uuid::Uuid::new_v4().as_u128() as u16;
    whole / 2 + whole.mul_f64(f64::from(share) / f64::from(u16::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<_> = (0..40).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] <= Duration::from_millis(100) && waits[0] >= Duration::from_millis(50), "{waits:?}");
        assert!(waits[39] <= Duration::from_secs(1) && waits[39] >= Duration::from_millis(500), "{waits:?}");
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
