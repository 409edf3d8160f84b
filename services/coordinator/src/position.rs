//! How far each partition's commands are recorded.
//!
//! Commands of different videos finish in any order; the position is the last one below which all are recorded. It may
//! lag: what is read twice is recognised by its command id.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use messages::subject::Partition;

use crate::store::Position;

/// The positions of the partitions that this replica owns.
#[derive(Debug, Default)]
pub struct Positions {
    partitions: Mutex<HashMap<Partition, Track>>,
}

#[derive(Debug)]
struct Track {
    /// All up to here is recorded.
    position: Position,
    /// The highest sequence that was read.
    read: u64,
    /// Read and not yet below the position: when it was stored, and whether it is recorded.
    open: BTreeMap<u64, (i64, bool)>,
    /// Whether the position moved since it was last written down.
    moved: bool,
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
            partitions.entry(*partition).or_insert_with(|| Track {
                position: *position,
                read: position.sequence,
                open: BTreeMap::new(),
                moved: false,
            });
        }
    }

    /// The partitions kept, with their positions.
    pub fn all(&self) -> Vec<(Partition, Position)> {
        self.lock().iter().map(|(partition, track)| (*partition, track.position)).collect()
    }

    /// Begins a reading of the stream created at `stream_created`; partitions in `from_start` forget where they were.
    pub fn begin(&self, stream_created: i64, from_start: &HashSet<Partition>) {
        for (partition, track) in self.lock().iter_mut() {
            if from_start.contains(partition) {
                track.position = Position { stream_created, sequence: 0, message_time: 0 };
                track.open.clear();
            }
            // What is open is still in an actor's hands, and is read again: recognised by its id, recorded once.
            track.read = track.position.sequence;
            track.position.stream_created = stream_created;
        }
    }

    /// Notes that a command was read. False when it is not new to this partition, or the partition is not ours.
    pub fn read(&self, partition: Partition, sequence: u64, time: i64) -> bool {
        let mut partitions = self.lock();
        let Some(track) = partitions.get_mut(&partition).filter(|track| sequence > track.read) else { return false };
        track.read = sequence;
        match track.open.entry(sequence) {
            Entry::Vacant(new) => {
                new.insert((time, false));
                true
            }
            // An actor has it already; it is only read again.
            Entry::Occupied(_) => false,
        }
    }

    /// Notes that a command is recorded.
    pub fn recorded(&self, partition: Partition, sequence: u64) {
        let mut partitions = self.lock();
        let Some(track) = partitions.get_mut(&partition) else { return };
        if let Some((_, recorded)) = track.open.get_mut(&sequence) {
            *recorded = true;
        }
        while let Some(entry) = track.open.first_entry()
            && entry.get().1
        {
            let (sequence, (message_time, _)) = entry.remove_entry();
            track.position = Position { sequence, message_time, ..track.position };
            track.moved = true;
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
        self.lock().values().map(|track| track.open.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Partition = Partition(7);

    fn positions() -> Positions {
        let positions = Positions::default();
        positions.keep(&HashMap::from([(P, Position::default())]));
        positions
    }

    #[test]
    fn the_position_waits_for_the_slowest_command() {
        let positions = positions();
        for sequence in [3, 5, 9] {
            assert!(positions.read(P, sequence, sequence as i64 * 10));
        }
        positions.recorded(P, 5);
        positions.recorded(P, 9);
        assert_eq!(positions.take_moved(), []);
        positions.recorded(P, 3);
        let moved = positions.take_moved();
        assert_eq!((moved[0].1.sequence, moved[0].1.message_time), (9, 90));
    }

    #[test]
    fn a_command_read_again_is_not_new() {
        let positions = positions();
        assert!(positions.read(P, 3, 30));
        assert!(!positions.read(P, 3, 30));
        assert!(!positions.read(Partition(8), 3, 30), "not ours");
    }

    #[test]
    fn what_an_actor_still_has_is_not_handed_out_again_after_a_new_reading() {
        let positions = positions();
        for sequence in [3, 5] {
            assert!(positions.read(P, sequence, 0));
        }
        positions.recorded(P, 5);
        positions.begin(0, &HashSet::new());
        assert!(!positions.read(P, 3, 0));
        assert!(!positions.read(P, 5, 0));
        positions.recorded(P, 3);
        assert_eq!(positions.take_moved()[0].1.sequence, 5);
    }

    #[test]
    fn another_stream_is_read_from_its_start() {
        let positions = positions();
        positions.read(P, 3, 30);
        positions.recorded(P, 3);
        positions.begin(77, &HashSet::from([P]));
        assert!(positions.read(P, 1, 10));
        positions.recorded(P, 1);
        assert_eq!(positions.take_moved(), [(P, Position { stream_created: 77, sequence: 1, message_time: 10 })]);
    }
}
