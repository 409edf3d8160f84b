//! PURE: which events a stream sends next, so that a client sees each once, in order, without a gap.
//!
//! Fed with whatever arrives, live or from the history, in any order and any number of times. It gives out the event that
//! follows the last one sent, holds what is ahead, forgets what is behind, and says from where the history is needed.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The place of one stream in its video's history.
#[derive(Debug)]
pub struct Sequencer {
    sent: u64,
    head: u64,
    held: BTreeMap<u64, Bytes>,
}

/// How many events ahead of a hole are kept; the history gives the others again.
const MAX_HELD: usize = 32;

impl Sequencer {
    /// A stream whose client has everything up to `sent`.
    pub fn after(sent: u64) -> Self {
        Self { sent, head: sent, held: BTreeMap::new() }
    }

    /// The last event that was given out.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Takes an event; gives out, in order, whatever can be sent now.
    pub fn take(&mut self, seq: u64, frame: Bytes, mut give: impl FnMut(Bytes)) {
        self.hear(seq);
        if seq > self.sent + 1 {
            self.held.insert(seq, frame);
            if self.held.len() > MAX_HELD {
                self.held.pop_last();
            }
            return;
        }
        if seq == self.sent + 1 {
            self.sent = seq;
            give(frame);
        }
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() <= self.sent + 1) {
            let (seq, frame) = entry.remove_entry();
            if seq == self.sent + 1 {
                self.sent = seq;
                give(frame);
            }
        }
    }

    /// Learns how far the video is.
    pub fn hear(&mut self, head: u64) {
        self.head = self.head.max(head);
    }

    /// The last event that is known to exist.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Whether the history has to fill a hole after [`sent`](Self::sent).
    pub fn is_behind(&self) -> bool {
        self.head > self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(sequencer: &mut Sequencer, seqs: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut given = Vec::new();
        for seq in seqs {
            sequencer.take(seq, Bytes::from(seq.to_string()), |frame| {
                given.push(std::str::from_utf8(&frame).expect("digits").parse().expect("a number"));
            });
        }
        given
    }

    #[test]
    fn a_repeat_is_not_sent_again() {
        let mut sequencer = Sequencer::after(3);
        assert_eq!(offer(&mut sequencer, [1, 2, 3, 4, 4, 3, 5, 4]), [4, 5]);
    }

    #[test]
    fn an_event_ahead_of_a_hole_is_held_until_the_hole_is_filled() {
        let mut sequencer = Sequencer::after(0);
        assert_eq!(offer(&mut sequencer, [1, 4, 3]), [1]);
        assert!(sequencer.is_behind());
        assert_eq!(offer(&mut sequencer, [2]), [2, 3, 4]);
        assert!(!sequencer.is_behind());
    }

    #[test]
    fn a_head_that_was_only_heard_of_is_a_hole_too() {
        let mut sequencer = Sequencer::after(5);
        sequencer.hear(7);
        assert!(sequencer.is_behind());
        assert_eq!(offer(&mut sequencer, [6, 7]), [6, 7]);
        assert!(!sequencer.is_behind());
    }

    #[test]
    fn what_is_held_is_bounded_and_nothing_is_lost_by_it() {
        let mut sequencer = Sequencer::after(0);
        assert!(offer(&mut sequencer, 2..=1000).is_empty());
        assert_eq!(sequencer.held.len(), MAX_HELD);
        let mut given = Vec::new();
        while sequencer.is_behind() {
            let next = sequencer.sent() + 1;
            given.extend(offer(&mut sequencer, next..=(next + 9).min(1000)));
        }
        assert_eq!(given, (1..=1000).collect::<Vec<_>>());
    }

    /// A small generator, so that each history can be named by its number.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % sides
        }
    }

    #[test]
    fn whatever_the_bus_does_a_client_sees_each_event_once_and_in_order() {
        for seed in 1..=2000_u64 {
            let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let (start, head) = (dice.roll(20), 20 + dice.roll(100));
            let mut sequencer = Sequencer::after(start);
            let (mut given, mut published) = (Vec::new(), start);
            while sequencer.sent() < head {
                match dice.roll(10) {
                    // The bus: the next event, a lost one, an old one again, one that overtook others.
                    0..=3 if published < head => {
                        published += 1;
                        given.extend(offer(&mut sequencer, [published]));
                    }
                    4 if published < head => published += 1,
                    5 if published > 0 => {
                        let old = 1 + dice.roll(published);
                        given.extend(offer(&mut sequencer, [old]));
                    }
                    6 => {
                        let early = (published + 1 + dice.roll(5)).min(head);
                        given.extend(offer(&mut sequencer, [early]));
                    }
                    // The minute's comparison.
                    7 => sequencer.hear(published),
                    // The history: one page after what was sent, perhaps an empty one.
                    _ if sequencer.is_behind() || published == head => {
                        let (from, size) = (sequencer.sent() + 1, dice.roll(8));
                        let to = (from + size).min(head + 1);
                        sequencer.hear(published);
                        given.extend(offer(&mut sequencer, from..to));
                    }
                    _ => {}
                }
                assert!(sequencer.held.len() <= MAX_HELD, "history {seed}");
                let expected: Vec<_> = (start + 1..=sequencer.sent()).collect();
                assert_eq!(given, expected, "history {seed}");
            }
            assert!(!sequencer.is_behind(), "history {seed}");
        }
    }
}
