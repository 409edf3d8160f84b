//! Text on pictures, in the bundled font: Inter, which has Latin, Cyrillic and Greek (`fonts/`, SIL Open Font License).
//!
//! What the font cannot write is left out rather than drawn as empty boxes.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use tiny_skia::{Pixmap, PremultipliedColorU8};

use super::tone::Tone;

/// Thick or thin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// For reading.
    Regular,
    /// For names and numbers.
    SemiBold,
}

static REGULAR: LazyLock<Option<FontRef<'static>>> =
    LazyLock::new(|| FontRef::try_from_slice(include_bytes!("../../fonts/Inter-Regular.otf")).ok());
static SEMI_BOLD: LazyLock<Option<FontRef<'static>>> =
    LazyLock::new(|| FontRef::try_from_slice(include_bytes!("../../fonts/Inter-SemiBold.otf")).ok());

/// Letters of one size, weight and colour.
#[derive(Debug, Clone, Copy)]
pub struct Lettering {
    /// Pixels per em.
    pub size: f32,
    /// Thick or thin.
    pub weight: Weight,
    /// The colour.
    pub tone: Tone,
    /// How opaque, 0 to 1.
    pub alpha: f32,
}

impl Lettering {
    fn font(&self) -> Option<&'static FontRef<'static>> {
        match self.weight {
            Weight::Regular => REGULAR.as_ref(),
            Weight::SemiBold => SEMI_BOLD.as_ref(),
        }
    }

    /// Pixels that a line takes.
    pub fn width(&self, text: &str) -> f32 {
        let Some(font) = self.font() else { return 0.0 };
        let scaled = font.as_scaled(self.scale(font));
        text.chars().map(|c| scaled.h_advance(font.glyph_id(c))).sum()
    }

    /// The text in lines of at most `width` pixels. A word that is wider than a line is broken inside.
    pub fn wrap(&self, text: &str, width: f32) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = String::new();
        for word in text.split_whitespace() {
            let joined = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if self.width(&joined) <= width {
                line = joined;
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for letter in word.chars() {
                line.push(letter);
                if self.width(&line) > width && line.chars().count() > 1 {
                    line.pop();
                    lines.push(std::mem::replace(&mut line, letter.to_string()));
                }
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
        lines
    }

    /// The text as one line of at most `width` pixels, its end left out where it must be.
    pub fn shortened(&self, text: &str, width: f32) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let mut kept: Vec<char> = text.chars().collect();
        while !kept.is_empty() && self.width(&kept.iter().collect::<String>()) + self.width("…") > width {
            kept.pop();
        }
        let kept: String = kept.into_iter().collect();
        if kept.is_empty() { kept } else { format!("{}…", kept.trim_end_matches([' ', ',', '.'])) }
    }

    /// Writes a line whose baseline starts at (x, y), in pixels.
    pub fn write(&self, sheet: &mut Pixmap, text: &str, x: f32, y: f32) {
        let Some(font) = self.font() else { return };
        let scale = self.scale(font);
        let scaled = font.as_scaled(scale);
        let mut pen = x;
        for letter in text.chars() {
            let id = font.glyph_id(letter);
            let glyph = id.with_scale_and_position(scale, point(pen, y));
            pen += scaled.h_advance(id);
            let Some(outlined) = font.outline_glyph(glyph) else { continue };
            let bounds = outlined.px_bounds();
            let (left, top) = (bounds.min.x as i64, bounds.min.y as i64);
            outlined.draw(|gx, gy, cover| self.blend(sheet, left + i64::from(gx), top + i64::from(gy), cover));
        }
    }

    fn blend(&self, sheet: &mut Pixmap, x: i64, y: i64, cover: f32) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if x >= sheet.width() || y >= sheet.height() {
            return;
        }
        let at = y as usize * sheet.width() as usize + x as usize;
        let Some(pixel) = sheet.pixels_mut().get_mut(at) else { return };
        let t = cover.clamp(0.0, 1.0) * self.alpha;
        let part = |v: u8, ink: f32| (f32::from(v) + (ink * 255.0 - f32::from(v)) * t + 0.5).clamp(0.0, 255.0) as u8;
        let (r, g, b) =
            (part(pixel.red(), self.tone.r), part(pixel.green(), self.tone.g), part(pixel.blue(), self.tone.b));
        // The picture is opaque by the time that anything is written on it.
        if let Some(inked) = PremultipliedColorU8::from_rgba(r, g, b, 255) {
            *pixel = inked;
        }
    }

    /// The library scales by line height; an em is what designers mean by size.
    fn scale(&self, font: &FontRef<'_>) -> PxScale {
        let em = font.units_per_em().unwrap_or(1000.0);
        PxScale::from(self.size * font.height_unscaled() / em)
    }
}

/// What the font can write of a text; none when that would not be worth reading.
///
/// A word with a foreign letter is left out whole, because half a word is worse than none; signs such as emoji are left
/// out alone. A text that loses more than half of its letters is left out.
pub fn writable(text: &str) -> Option<String> {
    let font = REGULAR.as_ref()?;
    let known = |c: char| font.glyph_id(c).0 != 0 && !c.is_control() && !('\u{e000}'..='\u{f8ff}').contains(&c);
    let letters = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).count();
    let words: Vec<String> = text
        .split_whitespace()
        .filter(|word| word.chars().all(|c| known(c) || !c.is_alphanumeric()))
        .map(|word| word.chars().filter(|c| known(*c)).collect::<String>())
        .filter(|word| !word.is_empty())
        .collect();
    let kept = words.join(" ");
    (letters(&kept) > 0 && letters(&kept) * 2 >= letters(text)).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lettering(size: f32) -> Lettering {
        Lettering { size, weight: Weight::Regular, tone: Tone::WHITE, alpha: 1.0 }
    }

    #[test]
    fn latin_cyrillic_and_greek_are_written() {
        for text in ["Ein schönes Gerät", "Тихое утро, ёлка", "Ένα ήσυχο πρωί", "Łódź, Ångström, Iğdır"]
        {
            assert_eq!(writable(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn other_scripts_and_signs_are_left_out() {
        assert_eq!(writable("高级手表在黎明"), None);
        assert_eq!(writable("ساعة فاخرة"), None);
        assert_eq!(writable("שעון יוקרה"), None);
        assert_eq!(writable("🎥🔥"), None);
        assert_eq!(writable("  "), None);
        assert_eq!(writable("A watch 🔥 at dawn 👩‍🚀 ").as_deref(), Some("A watch at dawn"));
        assert_eq!(
            writable("A quiet morning with 手表 on the table").as_deref(),
            Some("A quiet morning with on the table")
        );
        assert_eq!(writable("全新的手表广告 iPhone"), None);
    }

    #[test]
    fn a_text_without_spaces_never_leaves_its_column() {
        let lettering = lettering(20.0);
        let lines = lettering.wrap(&"W".repeat(600), 300.0);
        assert!(lines.len() > 10);
        assert!(lines.iter().all(|line| lettering.width(line) <= 300.0));
        assert_eq!(lines.concat().len(), 600);
    }

    #[test]
    fn words_stay_whole_where_they_fit() {
        let lines = lettering(20.0).wrap("one two three four five six seven", 120.0);
        assert!(lines.len() > 1);
        assert_eq!(lines.join(" "), "one two three four five six seven");
    }

    #[test]
    fn a_long_name_ends_in_an_ellipsis() {
        let lettering = lettering(20.0);
        let short = lettering.shortened("Feature highlight sequence", 120.0);
        assert!(short.ends_with('…') && lettering.width(&short) <= 120.0, "{short}");
        assert_eq!(lettering.shortened("Hero", 120.0), "Hero");
    }
}
