//! A prompt as words: normalised for matching, with their places in the original so that names keep their spelling.

/// One word, or one character of a script that writes without spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Lower case, without diacritics: what lists are matched against.
    pub folded: String,
    /// Byte offset of its first character in the source.
    pub start: usize,
    /// Byte offset behind its last character.
    pub end: usize,
    /// A phrase begins with it: the text does, or punctuation stands before.
    pub opens: bool,
    /// A phrase ends with it.
    pub closes: bool,
}

impl Word {
    /// Whether it is a number in digits.
    pub fn is_number(&self) -> bool {
        self.folded.bytes().all(|b| b.is_ascii_digit())
    }

    /// Whether it is one character of a script without spaces.
    pub fn is_dense(&self) -> bool {
        self.folded.chars().all(is_dense)
    }
}

/// A text and its words.
#[derive(Debug, Clone)]
pub struct Text {
    source: String,
    /// In order.
    pub words: Vec<Word>,
    /// Whose word lists apply beside the English ones; none means all.
    pub language: Option<&'static str>,
}

/// What comes after so many words is not read: nobody describes a film in more, and time stays bounded.
const MOST_WORDS: usize = 1500;

impl Text {
    /// Splits a text into words.
    pub fn read(source: &str) -> Self {
        let mut words: Vec<Word> = Vec::new();
        let mut class = Class::Gap;
        for (at, c) in source.char_indices() {
            let end = at + c.len_utf8();
            if is_mark(c) {
                if let (Some(word), true) = (words.last_mut(), class != Class::Gap) {
                    word.end = end;
                }
                continue;
            }
            let now = Class::of(c);
            let joins = now == class && matches!(now, Class::Letter | Class::Digit);
            class = now;
            match words.last_mut() {
                _ if now == Class::Gap => continue,
                Some(word) if joins => {
                    fold(c, &mut word.folded);
                    word.end = end;
                }
                _ => {
                    if words.len() == MOST_WORDS {
                        break;
                    }
                    let mut folded = String::new();
                    fold(c, &mut folded);
                    words.push(Word { folded, start: at, end, opens: false, closes: false });
                }
            }
        }
        let mut text = Self { source: source.to_owned(), words, language: None };
        text.mark_phrases();
        text
    }

    /// The same text in a known language, so that French `or` (gold) is not found in "black or white".
    pub fn in_language(self, language: &'static str) -> Self {
        Self { language: Some(language), ..self }
    }

    /// The original spelling of `from..to`, on one line and without control characters.
    pub fn original(&self, from: usize, to: usize) -> String {
        let (Some(first), Some(last)) = (self.words.get(from), to.checked_sub(1).and_then(|to| self.words.get(to)))
        else {
            return String::new();
        };
        let slice = self.source.get(first.start..last.end).unwrap_or_default();
        let clean: String = slice.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        clean.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What stands between word `i` and the one before it.
    pub fn gap_before(&self, i: usize) -> &str {
        let start = i.checked_sub(1).and_then(|i| self.words.get(i)).map_or(0, |word| word.end);
        let end = self.words.get(i).map_or(self.source.len(), |word| word.start);
        self.source.get(start..end).unwrap_or_default()
    }

    /// The whole source.
    pub fn source(&self) -> &str {
        &self.source
    }

    fn mark_phrases(&mut self) {
        let last = self.words.len();
        let breaks: Vec<bool> = (0..=last)
            .map(|i| {
                let numbers = i > 0 && i < last && self.words[i - 1].is_number() && self.words[i].is_number();
                i == 0 || i == last || (!numbers && breaks_phrase(self.gap_before(i)))
            })
            .collect();
        for (i, word) in self.words.iter_mut().enumerate() {
            word.opens = breaks[i];
            word.closes = breaks[i + 1];
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    /// A character that is a word by itself.
    Dense,
    Gap,
}

impl Class {
    fn of(c: char) -> Self {
        if c.is_ascii_digit() || ('０'..='９').contains(&c) {
            Self::Digit
        } else if is_dense(c) {
            Self::Dense
        } else if c.is_alphanumeric() {
            Self::Letter
        } else {
            Self::Gap
        }
    }
}

/// Chinese characters and Japanese syllables. Korean writes spaces.
pub fn is_dense(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{30FA}' | '\u{30FC}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{2FFFF}')
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036F}' | '\u{FE00}'..='\u{FE0F}' | '\u{200B}'..='\u{200D}')
}

/// Spaces, apostrophes and hyphens inside words keep a phrase together; all other signs end it.
fn breaks_phrase(gap: &str) -> bool {
    let dash = gap.trim();
    let spaced_dash = matches!(dash, "-" | "–" | "—") && gap.len() > dash.len();
    spaced_dash
        || gap.contains('\n')
        || gap.chars().any(|c| {
            !c.is_whitespace() && !matches!(c, '\'' | '’' | '-' | '‐' | '‑' | '&' | '+' | '#' | '%' | '®' | '™' | '・')
        })
}

/// Lower case without diacritics; full-width characters become their plain ones.
pub fn fold(c: char, into: &mut String) {
    let c = match u32::from(c) {
        wide @ 0xFF01..=0xFF5E => char::from_u32(wide - 0xFEE0).unwrap_or(c),
        _ => c,
    };
    for c in c.to_lowercase() {
        let plain = match c {
            'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' => "a",
            'ç' | 'ć' | 'č' => "c",
            'ď' | 'đ' => "d",
            'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' => "e",
            'ğ' => "g",
            'ì' | 'í' | 'î' | 'ï' | 'ī' | 'ı' => "i",
            'ł' => "l",
            'ñ' | 'ń' | 'ň' => "n",
            'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' | 'ő' => "o",
            'ř' => "r",
            'ß' => "ss",
            'ś' | 'š' | 'ş' | 'ș' => "s",
            'ť' | 'ț' | 'ţ' => "t",
            'ù' | 'ú' | 'û' | 'ü' | 'ū' | 'ů' | 'ű' => "u",
            'ý' | 'ÿ' => "y",
            'ź' | 'ż' | 'ž' => "z",
            'æ' => "ae",
            'œ' => "oe",
            'ё' => "е",
            'й' => "и",
            other if is_mark(other) => "",
            other => {
                into.push(other);
                continue;
            }
        };
        into.push_str(plain);
    }
}

/// [`fold`] for a whole text.
pub fn folded(text: &str) -> String {
    let mut out = String::new();
    text.chars().for_each(|c| fold(c, &mut out));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Text::read(text).words.into_iter().map(|word| word.folded).collect()
    }

    #[test]
    fn digits_letters_and_dense_characters_are_told_apart() {
        assert_eq!(words("15s 30-sekündiger Spot"), ["15", "s", "30", "sekundiger", "spot"]);
        assert_eq!(words("１５秒の腕時計"), ["15", "秒", "の", "腕", "時", "計"]);
    }

    #[test]
    fn decomposed_and_composed_accents_are_the_same_word() {
        assert_eq!(words("caf\u{65}\u{301}"), words("café"));
    }

    #[test]
    fn original_spelling_survives_without_control_characters() {
        let text = Text::read("for the Aero-Press\u{7}\tGo!");
        assert_eq!(text.original(2, 5), "Aero-Press Go");
        assert_eq!(text.original(9, 12), "");
    }

    #[test]
    fn punctuation_ends_a_phrase_but_a_hyphen_does_not() {
        let text = Text::read("a hand-made watch, gold");
        let closing: Vec<_> = text.words.iter().filter(|word| word.closes).map(|word| word.folded.as_str()).collect();
        assert_eq!(closing, ["watch", "gold"]);
    }
}
