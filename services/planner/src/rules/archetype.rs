//! Which shape the film takes: the archetype whose "meant for" words speak of the product, supported by mood and length.

use messages::catalogue::{Archetype, Catalogue};
use messages::spec::Mood;

use super::dice::Dice;
use super::lexicon::{Concept, Lexicon};
use super::mood_id;
use super::text::{Text, folded};

/// What the choice goes by.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// Prompt, title, description and notes.
    pub text: &'a Text,
    /// The product's kind.
    pub kind: Option<&'a Concept>,
    /// The feeling.
    pub mood: Mood,
    /// Whether somebody asked for that feeling.
    pub mood_is_asked_for: bool,
    /// Seconds.
    pub seconds: u32,
    /// 0 to 1.
    pub creativity: f64,
    /// Settles near ties of daring films.
    pub dice: Dice,
}

/// The archetype and why it was chosen. Only a library without archetypes has none.
pub fn choose<'a>(
    library: &'a Catalogue,
    evidence: &Evidence<'_>,
    lexicon: &Lexicon,
) -> Option<(&'a Archetype, String)> {
    let mut scored: Vec<_> = library.archetypes.iter().map(|archetype| score(archetype, evidence, lexicon)).collect();
    // Stable: the catalogue's order settles ties.
    scored.sort_by_key(|scored| std::cmp::Reverse(scored.points));
    let best = scored.first()?.points;
    let near = scored.iter().filter(|scored| evidence.creativity >= 0.8 && scored.points + 1 >= best).count().max(1);
    let chosen = scored.swap_remove(evidence.dice.pick("archetype", 0, near));
    let reasons =
        if chosen.reasons.is_empty() { "nothing speaks for another".to_owned() } else { chosen.reasons.join("; ") };
    let arc = chosen.archetype.story_arc.join(", ");
    Some((chosen.archetype, format!("`{}`: {reasons}. Its story: {arc}.", chosen.archetype.id)))
}

struct Scored<'a> {
    archetype: &'a Archetype,
    points: u32,
    reasons: Vec<String>,
}

fn score<'a>(archetype: &'a Archetype, evidence: &Evidence<'_>, lexicon: &Lexicon) -> Scored<'a> {
    let mut scored = Scored { archetype, points: 0, reasons: Vec::new() };
    let kind = evidence.kind.map_or("", |kind| kind.attribute("meant"));
    for meant in &archetype.meant_for {
        if meant == kind {
            scored.points += 5;
            scored.reasons.push(format!("it is meant for {meant}"));
        } else if is_spoken_of(meant, evidence.text) {
            scored.points += 3;
            scored.reasons.push(format!("the prompt speaks of {meant}"));
        }
    }
    let mood = mood_id(evidence.mood);
    if lexicon.moods.concept(mood).is_some_and(|concept| concept.attribute("archetype") == archetype.id) {
        scored.points += if evidence.mood_is_asked_for { 4 } else { 2 };
        scored.reasons.push(format!("it carries the {mood} mood"));
    }
    let [from, to] = archetype.typical_s;
    if (from..=to).contains(&evidence.seconds) {
        scored.points += 1;
        scored.reasons.push(format!("such films usually last {from} to {to} s"));
    }
    scored
}

/// Whether every word of a "meant for" phrase stands in the text, plural or not: users write archetypes for words that no
/// list knows.
fn is_spoken_of(meant: &str, text: &Text) -> bool {
    let mut words = meant.split_whitespace().map(folded).peekable();
    words.peek().is_some()
        && words.all(|word| {
            let singular = word.strip_suffix('s').filter(|stem| stem.len() > 3).unwrap_or(&word);
            text.words.iter().any(|said| said.folded == word || said.folded == singular)
        })
}
