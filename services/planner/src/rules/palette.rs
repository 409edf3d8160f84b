//! The colours of a film: those that were asked for first, then fitting ones up to a full palette.

use messages::spec::{Color, Mood};

use super::dice::Dice;
use super::lexicon::Lexicon;
use super::mood_id;
use super::text::Text;

/// Fewest colours of a palette.
const FEWEST: usize = 3;
/// Most colours of a palette.
const MOST: usize = 5;

/// What texts say about colours, the strongest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Asked for.
    pub wanted: Vec<Color>,
    /// Asked not to be there.
    pub unwanted: Vec<Color>,
}

impl Wishes {
    /// Reads one text.
    pub fn read(text: &Text, lexicon: &Lexicon) -> Self {
        let mut wishes = Self { wanted: hex_codes(text.source()), unwanted: Vec::new() };
        let negation = lexicon.grammar.mask("negation", text);
        for hit in lexicon.colors.hits(text) {
            let Ok(color) = hit.concept.attribute("hex").parse() else { continue };
            let negated = (hit.from.saturating_sub(2)..hit.from).any(|i| negation[i] && !text.words[i].closes);
            if negated { wishes.unwanted.push(color) } else { wishes.wanted.push(color) }
        }
        wishes
    }

    /// These wishes, with later ones put before them: what was said last about a colour counts.
    pub fn then(self, later: Self) -> Self {
        let wanted =
            later.wanted.iter().copied().chain(self.wanted.into_iter().filter(|color| !later.unwanted.contains(color)));
        let unwanted = later
            .unwanted
            .iter()
            .copied()
            .chain(self.unwanted.into_iter().filter(|color| !later.wanted.contains(color)));
        Self { wanted: wanted.collect(), unwanted: unwanted.collect() }
    }
}

/// Three to five distinct colours.
pub fn compose(
    wishes: &Wishes,
    mood: Mood,
    setting: &str,
    creativity: f64,
    dice: Dice,
    lexicon: &Lexicon,
) -> Vec<Color> {
    let mut palette: Vec<Color> = Vec::new();
    for color in &wishes.wanted {
        if palette.len() < MOST && !palette.contains(color) {
            palette.push(*color);
        }
    }
    let of_mood = lexicon.palettes.mood.get(mood_id(mood)).into_iter().flatten();
    let of_setting = lexicon.palettes.setting.get(setting).into_iter().flatten();
    let sets: Vec<_> = of_mood.chain(of_setting).collect();
    // A plain film takes the palette that says its mood best; a freer one any that suits.
    let choices = if creativity < 0.2 { 1 } else { sets.len() };
    let start = dice.pick("palette", 0, choices);
    let size = MOST.min(palette.len().max(FEWEST) + 1);
    let fillers = sets.iter().cycle().skip(start).take(sets.len()).flat_map(|set| set.iter().copied());
    for color in fillers {
        let distinct = palette.iter().all(|other| distance(*other, color) >= 70);
        let wished_away = wishes.unwanted.iter().any(|other| distance(*other, color) < 110);
        if palette.len() < size && distinct && !wished_away {
            palette.push(color);
        }
    }
    // Only when nearly everything was wished away: greys always fit.
    for level in (0..=255u8).step_by(51) {
        let grey = Color { r: level, g: level, b: level };
        if palette.len() < FEWEST && !palette.contains(&grey) {
            palette.push(grey);
        }
    }
    palette
}

/// Sum of the channels' differences, 0 to 765.
fn distance(a: Color, b: Color) -> u32 {
    [(a.r, b.r), (a.g, b.g), (a.b, b.b)].into_iter().map(|(a, b)| u32::from(a.abs_diff(b))).sum()
}

/// `#rrggbb` and `#rgb`, in order.
fn hex_codes(source: &str) -> Vec<Color> {
    source
        .split('#')
        .skip(1)
        .filter_map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            let long = match digits.len() {
                3 => digits.chars().flat_map(|c| [c, c]).collect(),
                _ => digits,
            };
            format!("#{}", long.to_ascii_lowercase()).parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn palette(prompt: &str, seed: u64) -> Vec<String> {
        let lexicon = Lexicon::shipped().expect("valid");
        let wishes = Wishes::read(&Text::read(prompt), lexicon);
        let colors = compose(&wishes, Mood::Elegant, "refined", 0.5, Dice::new(seed, []), lexicon);
        colors.iter().map(Color::to_string).collect()
    }

    #[test]
    fn colours_that_were_asked_for_come_first_in_order() {
        assert_eq!(palette("gold and black", 1)[..2], ["#d4af37", "#111114"]);
        assert_eq!(palette("in #FF0000, #0f0 and blue", 1)[..3], ["#ff0000", "#00ff00", "#2459c9"]);
    }

    #[test]
    fn a_colour_that_is_not_wanted_stays_away() {
        let lexicon = Lexicon::shipped().expect("valid");
        let wishes = Wishes::read(&Text::read("ohne Rot, mit viel Blau"), lexicon);
        assert_eq!((wishes.wanted.len(), wishes.unwanted.len()), (1, 1));
        let later = Wishes::read(&Text::read("no blue, use red"), lexicon);
        assert_eq!(wishes.then(later).wanted[0].to_string(), "#c8202f");
    }

    #[test]
    fn every_palette_has_three_to_five_distinct_colours() {
        let everything = "red orange yellow green blue purple pink black white, no grey, no gold, no beige, no brown";
        for prompt in
            ["", "gold", "gold and black", "no black, no white, no gold, no brown, no beige, no grey", everything]
        {
            for seed in 0..20 {
                let mut colors = palette(prompt, seed);
                assert!((3..=5).contains(&colors.len()), "{prompt}: {colors:?}");
                let count = colors.len();
                colors.sort();
                colors.dedup();
                assert_eq!(colors.len(), count, "{prompt}");
            }
        }
    }
}
