//! The scene of each beat in words: one action, at most two people, one simple background, under 40 words.
//!
//! The texts are data (`lexicon/scenes/*.toml`), one file per language. What varies from beat to beat and from seed to seed
//! is which variant is taken; no two beats of a film get the same words while the book has others.

use std::collections::{BTreeMap, HashSet};

use messages::catalogue::{LibraryBeat, Position};
use messages::spec::Mood;
use serde::Deserialize;

use super::dice::Dice;
use super::mood_id;

/// The scene texts of one language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneBook {
    /// What a product without a name is called.
    pub product: String,
    article: String,
    person: Vec<String>,
    join: String,
    mood: BTreeMap<String, Vec<String>>,
    /// Light in words, by `looks.toml`'s names.
    pub light: BTreeMap<String, String>,
    /// Looks in words, by `looks.toml`'s names and by mood.
    pub look: BTreeMap<String, String>,
    studio: BTreeMap<String, Vec<String>>,
    place: BTreeMap<String, Vec<String>>,
    action: BTreeMap<String, Vec<String>>,
}

/// The setting that suits every product.
const GENERAL: &str = "general";

impl SceneBook {
    /// Reads and checks a book: whatever the rules look up is there.
    pub fn parse(toml: &str) -> Result<Self, String> {
        let book: Self = toml::from_str(toml).map_err(|e| e.to_string())?;
        let moods = [Mood::Energetic, Mood::Elegant, Mood::Minimalist, Mood::Emotional, Mood::Informative].map(mood_id);
        let complete = moods.iter().all(|mood| book.mood.contains_key(*mood) && book.look.contains_key(*mood))
            && ["opening", "middle", "closing"].iter().all(|id| book.action.contains_key(*id))
            && [&book.studio, &book.place].iter().all(|settings| settings.contains_key(GENERAL));
        let filled =
            [&book.mood, &book.studio, &book.place].iter().all(|lists| lists.values().all(|list| !list.is_empty()));
        // A film without people needs a variant without one for every action.
        let told_without_people = book.action.values().all(|variants| variants.iter().any(|v| !v.contains("{person}")));
        let named = book.action.values().flatten().all(|variant| variant.contains("{product}"));
        (complete && filled && told_without_people && named && !book.person.is_empty())
            .then_some(book)
            .ok_or_else(|| "a mood, setting, action or a variant without people is missing".to_owned())
    }

    /// The product as sentences name it: with an article where the language and the name want one.
    pub fn product_in_sentences(&self, name: &str) -> String {
        let proper = name.split_whitespace().all(|word| !word.starts_with(|c: char| c.is_ascii_lowercase()));
        if proper || name.starts_with(&self.article) { name.to_owned() } else { format!("{}{name}", self.article) }
    }

    fn variants<'a>(&'a self, beat: &LibraryBeat, people: bool) -> Vec<&'a str> {
        let by_position = match beat.position {
            Position::Opening => "opening",
            Position::Middle => "middle",
            Position::Closing => "closing",
        };
        let variants = self.action.get(&beat.action).or_else(|| self.action.get(by_position));
        variants
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|variant| people || !variant.contains("{person}"))
            .collect()
    }
}

/// What the scenes of a film have in common.
#[derive(Debug)]
pub struct Film<'a> {
    /// The book of its language.
    pub book: &'a SceneBook,
    /// The product's name.
    pub product: &'a str,
    /// Its group of backgrounds.
    pub setting: &'a str,
    /// The feeling.
    pub mood: Mood,
    /// Whether people may be seen.
    pub people: bool,
    /// What tells this film from another of the same prompt.
    pub dice: Dice,
}

/// Most words that a scene may have, one under the spec's limit.
const MOST_WORDS: usize = 39;

/// A scene for each beat, in order.
pub fn write(film: &Film<'_>, beats: &[&LibraryBeat]) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    let mut scenes = Vec::new();
    for beat in beats {
        let nth = uses.entry(beat.action.as_str()).or_default();
        let scene = (0..64).map(|further| scene(film, beat, *nth + further)).find(|scene| !seen.contains(scene));
        // Every wording is taken: better said twice than not at all.
        let scene = scene.unwrap_or_else(|| self::scene(film, beat, *nth));
        *nth += 1;
        seen.insert(scene.clone());
        scenes.push(scene);
    }
    scenes
}

/// The `nth` way to tell a beat: first the action varies, then the background, then the words for the mood.
fn scene(film: &Film<'_>, beat: &LibraryBeat, nth: usize) -> String {
    let Film { book, dice, .. } = film;
    let variants = book.variants(beat, film.people);
    let variant = variants.get((dice.pick(&beat.action, 0, variants.len()) + nth) % variants.len().max(1)).copied();
    let round = nth / variants.len().max(1);
    let studio = setting(&book.studio, film.setting, dice.pick("studio", 0, 3) + round);
    let place = setting(&book.place, film.setting, dice.pick("place", 0, 3) + round);
    let moods = book.mood.get(mood_id(film.mood)).map_or(&[][..], Vec::as_slice);
    let mood = moods.get((dice.pick("mood", 0, 2) + nth) % moods.len().max(1)).map_or("", String::as_str);
    let person =
        book.person.get((dice.pick("person", 0, 3) + nth) % book.person.len().max(1)).map_or("", String::as_str);

    let action = variant
        .unwrap_or("{product}")
        .replace("{person}", person)
        .replace("{place}", place)
        .replace("{studio}", studio)
        // Last, so that a name with braces in it is not taken for a placeholder.
        .replace("{product}", &book.product_in_sentences(film.product));
    let whole = capitalised(&format!("{action}{}{mood}.", book.join));
    if whole.split_whitespace().count() <= MOST_WORDS { whole } else { capitalised(&action) }
}

/// Backgrounds of a setting, then the general ones.
fn setting<'a>(settings: &'a BTreeMap<String, Vec<String>>, name: &str, nth: usize) -> &'a str {
    let own = settings.get(name).map_or(&[][..], Vec::as_slice);
    let general = settings.get(GENERAL).filter(|_| name != GENERAL).map_or(&[][..], Vec::as_slice);
    let count = (own.len() + general.len()).max(1);
    own.iter().chain(general).nth(nth % count).map_or("", String::as_str)
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
