//! Which beats, in which order, so that they last exactly as long as the film.
//!
//! A beat keeps the length that its library gives it. The search walks the film in steps of five seconds and keeps the
//! cheapest partial films; what a choice costs says what is preferred. Dead ends are known beforehand, so whenever the
//! library can fill the length at all, it is filled.

use messages::catalogue::{Archetype, Catalogue, Energy, LibraryBeat, Position};
use messages::spec::Mood;

use super::dice::Dice;

/// What the sequence is to serve.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Beats to choose from.
    pub library: &'a Catalogue,
    /// The shape of the film.
    pub archetype: &'a Archetype,
    /// Words that the library's `products` are compared with.
    pub categories: &'a [&'a str],
    /// Sets how lively beats should be.
    pub mood: Mood,
    /// Seconds, a multiple of five.
    pub seconds: u32,
    /// How far to depart from the suggestion, 0 to 1.
    pub creativity: f64,
    /// What makes two departures differ.
    pub dice: Dice,
}

/// Partial films kept per length.
const KEPT: usize = 12;
/// Seconds of one step.
const STEP: u32 = 5;

/// The beats in order, or why no sequence fits.
pub fn fit<'a>(wanted: &Wanted<'a>) -> Result<Vec<&'a LibraryBeat>, String> {
    [Strictness::Full, Strictness::AnyEnds, Strictness::Lengths]
        .into_iter()
        .find_map(|strictness| Search::new(wanted, strictness).best())
        .ok_or_else(|| impossible(wanted))
}

fn impossible(wanted: &Wanted<'_>) -> String {
    let mut lengths: Vec<_> = wanted.library.beats.iter().map(|beat| beat.duration).collect();
    lengths.sort_unstable();
    lengths.dedup();
    let lengths: Vec<_> = lengths.iter().map(|seconds| format!("{seconds} s")).collect();
    format!(
        "no sequence of the library's beats lasts {} s: its beats last {}; ask for another length or add a shorter beat",
        wanted.seconds,
        lengths.join(", ")
    )
}

/// How many of the good manners are kept; only a library that leaves no choice makes them give way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// First from the opening group, last from the closing group, no beat beside itself.
    Full,
    /// No beat beside itself.
    AnyEnds,
    /// Only the length.
    Lengths,
}

#[derive(Clone)]
struct Partial {
    beats: Vec<usize>,
    cost: f64,
}

struct Search<'w, 'a> {
    wanted: &'w Wanted<'a>,
    strictness: Strictness,
    steps: Vec<usize>,
    total: usize,
    /// `finishable[left][last]`: whether a film whose last beat is `last` can be ended in `left` steps.
    finishable: Vec<Vec<bool>>,
}

impl<'w, 'a> Search<'w, 'a> {
    fn new(wanted: &'w Wanted<'a>, strictness: Strictness) -> Self {
        let beats = &wanted.library.beats;
        // A beat of no length would never end; the catalogue's check excludes it, a job from elsewhere may not.
        let steps: Vec<_> = beats.iter().map(|beat| (beat.duration / STEP).max(1) as usize).collect();
        let total = (wanted.seconds / STEP) as usize;
        let mut search = Self { wanted, strictness, steps, total, finishable: Vec::new() };
        for left in 0..=total {
            let row = (0..beats.len()).map(|last| match left {
                0 => {
                    strictness != Strictness::Full
                        || total == search.steps[last]
                        || beats[last].position == Position::Closing
                }
                _ => (0..beats.len()).any(|next| {
                    search.steps[next] <= left
                        && search.neighbours(last, next)
                        && search.finishable[left - search.steps[next]][next]
                }),
            });
            let row = row.collect();
            search.finishable.push(row);
        }
        search
    }

    fn best(&self) -> Option<Vec<&'a LibraryBeat>> {
        let mut by_length: Vec<Vec<Partial>> = vec![Vec::new(); self.total + 1];
        by_length[0].push(Partial { beats: Vec::new(), cost: 0.0 });
        for at in 0..self.total {
            let mut partials = std::mem::take(&mut by_length[at]);
            partials.sort_by(|a, b| a.cost.total_cmp(&b.cost).then_with(|| a.beats.cmp(&b.beats)));
            for partial in partials.into_iter().take(KEPT) {
                for next in 0..self.steps.len() {
                    let end = at + self.steps[next];
                    if end <= self.total && self.allowed(&partial, next, end) {
                        let cost = partial.cost + self.cost(&partial, next, at);
                        let beats = partial.beats.iter().copied().chain([next]).collect();
                        by_length[end].push(Partial { beats, cost });
                    }
                }
            }
        }
        let done = by_length.pop().unwrap_or_default();
        let best = done.into_iter().min_by(|a, b| a.cost.total_cmp(&b.cost).then_with(|| a.beats.cmp(&b.beats)))?;
        Some(best.beats.into_iter().map(|beat| &self.wanted.library.beats[beat]).collect())
    }

    fn allowed(&self, partial: &Partial, next: usize, end: usize) -> bool {
        let position = self.wanted.library.beats[next].position;
        let begins_well = match partial.beats.last() {
            Some(last) => self.neighbours(*last, next),
            // A film of one beat may be an opening or a closing.
            None if self.strictness == Strictness::Full => {
                position == Position::Opening || (end == self.total && position == Position::Closing)
            }
            None => true,
        };
        // A single beat that is neither needs a looser search.
        begins_well && self.finishable[self.total - end][next]
    }

    fn neighbours(&self, a: usize, b: usize) -> bool {
        a != b || self.strictness == Strictness::Lengths
    }

    fn cost(&self, partial: &Partial, next: usize, at: usize) -> f64 {
        let Wanted { library, archetype, creativity, dice, .. } = self.wanted;
        let beat = &library.beats[next];
        let units = self.steps[next] as f64;
        let uses = partial.beats.iter().filter(|used| **used == next).count();
        let place = |id: &str| archetype.suggested_beats.iter().position(|suggested| suggested == id);
        let last_place = partial.beats.iter().filter_map(|used| place(&library.beats[*used].beat_id)).max();

        let suggested = match place(&beat.beat_id) {
            Some(place) if uses == 0 && last_place.is_none_or(|last| place > last) => -24.0,
            Some(_) if uses == 0 => -8.0,
            _ => 0.0,
        };
        let first = partial.beats.is_empty();
        let last = at + self.steps[next] == self.total;
        let misplaced = match beat.position {
            Position::Middle => first || last,
            Position::Opening => !first,
            Position::Closing => !last,
        };
        let suits = match () {
            () if beat.products.iter().any(|p| self.wanted.categories.contains(&p.as_str())) => 0.0,
            () if beat.products.iter().any(|product| product == "all") => 2.0,
            () => 9.0,
        };
        let recent = partial.beats.iter().rev().take(3).any(|used| *used == next);
        let repeated = 7.0 * uses as f64 + if recent { 9.0 } else { 0.0 };
        // An archetype's own beats are never too lively or too calm for it.
        let energy = if suggested < 0.0 { 0.0 } else { 4.0 * self.energy_gap(beat, at).powi(2) };
        let daring = creativity.clamp(0.0, 1.0);
        let departure = daring * 10.0 * dice.fraction(&beat.beat_id, partial.beats.len());
        suggested * (1.0 - 0.5 * daring)
            + if misplaced { 60.0 } else { 0.0 }
            + (suits + energy) * units
            + repeated
            + departure
    }

    /// How far a beat is from the energy that the film should have at this point, 0 to 2.
    fn energy_gap(&self, beat: &LibraryBeat, at: usize) -> f64 {
        let progress = at as f64 / self.total.max(1) as f64;
        let level = match self.wanted.mood {
            Mood::Energetic => 2.0,
            Mood::Informative => 0.8,
            Mood::Emotional => 0.7,
            Mood::Elegant | Mood::Minimalist => 0.4,
        };
        let target = match self.wanted.archetype.energy_curve.as_str() {
            "building" => (level - 0.4 + 0.8 * progress).clamp(0.0, 2.0),
            _ => level,
        };
        let has = match beat.energy_level {
            Energy::Low => 0.0,
            Energy::Medium => 1.0,
            Energy::High => 2.0,
        };
        (target - has).abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(library: &Catalogue, archetype: &str, seconds: u32, creativity: f64, seed: u64) -> Vec<String> {
        let wanted = Wanted {
            library,
            archetype: library.archetype(archetype).expect("known"),
            categories: &["luxury"],
            mood: Mood::Elegant,
            seconds,
            creativity,
            dice: Dice::new(seed, []),
        };
        fit(&wanted).expect("fits").into_iter().map(|beat| beat.beat_id.clone()).collect()
    }

    #[test]
    fn a_film_as_long_as_the_suggestion_is_the_suggestion() {
        let library = Catalogue::shipped().expect("valid");
        for archetype in &library.archetypes {
            let seconds =
                archetype.suggested_beats.iter().filter_map(|id| library.beat(id)).map(|beat| beat.duration).sum();
            for creativity in [0.0, 0.5] {
                assert_eq!(
                    ids(&library, &archetype.id, seconds, creativity, 7),
                    archetype.suggested_beats,
                    "{}",
                    archetype.id
                );
            }
        }
    }

    #[test]
    fn a_shorter_film_drops_the_beat_that_does_not_fit() {
        let library = Catalogue::shipped().expect("valid");
        assert_eq!(ids(&library, "luxury_showcase", 15, 0.0, 1), ["hero_shot", "detail_showcase", "call_to_action"]);
        assert_eq!(ids(&library, "luxury_showcase", 10, 0.0, 1), ["hero_shot", "call_to_action"]);
        assert_eq!(ids(&library, "luxury_showcase", 5, 0.0, 1).len(), 1);
    }

    #[test]
    fn a_longer_film_keeps_the_suggestion_and_adds_what_suits_the_product() {
        let library = Catalogue::shipped().expect("valid");
        let beats = ids(&library, "luxury_showcase", 60, 0.0, 1);
        for id in &library.archetype("luxury_showcase").expect("known").suggested_beats {
            assert!(beats.contains(id), "{id} is missing: {beats:?}");
        }
        assert!(!beats.contains(&"action_montage".to_owned()), "{beats:?}");
    }

    #[test]
    fn daring_films_depart_from_the_suggestion() {
        let library = Catalogue::shipped().expect("valid");
        let plain = ids(&library, "feature_demo", 45, 0.0, 1);
        assert!((0..10).any(|seed| ids(&library, "feature_demo", 45, 1.0, seed) != plain));
        assert!((0..10).all(|seed| ids(&library, "feature_demo", 45, 0.0, seed) == plain));
    }

    #[test]
    fn a_library_that_cannot_fill_the_length_is_told_why() {
        let mut library = Catalogue::shipped().expect("valid");
        library.beats.retain(|beat| beat.duration == 10);
        let wanted = Wanted {
            archetype: &library.archetypes[0].clone(),
            library: &library,
            categories: &[],
            mood: Mood::Elegant,
            seconds: 15,
            creativity: 0.0,
            dice: Dice::new(1, []),
        };
        let reason = fit(&wanted).expect_err("10 s beats never sum to 15 s");
        assert!(reason.contains("15 s") && reason.contains("10 s"), "{reason}");
        assert_eq!(fit(&Wanted { seconds: 30, ..wanted }).expect("fits").len(), 3);
    }

    #[test]
    fn one_middle_beat_alone_is_set_apart_by_others() {
        let mut library = Catalogue::shipped().expect("valid");
        library.beats.retain(|beat| ["hero_shot", "usage_scenario", "call_to_action"].contains(&beat.beat_id.as_str()));
        for seconds in (5..=180).step_by(5) {
            let beats = ids(&library, "luxury_showcase", seconds, 0.5, 3);
            assert!(beats.windows(2).all(|pair| pair[0] != pair[1]), "{seconds}: {beats:?}");
        }
    }
}
