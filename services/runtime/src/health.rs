//! Whether this process lives, and whether it can do its work.
//!
//! A process has one health, as it has one log: its parts say what they need and how their loops turn, and the
//! [monitoring](crate::monitoring) listener tells whoever asks. Invariant: not ready never means not alive. What a process
//! needs may be away for hours, and starting it again would help nobody; only a loop that no longer turns is helped so.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

static PROCESS: Mutex<Process> = Mutex::new(Process { needs: BTreeMap::new(), loops: BTreeMap::new(), next: 0 });

/// Whether something that a part needs is there, or what is missing, in words.
type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

struct Process {
    needs: BTreeMap<u64, (&'static str, Check)>,
    loops: BTreeMap<u64, Watched>,
    next: u64,
}

struct Watched {
    name: &'static str,
    patience: Duration,
    turned: Arc<AtomicU64>,
}

/// Something that must be there for this process to do its work, as long as this value lives.
pub struct Need(u64);

/// Adds a need. `check` is asked by every probe, so it looks at what is known and waits for nothing.
pub fn need(name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Need {
    let mut process = process();
    let id = process.next();
    process.needs.insert(id, (name, Arc::new(check)));
    Need(id)
}

impl Drop for Need {
    fn drop(&mut self) {
        let gone = process().needs.remove(&self.0);
        // What a check holds may have needs of its own, so it goes when nothing is locked.
        drop(gone);
    }
}

impl fmt::Debug for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Need").field(&self.0).finish()
    }
}

/// What is missing for the work of `parts`, by name; a part that is not among the needs does not run.
pub fn missing(parts: &[&'static str]) -> BTreeMap<&'static str, String> {
    let needs: Vec<_> = process().needs.values().cloned().collect();
    let mut missing = BTreeMap::new();
    for part in parts.iter().filter(|part| needs.iter().all(|(name, _)| name != *part)) {
        missing.insert(*part, "it is not running".to_owned());
    }
    for (name, check) in needs {
        if let Err(reason) = check() {
            missing.insert(name, reason);
        }
    }
    missing
}

/// A loop that everything depends on: it says that it turns, and is stuck when it does not for too long.
#[derive(Debug)]
pub struct MainLoop {
    id: u64,
    turned: Arc<AtomicU64>,
}

/// Watches a loop whose turns take at most `patience`, whatever is away.
pub fn main_loop(name: &'static str, patience: Duration) -> MainLoop {
    let turned = Arc::new(AtomicU64::new(now()));
    let mut process = process();
    let id = process.next();
    process.loops.insert(id, Watched { name, patience, turned: Arc::clone(&turned) });
    MainLoop { id, turned }
}

impl MainLoop {
    /// A turn begins.
    pub fn turns(&self) {
        self.turned.store(now(), Ordering::Relaxed);
    }

    /// The loop is at something that has a deadline of its own, until its next turn.
    pub fn is_at_work(&self) {
        self.turned.store(AT_WORK, Ordering::Relaxed);
    }
}

impl Drop for MainLoop {
    fn drop(&mut self) {
        process().loops.remove(&self.id);
    }
}

/// Something that is seen to be well again and again.
#[derive(Debug, Clone, Default)]
pub struct LastSeen(Arc<AtomicU64>);

impl LastSeen {
    /// It is well now.
    pub fn now(&self) {
        // Zero means never.
        self.0.store(now().max(1), Ordering::Relaxed);
    }

    /// Whether that was within `duration`.
    pub fn within(&self, duration: Duration) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        seen != 0 && Duration::from_millis(now().saturating_sub(seen)) <= duration
    }
}

/// The loops that do not turn any more, and for how long.
pub fn stuck() -> BTreeMap<&'static str, String> {
    let now = now();
    let process = process();
    let stuck = process.loops.values().filter_map(|watched| {
        let turned = watched.turned.load(Ordering::Relaxed);
        let silence = Duration::from_millis(now.saturating_sub(turned));
        let stuck = turned != AT_WORK && silence > watched.patience;
        stuck.then(|| (watched.name, format!("it has not turned for {} s", silence.as_secs())))
    });
    stuck.collect()
}

/// In the place of a time: not judged now.
const AT_WORK: u64 = u64::MAX;

/// Milliseconds since the first of them was asked for.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(AT_WORK - 1)
}

fn process() -> MutexGuard<'static, Process> {
    // Nothing in here is left half done by a panic.
    PROCESS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_until_it_is_there_or_nobody_needs_it() {
        assert_eq!(missing(&["painter"])["painter"], "it is not running");
        let there = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&there);
        let need = need("painter", move || match seen.load(Ordering::Relaxed) {
            0 => Err("the paint is out".to_owned()),
            _ => Ok(()),
        });
        assert_eq!(missing(&["painter"])["painter"], "the paint is out");
        there.store(1, Ordering::Relaxed);
        assert_eq!(missing(&["painter"]).get("painter"), None);
        drop(need);
        assert_eq!(missing(&[]).get("painter"), None);
    }

    #[test]
    fn a_loop_is_stuck_when_it_does_not_turn_and_not_while_it_works() {
        let patient = main_loop("patient", Duration::from_secs(3600));
        let hasty = main_loop("hasty", Duration::ZERO);
        hasty.turned.store(now().saturating_sub(1), Ordering::Relaxed);
        // The first of all times is zero, and a loop that began then is not late yet.
        while now() == 0 {
            std::hint::spin_loop();
        }
        assert_eq!(stuck().keys().filter(|name| ["patient", "hasty"].contains(*name)).count(), 1);
        hasty.is_at_work();
        assert!(!stuck().contains_key("hasty"));
        drop((patient, hasty));
        assert!(!stuck().contains_key("patient"));
    }
}
