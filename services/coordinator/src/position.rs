//! How far each partition's commands are recorded.
//!
//! Commands of different videos finish in any order; the position is the last one below which all are recorded. It may
//! lag: what is read twice is recognised by its command id. A partition that nobody asks anything of follows the reader, so
//! that a reading begins near the end of the stream and not where that partition was last heard of.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messages::subject::Partition;
use runtime::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::store::{Position, Store};

/// How far behind the reader an idle partition may stay: near enough, and written down seldom.
const NEAR: u64 = 256;
/// How often positions are written down.
const PAUSE: Duration = Duration::from_millis(250);

/// The positions of the partitions that this replica owns.
#[derive(Debug, Default)]
pub struct Positions {
    partitions: Mutex<HashMap<Partition, Track>>,
}

#[derive(Debug)]
struct Track {
    /// All up to here is recorded.
    position: Position,
    /// Whether the reader that reads now reads this partition too.
    followed: bool,
    /// The highest sequence that was read.
    read: u64,
    /// Read and not yet below the position: when it was stored, and whether it is recorded.
    open: BTreeMap<u64, (i64, bool)>,
    /// How many of these are not recorded.
    in_hand: usize,
    /// Whether the position moved since it was last written down.
    moved: bool,
}

impl Track {
    const fn at(position: Position) -> Self {
        let read = position.sequence;
        Self { position, followed: false, read, open: BTreeMap::new(), in_hand: 0, moved: false }
    }

    const fn move_to(&mut self, position: Position) {
        self.position = position;
        self.moved = true;
    }

    /// Whether it is new.
    fn take_in(&mut self, at: Position) -> bool {
        if at.sequence <= self.read {
            return false;
        }
        self.read = at.sequence;
        match self.open.insert(at.sequence, (at.message_time, false)) {
            None => {
                self.in_hand += 1;
                true
            }
            // An actor has it already; it is only read again.
            Some(known) if known.0 == at.message_time => {
                self.open.insert(at.sequence, known);
                false
            }
            // What had this number was lost with the stream's tail.
            Some((_, recorded)) => {
                self.in_hand += usize::from(recorded);
                true
            }
        }
    }
}

impl Positions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Partition, Track>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps these partitions: new ones from the position given, known ones where they are, others no more.
    pub fn keep(&self, owned: &HashMap<Partition, Position>) {
        let mut partitions = self.lock();
        partitions.retain(|partition, _| owned.contains_key(partition));
        for (partition, position) in owned {
            partitions.entry(*partition).or_insert_with(|| Track::at(*position));
        }
    }

    /// Whether a partition is kept.
    pub fn keeps(&self, partition: Partition) -> bool {
        self.lock().contains_key(&partition)
    }

    /// The partitions kept, with their positions.
    pub fn all(&self) -> Vec<(Partition, Position)> {
        self.lock().iter().map(|(partition, track)| (*partition, track.position)).collect()
    }

    /// Begins a reading of `partitions` in the stream created at `stream_created`, and says with which sequence; those in
    /// `from_start` forget where they were.
    pub fn begin(&self, stream_created: i64, partitions: &[Partition], from_start: &HashSet<Partition>) -> u64 {
        let mut tracks = self.lock();
        for (partition, track) in tracks.iter_mut() {
            track.followed = partitions.contains(partition);
            if from_start.contains(partition) || track.position.stream_created != stream_created {
                *track = Track {
                    followed: track.followed,
                    ..Track::at(Position { stream_created, sequence: 0, message_time: 0 })
                };
            }
            // What is open is still in an actor's hands, and is read again: recognised by its id, recorded once.
            track.read = track.position.sequence;
        }
        let followed = tracks.values().filter(|track| track.followed);
        followed.map(|track| track.position.sequence + 1).min().unwrap_or(1)
    }

    /// Notes that a command was read, in a partition and at a place of the stream. False when it is not new to this
    /// partition, or the partition is not ours.
    pub fn read(&self, partition: Partition, at: Position) -> bool {
        let mut partitions = self.lock();
        let new = partitions.get_mut(&partition).is_some_and(|track| track.take_in(at));
        // All partitions are read in one order: whatever others had up to here was read too.
        for track in partitions.values_mut() {
            if track.followed && track.open.is_empty() && track.position.sequence + NEAR <= at.sequence {
                track.move_to(at);
            }
        }
        new
    }

    /// Notes that a command is recorded. One of another stream, or of a tail that was lost, stands for nothing here.
    pub fn recorded(&self, partition: Partition, at: Position) {
        let mut partitions = self.lock();
        let Some(track) = partitions.get_mut(&partition) else { return };
        if track.position.stream_created != at.stream_created {
            return;
        }
        if let Some((time, recorded)) = track.open.get_mut(&at.sequence)
            && *time == at.message_time
            && !std::mem::replace(recorded, true)
        {
            track.in_hand -= 1;
        }
        while let Some(entry) = track.open.first_entry()
            && entry.get().1
        {
            let (sequence, (message_time, _)) = entry.remove_entry();
            track.move_to(Position { sequence, message_time, ..track.position });
        }
    }

    /// Positions that moved since they were last taken.
    pub fn take_moved(&self) -> Vec<(Partition, Position)> {
        let mut partitions = self.lock();
        let moved = partitions.iter_mut().filter(|(_, track)| track.moved);
        moved
            .map(|(partition, track)| {
                track.moved = false;
                (*partition, track.position)
            })
            .collect()
    }

    /// Positions that were taken and could not be written down.
    pub fn give_back(&self, taken: Vec<(Partition, Position)>) {
        let mut partitions = self.lock();
        for (partition, _) in taken {
            if let Some(track) = partitions.get_mut(&partition) {
                track.moved = true;
            }
        }
    }

    /// Commands read and not yet recorded.
    pub fn lag(&self) -> usize {
        self.lock().values().map(|track| track.in_hand).sum()
    }
}

/// Writes positions down as `owner`, apart from the appends, so that nobody who asked for something waits for it.
pub async fn write_down(
    store: Arc<dyn Store>,
    positions: Arc<Positions>,
    owner: String,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) {
    while shutdown.run_until_cancelled(clock.sleep(PAUSE)).await.is_some() {
        let moved = positions.take_moved();
        if moved.is_empty() {
            continue;
        }
        if let Err(error) = store.mark_read(&owner, moved.clone()).await {
            tracing::debug!(error = %error, "positions are written down later");
            positions.give_back(moved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Partition = Partition(7);
    const Q: Partition = Partition(8);

    /// Partitions that are read from the start of the stream created at 1.
    fn positions(partitions: &[Partition]) -> Positions {
        let positions = Positions::default();
        positions.keep(&partitions.iter().map(|partition| (*partition, Position::default())).collect());
        assert_eq!(positions.begin(1, partitions, &HashSet::new()), 1);
        positions
    }

    /// A place in that stream; what stands there was stored at ten times its number.
    fn at(sequence: u64) -> Position {
        Position { stream_created: 1, sequence, message_time: sequence as i64 * 10 }
    }

    #[test]
    fn the_position_waits_for_the_slowest_command() {
        let positions = positions(&[P]);
        for sequence in [3, 5, 9] {
            assert!(positions.read(P, at(sequence)));
        }
        positions.recorded(P, at(5));
        positions.recorded(P, at(9));
        assert_eq!(positions.take_moved(), []);
        positions.recorded(P, at(3));
        assert_eq!(positions.take_moved(), [(P, at(9))]);
    }

    #[test]
    fn a_command_read_again_is_not_new() {
        let positions = positions(&[P]);
        assert!(positions.read(P, at(3)));
        assert!(!positions.read(P, at(3)));
        assert!(!positions.read(Q, at(3)), "not ours");
    }

    #[test]
    fn what_an_actor_still_has_is_not_handed_out_again_after_a_new_reading() {
        let positions = positions(&[P]);
        for sequence in [3, 5] {
            assert!(positions.read(P, at(sequence)));
        }
        positions.recorded(P, at(5));
        assert_eq!(positions.begin(1, &[P], &HashSet::new()), 1);
        assert!(!positions.read(P, at(3)));
        assert!(!positions.read(P, at(5)));
        assert_eq!(positions.lag(), 1);
        positions.recorded(P, at(3));
        assert_eq!(positions.take_moved(), [(P, at(5))]);
        assert_eq!(positions.lag(), 0);
    }

    #[test]
    fn another_stream_is_read_from_its_start() {
        let positions = positions(&[P]);
        positions.read(P, at(3));
        positions.recorded(P, at(3));
        assert_eq!(positions.begin(77, &[P], &HashSet::from([P])), 1);
        let first = Position { stream_created: 77, sequence: 1, message_time: 10 };
        assert!(positions.read(P, first));
        positions.recorded(P, first);
        assert_eq!(positions.take_moved(), [(P, first)]);
    }

    #[test]
    fn what_was_read_of_an_older_stream_says_nothing_about_the_new_ones_command_of_the_same_number() {
        let positions = positions(&[P]);
        assert!(positions.read(P, at(3)));
        // Nothing was recorded of the old stream, so nothing tells that it was another one but its creation.
        positions.begin(77, &[P], &HashSet::new());
        let new = Position { stream_created: 77, ..at(3) };
        assert!(positions.read(P, new), "an actor has the old one, nobody has the new one");
        positions.recorded(P, at(3));
        assert_eq!((positions.take_moved(), positions.lag()), (vec![], 1));
        positions.recorded(P, new);
        assert_eq!((positions.take_moved(), positions.lag()), (vec![(P, new)], 0));
    }

    #[test]
    fn what_was_lost_with_the_tail_says_nothing_about_what_took_its_number() {
        let positions = positions(&[P]);
        assert!(positions.read(P, at(3)));
        positions.begin(1, &[P], &HashSet::new());
        let new = Position { message_time: 99, ..at(3) };
        assert!(positions.read(P, new));
        positions.recorded(P, at(3));
        assert_eq!((positions.take_moved(), positions.lag()), (vec![], 1));
        positions.recorded(P, new);
        assert_eq!((positions.take_moved(), positions.lag()), (vec![(P, new)], 0));
    }

    #[test]
    fn a_partition_without_commands_follows_the_reader() {
        let positions = positions(&[P, Q]);
        positions.read(P, at(3));
        positions.read(P, at(NEAR - 1));
        positions.read(P, at(NEAR));
        assert_eq!(positions.take_moved(), [(Q, at(NEAR))], "and not at every step");
        assert_eq!(positions.begin(1, &[P, Q], &HashSet::new()), 1, "the other's commands are not recorded");
        for sequence in [3, NEAR - 1, NEAR] {
            positions.recorded(P, at(sequence));
        }
        assert_eq!(positions.begin(1, &[P, Q], &HashSet::new()), NEAR + 1);

        // One that has a command in an actor's hands stays where it is.
        positions.read(Q, at(NEAR + 5));
        positions.read(P, at(3 * NEAR));
        assert_eq!(positions.begin(1, &[Q], &HashSet::new()), NEAR + 1);
    }

    #[test]
    fn a_partition_that_is_not_read_yet_stays_where_it_is() {
        let positions = positions(&[P]);
        positions.keep(&HashMap::from([(P, at(0)), (Q, Position { stream_created: 1, ..Position::default() })]));
        positions.read(P, at(NEAR));
        assert_eq!(positions.begin(1, &[Q], &HashSet::new()), 1);
        assert_eq!(positions.take_moved(), []);
    }
}
