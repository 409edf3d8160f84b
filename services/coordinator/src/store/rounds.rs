//! How appends share statements.

use std::collections::HashMap;
use std::sync::Arc;

use messages::id::VideoId;

use super::Append;

/// Splits appends so that no round has a video twice: what is appended after something else must find that recorded.
/// Gives the places of each round's appends.
pub(super) fn rounds(appends: &[Arc<Append>]) -> Vec<Vec<usize>> {
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    let mut before: HashMap<VideoId, usize> = HashMap::new();
    for (place, append) in appends.iter().enumerate() {
        let round = before.entry(append.video).or_default();
        match rounds.get_mut(*round) {
            Some(places) => places.push(place),
            None => rounds.push(vec![place]),
        }
        *round += 1;
    }
    rounds
}
