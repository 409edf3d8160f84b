//! The word lists (`lexicon/*.toml`): read once, checked as a whole, matched against a text.
//!
//! A section is a concept; its two-letter keys are languages with comma-separated terms, every other key is an attribute.
//! In a term, `word~` allows up to three more letters (an ending), `word*` any number, `*word` any beginning, and `!word`
//! must stand alone between punctuation. Terms and texts are folded alike, so lists are written in natural spelling.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use messages::spec::Color;
use serde::Deserialize;

use super::scenes::SceneBook;
use super::text::Text;

/// A language that the lists know, as its two letters.
pub type Language = &'static str;

/// Every language with terms, those with scenes of their own first.
pub const LANGUAGES: [Language; 13] = ["en", "de", "es", "fr", "it", "pt", "ru", "uk", "pl", "nl", "ja", "zh", "ko"];

/// All lists.
#[derive(Debug)]
pub struct Lexicon {
    /// Units and phrases of length.
    pub length: Topic,
    /// Number words.
    pub numbers: Topic,
    /// Aspect ratios.
    pub shapes: Topic,
    /// Named colours.
    pub colors: Topic,
    /// Feelings.
    pub moods: Topic,
    /// Kinds of product.
    pub products: Topic,
    /// Light and look.
    pub looks: Topic,
    /// Music.
    pub music: Topic,
    /// The small words around a product.
    pub grammar: Topic,
    /// What only reviewers say.
    pub notes: Topic,
    /// Words that give a language away.
    pub languages: Topic,
    /// Scene texts by language.
    pub scenes: BTreeMap<Language, SceneBook>,
    /// Palettes by feeling and setting.
    pub palettes: Palettes,
}

/// Palettes to fill up from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Palettes {
    /// By feeling.
    pub mood: BTreeMap<String, Vec<Vec<Color>>>,
    /// By setting.
    pub setting: BTreeMap<String, Vec<Vec<Color>>>,
}

impl Lexicon {
    /// The lists that ship with the program, or why they cannot be used.
    pub fn shipped() -> Result<&'static Self, &'static str> {
        static SHIPPED: LazyLock<Result<Lexicon, String>> = LazyLock::new(Lexicon::load);
        SHIPPED.as_ref().map_err(String::as_str)
    }

    fn load() -> Result<Self, String> {
        macro_rules! topic {
            ($name:literal) => {
                Topic::parse(include_str!(concat!("../../lexicon/", $name, ".toml")))
                    .map_err(|e| format!("lexicon `{}`: {e}", $name))?
            };
        }
        let scenes = [
            ("en", include_str!("../../lexicon/scenes/en.toml")),
            ("de", include_str!("../../lexicon/scenes/de.toml")),
            ("es", include_str!("../../lexicon/scenes/es.toml")),
            ("fr", include_str!("../../lexicon/scenes/fr.toml")),
            ("it", include_str!("../../lexicon/scenes/it.toml")),
            ("pt", include_str!("../../lexicon/scenes/pt.toml")),
            ("ru", include_str!("../../lexicon/scenes/ru.toml")),
        ]
        .into_iter()
        .map(|(language, toml)| {
            SceneBook::parse(toml).map(|book| (language, book)).map_err(|e| format!("scenes `{language}`: {e}"))
        })
        .collect::<Result<_, _>>()?;
        Ok(Self {
            length: topic!("length"),
            numbers: topic!("numbers"),
            shapes: topic!("shapes"),
            colors: topic!("colors"),
            moods: topic!("moods"),
            products: topic!("products"),
            looks: topic!("looks"),
            music: topic!("music"),
            grammar: topic!("grammar"),
            notes: topic!("notes"),
            languages: topic!("languages"),
            scenes,
            palettes: toml::from_str(include_str!("../../lexicon/palettes.toml"))
                .map_err(|e| format!("palettes: {e}"))?,
        })
    }
}

/// One idea and the words for it.
#[derive(Debug)]
pub struct Concept {
    /// The section's name.
    pub id: String,
    attributes: BTreeMap<String, String>,
}

impl Concept {
    /// An attribute, or nothing.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// One list: concepts and their terms, indexed by how the first word begins.
#[derive(Debug)]
pub struct Topic {
    concepts: Vec<Concept>,
    terms: Vec<Term>,
    by_first: HashMap<char, Vec<usize>>,
    by_ending: Vec<usize>,
}

#[derive(Debug)]
struct Term {
    concept: usize,
    language: Language,
    parts: Vec<Part>,
    alone: bool,
}

#[derive(Debug)]
enum Part {
    Exact(String),
    Ending(String),
    Beginning { text: String, most_extra: usize },
}

/// A concept found in a text, at words `from..to`.
#[derive(Debug, Clone, Copy)]
pub struct Hit<'a> {
    /// What was found.
    pub concept: &'a Concept,
    /// The first word.
    pub from: usize,
    /// Behind the last word.
    pub to: usize,
}

impl Topic {
    fn parse(toml: &str) -> Result<Self, String> {
        let sections: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(toml).map_err(|e| e.to_string())?;
        let mut topic =
            Self { concepts: Vec::new(), terms: Vec::new(), by_first: HashMap::new(), by_ending: Vec::new() };
        for (id, entries) in sections {
            let concept = topic.concepts.len();
            let mut attributes = BTreeMap::new();
            for (key, value) in entries {
                let Some(language) = LANGUAGES.into_iter().find(|language| *language == key) else {
                    attributes.insert(key, value);
                    continue;
                };
                for term in value.split(',').map(str::trim) {
                    topic.add(
                        Term::parse(concept, language, term)
                            .ok_or_else(|| format!("`{id}` has the unusable term `{term}`"))?,
                    );
                }
            }
            topic.concepts.push(Concept { id, attributes });
        }
        Ok(topic)
    }

    fn add(&mut self, term: Term) {
        let index = self.terms.len();
        match term.parts.first() {
            Some(Part::Exact(text) | Part::Beginning { text, .. }) => {
                self.by_first.entry(text.chars().next().unwrap_or_default()).or_default().push(index);
            }
            Some(Part::Ending(_)) | None => self.by_ending.push(index),
        }
        self.terms.push(term);
    }

    /// What the text says on this topic, in order, the longest term first where several begin at a word; no word counts
    /// twice.
    pub fn hits<'a>(&'a self, text: &Text) -> Vec<Hit<'a>> {
        let (mut found, mut at) = (Vec::new(), 0);
        while at < text.words.len() {
            match self.longest_at(text, at) {
                Some(term) => {
                    let to = at + term.parts.len();
                    found.push(Hit { concept: &self.concepts[term.concept], from: at, to });
                    at = to;
                }
                None => at += 1,
            }
        }
        found
    }

    /// The words of the text that belong to one concept, as a mask.
    pub fn mask(&self, id: &str, text: &Text) -> Vec<bool> {
        let mut mask = vec![false; text.words.len()];
        for at in 0..text.words.len() {
            for term in self.terms_at(text, at).filter(|term| self.concepts[term.concept].id == id) {
                mask[at..at + term.parts.len()].fill(true);
            }
        }
        mask
    }

    /// How many words of the text speak for each language.
    pub fn votes(&self, text: &Text) -> BTreeMap<Language, usize> {
        let mut votes = BTreeMap::new();
        for at in 0..text.words.len() {
            let mut languages: Vec<_> = self.terms_at(text, at).map(|term| term.language).collect();
            languages.sort_unstable();
            languages.dedup();
            languages.into_iter().for_each(|language| *votes.entry(language).or_default() += 1);
        }
        votes
    }

    /// The concept of that name.
    pub fn concept(&self, id: &str) -> Option<&Concept> {
        self.concepts.iter().find(|concept| concept.id == id)
    }

    fn longest_at<'a>(&'a self, text: &Text, at: usize) -> Option<&'a Term> {
        // The first of equals wins, so that the order of the file's names decides and nothing else.
        self.terms_at(text, at).reduce(|best, term| if term.parts.len() > best.parts.len() { term } else { best })
    }

    fn terms_at<'a, 't>(&'a self, text: &'t Text, at: usize) -> impl Iterator<Item = &'a Term> + use<'a, 't> {
        let first = text.words[at].folded.chars().next().unwrap_or_default();
        let indexed = self.by_first.get(&first).map_or(&[][..], Vec::as_slice);
        indexed
            .iter()
            .chain(&self.by_ending)
            .map(|i| &self.terms[*i])
            .filter(move |term| term.speaks(text.language) && term.matches(text, at))
    }
}

impl Term {
    fn parse(concept: usize, language: Language, term: &str) -> Option<Self> {
        let (alone, term) = term.strip_prefix('!').map_or((false, term), |rest| (true, rest));
        let mut parts = Vec::new();
        for piece in term.split_whitespace() {
            let (ending, piece) = piece.strip_prefix('*').map_or((false, piece), |rest| (true, rest));
            let most_extra = match piece.chars().last() {
                Some('~') => Some(3),
                Some('*') => Some(usize::MAX),
                _ => None,
            };
            let words = Text::read(piece.trim_end_matches(['~', '*'])).words;
            let last = words.len().checked_sub(1)?;
            for (i, word) in words.into_iter().enumerate() {
                parts.push(match most_extra {
                    Some(most_extra) if i == last => Part::Beginning { text: word.folded, most_extra },
                    _ if ending && i == 0 => Part::Ending(word.folded),
                    _ => Part::Exact(word.folded),
                });
            }
        }
        (!parts.is_empty()).then_some(Self { concept, language, parts, alone })
    }

    /// English words are used everywhere; the lists of close relatives share a script and many words.
    fn speaks(&self, language: Option<Language>) -> bool {
        let relatives = |language| match language {
            "ru" | "uk" => ["ru", "uk"],
            "ja" | "zh" => ["ja", "zh"],
            other => [other, "en"],
        };
        language.is_none_or(|language| self.language == "en" || relatives(language).contains(&self.language))
    }

    fn matches(&self, text: &Text, at: usize) -> bool {
        let Some(words) = text.words.get(at..at + self.parts.len()) else { return false };
        let fits = self.parts.iter().zip(words).all(|(part, word)| match part {
            Part::Exact(exact) => *exact == word.folded,
            Part::Ending(ending) => word.folded.ends_with(ending.as_str()),
            Part::Beginning { text, most_extra } => {
                word.folded.strip_prefix(text.as_str()).is_some_and(|rest| rest.chars().count() <= *most_extra)
            }
        });
        // A term of several words does not reach over a comma.
        let together = words.windows(2).all(|pair| !pair[0].closes);
        let free = !self.alone || (words.first().is_some_and(|w| w.opens) && words.last().is_some_and(|w| w.closes));
        fits && together && free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(topic: &Topic, text: &str) -> Vec<String> {
        topic.hits(&Text::read(text)).iter().map(|hit| hit.concept.id.clone()).collect()
    }

    #[test]
    fn the_shipped_lists_are_readable() {
        Lexicon::shipped().expect("the shipped lists are valid");
    }

    #[test]
    fn every_colour_and_kind_has_what_the_rules_need() {
        let lexicon = Lexicon::shipped().expect("valid");
        for color in &lexicon.colors.concepts {
            color.attribute("hex").parse::<Color>().unwrap_or_else(|e| panic!("{}: {e}", color.id));
        }
        for kind in lexicon.products.concepts.iter().filter(|kind| kind.id != "not_a_product") {
            assert!(!kind.attribute("category").is_empty() && !kind.attribute("mood").is_empty(), "{}", kind.id);
            assert!(lexicon.palettes.setting.contains_key(kind.attribute("setting")), "{}", kind.id);
        }
        for mood in &lexicon.moods.concepts {
            assert!(lexicon.palettes.mood.contains_key(&mood.id), "{}", mood.id);
        }
    }

    #[test]
    fn longer_terms_win_and_no_word_counts_twice() {
        let lexicon = Lexicon::shipped().expect("valid");
        assert_eq!(found(&lexicon.colors, "dark blue, rose gold and light blue"), ["navy", "rose_gold", "light_blue"]);
    }

    #[test]
    fn endings_are_allowed_as_far_as_the_list_says() {
        let topic = Topic::parse("[a]\nde = \"gold~\"\n[b]\nde = \"rot, *uhr\"\n[c]\nen = \"!square\"").expect("valid");
        assert_eq!(found(&topic, "goldene Goldschmiedin rotor Taschenuhr"), ["a", "b"]);
        assert_eq!(found(&topic, "a square watch, square, gold"), ["c", "a"]);
    }

    #[test]
    fn words_of_another_language_are_not_mistaken() {
        let lexicon = Lexicon::shipped().expect("valid");
        let colors = |language| lexicon.colors.hits(&Text::read("noir or blanc").in_language(language)).len();
        assert_eq!([colors("fr"), colors("en")], [3, 0]);
    }

    #[test]
    fn an_unusable_term_is_named() {
        let error = Topic::parse("[a]\nen = \"red, , blue\"").expect_err("an empty term");
        assert!(error.contains("`a`"), "{error}");
    }
}
