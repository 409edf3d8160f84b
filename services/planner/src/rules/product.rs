//! What the film is about: the product's name as the prompt spells it, and its kind.

use super::length;
use super::lexicon::{Concept, Lexicon};
use super::text::Text;

/// What was found about the product.
#[derive(Debug, Clone)]
pub struct Found<'a> {
    /// Its name; none when the texts name none.
    pub name: Option<String>,
    /// Its kind, if the word lists know it.
    pub kind: Option<&'a Concept>,
}

/// A name is at most so many words.
const MOST_WORDS: usize = 5;
/// And so many characters: it goes into every scene.
const MOST_CHARS: usize = 60;
/// A word longer than this is no name.
const LONGEST_WORD: usize = 40;

/// Finds the product in the first text that names one.
pub fn find<'a>(texts: &[&Text], lexicon: &'a Lexicon) -> Found<'a> {
    let name = texts.iter().find_map(|text| Search::new(text, lexicon).name());
    let language = texts.iter().find_map(|text| text.language);
    let kinds = |text: &Text| {
        let hits = lexicon.products.hits(text);
        hits.into_iter().map(|hit| hit.concept).filter(|concept| concept.id != NO_PRODUCT).collect::<Vec<_>>()
    };
    let in_name = name.as_deref().and_then(|name| {
        let kinds =
            kinds(&language.map_or_else(|| Text::read(name), |language| Text::read(name).in_language(language)));
        // The head noun stands last in "pizza delivery app" and first in "aplicación de pizza".
        let last = language.is_none_or(|language| ["en", "de", "nl", "ja", "zh"].contains(&language));
        if last { kinds.last().copied() } else { kinds.first().copied() }
    });
    let kind = in_name.or_else(|| texts.iter().find_map(|text| kinds(text).first().copied()));
    Found { name, kind }
}

const NO_PRODUCT: &str = "not_a_product";

struct Search<'a> {
    text: &'a Text,
    /// Words that say length or shape.
    aside: Vec<bool>,
    medium: Vec<bool>,
    introduces: Vec<bool>,
    article: Vec<bool>,
    inner: Vec<bool>,
    ends: Vec<bool>,
    leads: Vec<bool>,
    brand: Vec<bool>,
    platform: Vec<bool>,
    called: Vec<bool>,
    mood: Vec<bool>,
    /// Words of the product lists, and where each such hit begins.
    kind: Vec<bool>,
    kind_hits: Vec<(usize, usize)>,
    colors: Vec<bool>,
    noise: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(text: &'a Text, lexicon: &Lexicon) -> Self {
        let grammar = |id| lexicon.grammar.mask(id, text);
        let mask = |hits: Vec<super::lexicon::Hit<'_>>| {
            let mut mask = vec![false; text.words.len()];
            hits.iter().for_each(|hit| mask[hit.from..hit.to].fill(true));
            mask
        };
        let mut aside = length::mask(text, lexicon);
        for hit in lexicon.shapes.hits(text) {
            aside[hit.from..hit.to].fill(true);
        }
        for (i, word) in text.words.iter().enumerate().skip(1) {
            if word.is_number() && text.words[i - 1].is_number() && matches!(text.gap_before(i), ":" | "/") {
                aside[i - 1..=i].fill(true);
            }
        }
        let kind_hits: Vec<_> = (lexicon.products.hits(text).iter())
            .filter(|hit| hit.concept.id != NO_PRODUCT)
            .map(|hit| (hit.from, hit.to))
            .collect();
        let mut kind = vec![false; text.words.len()];
        kind_hits.iter().for_each(|(from, to)| kind[*from..*to].fill(true));
        Self {
            text,
            aside,
            // The video of a "video game" is the product's.
            medium: grammar("medium").into_iter().zip(&kind).map(|(medium, kind)| medium && !kind).collect(),
            introduces: grammar("introduces"),
            article: grammar("article"),
            inner: grammar("inner"),
            ends: grammar("ends"),
            leads: grammar("leads"),
            brand: grammar("brand"),
            platform: grammar("platform"),
            called: grammar("called"),
            mood: mask(lexicon.moods.hits(text)),
            kind,
            kind_hits,
            colors: mask(lexicon.colors.hits(text)),
            noise: grammar("cjk_noise"),
        }
    }

    fn name(&self) -> Option<String> {
        self.after_called()
            .or_else(|| self.dense())
            .or_else(|| self.beside_medium())
            .or_else(|| self.around_kind())
            .or_else(|| self.quoted())
            .or_else(|| self.first_phrase())
    }

    /// "… called Nordic Roast".
    fn after_called(&self) -> Option<String> {
        let at = self.called.iter().rposition(|called| *called)?;
        let from = at + 1;
        let mut to = from;
        while to < self.len() && to - from < MOST_WORDS && !self.aside[to] {
            to += 1;
            if self.text.words[to - 1].closes || self.ends.get(to).copied().unwrap_or(true) {
                break;
            }
        }
        self.usable(from, to)
    }

    /// "ad for X", else "X ad", else "Werbespot X".
    fn beside_medium(&self) -> Option<String> {
        let first = self.medium.iter().position(|medium| *medium)?;
        // "Рекламный ролик", "video ad": the last of a row counts.
        let last =
            (first..self.len()).take_while(|i| self.medium[*i] || self.aside[*i]).filter(|i| self.medium[*i]).last()?;
        let introduced = (last + 1..self.len().min(last + 10)).find(|i| self.introduces[*i] && !self.aside[*i]);
        introduced
            .and_then(|at| self.starting_at(at + 1))
            .or_else(|| self.ending_at(first))
            .or_else(|| (!self.text.words[last].closes).then(|| self.starting_at(last + 1)).flatten())
    }

    /// The phrase that a known kind stands in.
    fn around_kind(&self) -> Option<String> {
        let (hit_from, hit_to) = *self.kind_hits.first()?;
        let mut from = hit_from;
        while from > 0
            && hit_from - from < 2
            && !self.text.words[from].opens
            && self.belongs(from - 1)
            && !self.mood[from - 1]
        {
            from -= 1;
        }
        let mut to = hit_to;
        while to < self.len()
            && to - from < MOST_WORDS
            && !self.text.words[to - 1].closes
            && (self.kind[to] || self.inner[to] && self.kind.get(to + 1) == Some(&true))
        {
            to += 1;
        }
        self.usable(from, to)
    }

    fn quoted(&self) -> Option<String> {
        let source = self.text.source();
        let (open, close) = [('"', '"'), ('“', '”'), ('„', '“'), ('«', '»'), ('「', '」')]
            .into_iter()
            .filter_map(|pair| source.find(pair.0).map(|at| (at, pair)))
            .min()
            .and_then(|(at, (open, close))| {
                let from = at + open.len_utf8();
                source[from..].find(close).map(|length| (from, from + length))
            })?;
        let inside = |word: &super::text::Word| word.start >= open && word.end <= close;
        let from = self.text.words.iter().position(inside)?;
        let count = self.text.words[from..].iter().take_while(|word| inside(word)).count();
        (count <= MOST_WORDS).then(|| self.usable(from, from + count)).flatten()
    }

    fn first_phrase(&self) -> Option<String> {
        (0..self.len()).filter(|i| self.text.words[*i].opens).find_map(|at| self.starting_at(at))
    }

    /// Skips what leads to a name, then takes words up to what ends one.
    fn starting_at(&self, at: usize) -> Option<String> {
        let skipped = |i: usize| {
            // "Clip for Instagram: honey" is about honey, "ad for a YouTube channel" about the channel.
            let platform = self.platform[i] && (self.text.words[i].closes || self.aside.get(i + 1) == Some(&true));
            let brand_of = self.brand[i] && i + 1 < self.len() && self.inner[i + 1];
            self.aside[i]
                || self.article[i]
                || self.introduces[i]
                || self.leads[i]
                || self.medium[i]
                || brand_of
                || platform
                || (self.mood[i] && !self.kind[i])
        };
        let from = (at..self.len()).find(|i| !skipped(*i))?;
        let mut to = from;
        while to < self.len() && to - from < MOST_WORDS {
            let inside = to == from
                || !self.ends[to]
                || (self.inner[to] && to + 1 < self.len() && !self.article[to + 1] && !self.aside[to + 1]);
            if !inside || self.aside[to] || self.medium[to] {
                break;
            }
            to += 1;
            if self.text.words[to - 1].closes {
                break;
            }
        }
        if to - from > 3
            && let Some(end) = (self.kind_hits.iter())
                .filter(|(start, end)| *start >= from && *end <= to)
                .map(|(_, end)| *end)
                .next_back()
        {
            to = end;
        }
        // "Elegante" behind the noun goes, "de lujo" belongs to it.
        let of_something = |to: usize| to >= from + 2 && self.inner[to - 2];
        let describes = |to: usize| self.mood[to - 1] && !self.kind[to - 1] && !of_something(to);
        let brand = |to: usize| self.brand[to - 1] && to >= from + 2;
        while to > from && (self.inner[to - 1] || self.ends[to - 1] || describes(to) || brand(to)) {
            to -= 1;
        }
        self.usable(from, to)
    }

    /// The words right before `at` that belong to a name.
    fn ending_at(&self, at: usize) -> Option<String> {
        let mut from = at;
        while from > 0 && at - from < 3 && self.belongs(from - 1) && !self.text.words[from - 1].closes {
            from -= 1;
        }
        while from < at && self.mood[from] && !self.kind[from] {
            from += 1;
        }
        self.usable(from, at)
    }

    fn belongs(&self, i: usize) -> bool {
        !(self.aside[i]
            || self.article[i]
            || self.introduces[i]
            || self.ends[i]
            || self.leads[i]
            || self.medium[i]
            || self.text.words[i].is_number())
    }

    /// Scripts without spaces: what is left between the small words, preferably where a known kind is.
    fn dense(&self) -> Option<String> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (i, word) in self.text.words.iter().enumerate() {
            let counts = word.is_dense() && !self.noise[i] && !self.aside[i] && !self.medium[i];
            match runs.last_mut() {
                Some((_, to)) if counts && *to == i && !word.opens => *to = i + 1,
                _ if counts => runs.push((i, i + 1)),
                _ => {}
            }
        }
        let known = runs.iter().find(|(from, to)| self.kind[*from..*to].contains(&true));
        let described = |(from, to): &&(usize, usize)| {
            to - from >= 2 && !self.mood[*from..*to].contains(&true) && !self.colors[*from..*to].contains(&true)
        };
        let (from, to) = *known.or_else(|| runs.iter().find(described))?;
        (to - from <= 20).then(|| self.usable(from, to)).flatten()
    }

    /// The original spelling, if it can serve as a name.
    fn usable(&self, from: usize, to: usize) -> Option<String> {
        let words = self.text.words.get(from..to).filter(|words| !words.is_empty())?;
        let letters: usize =
            words.iter().filter(|word| !word.is_number()).map(|word| word.folded.chars().count()).sum();
        let lettered = letters >= 2 || words.iter().any(|word| word.is_dense() && word.folded != "ー");
        let plain = words.iter().all(|word| word.folded.chars().count() <= LONGEST_WORD);
        // "Elegant" or "gold and black" describes a film; it is not what the film is about.
        let only_look =
            (from..to).all(|i| (self.mood[i] || self.colors[i] || self.ends[i] || self.noise[i]) && !self.kind[i]);
        let name: String = self.text.original(from, to).chars().take(MOST_CHARS).collect();
        // "Olive oil from Crete" begins with a capital only because the sentence does.
        let sentence_case = from == 0 && self.kind[0] && self.text.language == Some("en");
        let capitals = name.chars().filter(|c| c.is_uppercase()).count();
        let name = if sentence_case && capitals == 1 { name.to_lowercase() } else { name };
        (lettered && plain && !only_look).then(|| name.trim().to_owned())
    }

    fn len(&self) -> usize {
        self.text.words.len()
    }
}
