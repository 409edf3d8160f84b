//! What a text says about feeling, look, light, shape, music and people.

use messages::spec::{AspectRatio, Mood, MusicStyle, Tempo};

use super::lexicon::{LANGUAGES, Language, Lexicon};
use super::mood_from_id;
use super::text::{Text, is_dense};

/// What one text asks for; what it does not speak of is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The feeling.
    pub mood: Option<Mood>,
    /// Name of the light, without its prefix.
    pub light: Option<String>,
    /// Name of the look, without its prefix.
    pub look: Option<String>,
    /// Width to height.
    pub shape: Option<AspectRatio>,
    /// The kind of music.
    pub music: Option<MusicStyle>,
    /// How fast the music goes.
    pub tempo: Option<Tempo>,
    /// The feeling of the music, where it is named beside the music.
    pub music_mood: Option<Mood>,
    /// Whether music is asked for, or asked not to be.
    pub with_music: Option<bool>,
    /// Nobody shall be seen.
    pub without_people: bool,
}

impl Wishes {
    /// Reads one text.
    pub fn read(text: &Text, lexicon: &Lexicon) -> Self {
        let mut wishes = Self {
            shape: shape(text, lexicon),
            without_people: lexicon.grammar.mask("no_people", text).contains(&true),
            ..Self::default()
        };
        wishes.read_music(text, lexicon);
        wishes.read_mood(text, lexicon);
        for hit in lexicon.looks.hits(text) {
            let (slot, name) = match hit.concept.id.split_once('_') {
                Some(("light", name)) => (&mut wishes.light, name),
                Some(("look", name)) => (&mut wishes.look, name),
                _ => continue,
            };
            slot.get_or_insert_with(|| name.to_owned());
        }
        wishes
    }

    /// These wishes, overruled by what a later text says.
    pub fn then(self, later: Self) -> Self {
        Self {
            mood: later.mood.or(self.mood),
            light: later.light.or(self.light),
            look: later.look.or(self.look),
            shape: later.shape.or(self.shape),
            music: later.music.or(self.music),
            tempo: later.tempo.or(self.tempo),
            music_mood: later.music_mood.or(self.music_mood),
            with_music: later.with_music.or(self.with_music),
            without_people: later.without_people || self.without_people,
        }
    }

    /// The mood named most often, the first among equals. Words about the music are not about the film.
    fn read_mood(&mut self, text: &Text, lexicon: &Lexicon) {
        let near_music = near_music(text, lexicon);
        let negation = lexicon.grammar.mask("negation", text);
        let mut counts: Vec<(Mood, usize)> = Vec::new();
        for hit in lexicon.moods.hits(text) {
            let negated = hit.from > 0 && negation[hit.from - 1] && !text.words[hit.from].opens;
            let Some(mood) = mood_from_id(&hit.concept.id).filter(|_| !negated) else { continue };
            if near_music[hit.from] {
                self.music_mood.get_or_insert(mood);
                continue;
            }
            match counts.iter_mut().find(|(counted, _)| *counted == mood) {
                Some((_, count)) => *count += 1,
                None => counts.push((mood, 1)),
            }
        }
        self.mood =
            counts.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(mood, _)| mood);
    }

    fn read_music(&mut self, text: &Text, lexicon: &Lexicon) {
        let near_music = near_music(text, lexicon);
        for hit in lexicon.music.hits(text) {
            let near = near_music[hit.from];
            let style = match hit.concept.id.as_str() {
                "none" => {
                    self.with_music = Some(false);
                    continue;
                }
                "about" => {
                    self.with_music = self.with_music.or(Some(true));
                    continue;
                }
                "tempo_slow" if near => {
                    self.tempo = Some(Tempo::Slow);
                    continue;
                }
                "tempo_fast" if near => {
                    self.tempo = Some(Tempo::Fast);
                    continue;
                }
                id => match id.strip_prefix("instrument_") {
                    Some(style) => style,
                    None if near => id,
                    None => continue,
                },
            };
            if let Some((style, tempo)) = music_style(style) {
                self.with_music = self.with_music.or(Some(true));
                // A "calm piano" is calm once.
                self.music.get_or_insert(style);
                self.tempo.get_or_insert(tempo);
            }
        }
    }
}

/// Words within four of one that speaks of music, in the same phrase or right beside it.
fn near_music(text: &Text, lexicon: &Lexicon) -> Vec<bool> {
    let mut near = vec![false; text.words.len()];
    for hit in lexicon.music.hits(text) {
        let about = hit.concept.id == "about" || hit.concept.id.starts_with("instrument_");
        if !about {
            continue;
        }
        let mut from = hit.from;
        while from > 0 && hit.from - from < 4 && !text.words[from].opens {
            from -= 1;
        }
        let mut to = hit.to;
        while to < text.words.len() && to - hit.to < 4 && !text.words[to - 1].closes {
            to += 1;
        }
        near[from..to].fill(true);
    }
    near
}

fn music_style(id: &str) -> Option<(MusicStyle, Tempo)> {
    Some(match id {
        "upbeat" => (MusicStyle::Upbeat, Tempo::Fast),
        "cinematic" => (MusicStyle::Cinematic, Tempo::Medium),
        "corporate" => (MusicStyle::Corporate, Tempo::Medium),
        "calm" => (MusicStyle::Calm, Tempo::Slow),
        "energetic" => (MusicStyle::Energetic, Tempo::Fast),
        "advertising" => (MusicStyle::Advertising, Tempo::Medium),
        _ => return None,
    })
}

/// A ratio in digits, else in words.
fn shape(text: &Text, lexicon: &Lexicon) -> Option<AspectRatio> {
    let in_digits = text.words.windows(2).enumerate().find_map(|(i, pair)| {
        let gap = text.gap_before(i + 1).trim();
        matches!(gap, ":" | "/" | "：" | "∶")
            .then(|| named_shape(&format!("{}:{}", pair[0].folded, pair[1].folded)))
            .flatten()
    });
    let by_word = || {
        text.words.windows(3).find_map(|three| {
            let joined = matches!(
                three[1].folded.as_str(),
                "x" | "х" | "by" | "zu" | "auf" | "por" | "sur" | "per" | "на" | "比"
            );
            joined.then(|| named_shape(&format!("{}:{}", three[0].folded, three[2].folded))).flatten()
        })
    };
    in_digits
        .or_else(by_word)
        .or_else(|| lexicon.shapes.hits(text).first().and_then(|hit| named_shape(&hit.concept.id)))
}

fn named_shape(ratio: &str) -> Option<AspectRatio> {
    Some(match ratio {
        "16:9" => AspectRatio::Landscape,
        "9:16" => AspectRatio::Portrait,
        "1:1" => AspectRatio::Square,
        "4:5" => AspectRatio::Feed,
        _ => return None,
    })
}

/// The language that most words of a text speak for; the script decides first.
pub fn language(text: &Text, lexicon: &Lexicon) -> Language {
    let letters: Vec<char> = text.source().chars().filter(|c| c.is_alphabetic()).collect();
    let share = |is: &dyn Fn(char) -> bool| letters.iter().filter(|c| is(**c)).count() * 3 > letters.len();
    if !letters.is_empty() {
        if share(&|c| matches!(c, '\u{0400}'..='\u{04FF}')) {
            let ukrainian = letters.iter().any(|c| matches!(c, 'і' | 'ї' | 'є' | 'ґ' | 'І' | 'Ї' | 'Є' | 'Ґ'));
            return if ukrainian { "uk" } else { "ru" };
        }
        if share(&is_dense) {
            let kana = letters.iter().any(|c| matches!(c, '\u{3041}'..='\u{30FF}'));
            return if kana { "ja" } else { "zh" };
        }
    }
    let mut votes = lexicon.languages.votes(text);
    votes.values_mut().for_each(|count| *count *= 2);
    for topic in [&lexicon.products, &lexicon.moods, &lexicon.colors, &lexicon.length, &lexicon.grammar] {
        topic.votes(text).into_iter().for_each(|(language, count)| *votes.entry(language).or_default() += count);
    }
    let most = votes.values().copied().max().unwrap_or(0);
    LANGUAGES.into_iter().find(|language| most > 0 && votes.get(language) == Some(&most)).unwrap_or("en")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(prompt: &str) -> Wishes {
        Wishes::read(&Text::read(prompt), Lexicon::shipped().expect("valid"))
    }

    #[test]
    fn shapes_are_read_as_ratio_or_as_word() {
        for (prompt, shape) in [
            ("an ad 9:16", Some(AspectRatio::Portrait)),
            ("4 by 5 please", Some(AspectRatio::Feed)),
            ("1x1", Some(AspectRatio::Square)),
            ("a vertical clip", Some(AspectRatio::Portrait)),
            ("for TikTok", Some(AspectRatio::Portrait)),
            ("im Hochformat", Some(AspectRatio::Portrait)),
            ("вертикальный ролик", Some(AspectRatio::Portrait)),
            ("竖屏", Some(AspectRatio::Portrait)),
            ("a square video", Some(AspectRatio::Square)),
            ("ad for a lamp, square, 10s", Some(AspectRatio::Square)),
            ("tell the story of a square lamp", None),
            ("a portrait lens", None),
        ] {
            assert_eq!(read(prompt).shape, shape, "{prompt}");
        }
    }

    #[test]
    fn w35_what_the_prompt_wishes_to_hear_is_read() {
        let calm = read("an energetic car ad with calm piano");
        assert_eq!(
            (calm.music, calm.tempo, calm.mood),
            (Some(MusicStyle::Calm), Some(Tempo::Slow), Some(Mood::Energetic))
        );
        assert_eq!(read("mit orchestraler Musik").music, Some(MusicStyle::Cinematic));
        assert_eq!(read("música alegre").music, Some(MusicStyle::Upbeat));
        assert_eq!(read("driving techno soundtrack").tempo, Some(Tempo::Fast));
        assert_eq!(read("an elegant watch").music, None);
    }

    #[test]
    fn no_music_is_understood_in_many_languages() {
        for prompt in [
            "no music",
            "ohne Musik",
            "sin música",
            "sans musique",
            "senza musica",
            "sem música",
            "без музыки",
            "音楽なし",
            "没有音乐",
        ] {
            assert_eq!(read(prompt).with_music, Some(false), "{prompt}");
        }
        assert_eq!(read("a film about tea").with_music, None);
    }

    #[test]
    fn languages_are_told_apart() {
        for (prompt, expected) in [
            ("A 15 second ad for a watch", "en"),
            ("Ein Werbespot für eine Uhr", "de"),
            ("Un anuncio para un reloj", "es"),
            ("Une publicité pour une montre", "fr"),
            ("Uno spot per un orologio", "it"),
            ("Um anúncio para um relógio", "pt"),
            ("Реклама часов", "ru"),
            ("Реклама для нашої кав'ярні", "uk"),
            ("腕時計の広告", "ja"),
            ("手表广告", "zh"),
            ("Kaffeemaschine", "de"),
            ("", "en"),
        ] {
            assert_eq!(language(&Text::read(prompt), Lexicon::shipped().expect("valid")), expected, "{prompt}");
        }
    }
}
