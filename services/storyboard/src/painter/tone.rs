//! Colours as the painter mixes them, and the roles that a palette's colours take in a picture.
//!
//! A palette may be anything, also five times black: the roles are pulled apart until a subject stands out from its
//! backdrop. Which colour takes which role depends on the mood, the lighting and the dice.

use messages::spec::{Color, Mood, Style};

use super::dice::Dice;
use super::lighting::Light;

/// A colour in sRGB, each part 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    /// Red.
    pub r: f32,
    /// Green.
    pub g: f32,
    /// Blue.
    pub b: f32,
}

impl Tone {
    /// White.
    pub const WHITE: Self = Self::new(1.0, 1.0, 1.0);
    /// Black.
    pub const BLACK: Self = Self::new(0.0, 0.0, 0.0);

    /// A colour of three parts, 0 to 1.
    pub const fn new(r: f32, g: f32, b: f32) -> Self {
        Self { r, g, b }
    }

    /// The way from here to `other`, `t` of it.
    pub fn mix(self, other: Self, t: f32) -> Self {
        let part = |a: f32, b: f32| a + (b - a) * t;
        Self::new(part(self.r, other.r), part(self.g, other.g), part(self.b, other.b))
    }

    /// `t` of the way to white.
    pub fn lighter(self, t: f32) -> Self {
        self.mix(Self::WHITE, t)
    }

    /// `t` of the way to black.
    pub fn darker(self, t: f32) -> Self {
        self.mix(Self::BLACK, t)
    }

    /// Relative luminance, 0 to 1, as contrast is reckoned.
    pub fn luminance(self) -> f32 {
        let linear = |v: f32| if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(self.r) + 0.7152 * linear(self.g) + 0.0722 * linear(self.b)
    }

    /// How light it looks, 0 to 1.
    pub fn lightness(self) -> f32 {
        self.luminance().powf(1.0 / 2.2)
    }

    /// Contrast ratio to another colour, 1 to 21.
    pub fn contrast(self, other: Self) -> f32 {
        let (a, b) = (self.luminance() + 0.05, other.luminance() + 0.05);
        if a > b { a / b } else { b / a }
    }

    /// How colourful it is, 0 to 1.
    pub fn chroma(self) -> f32 {
        self.r.max(self.g).max(self.b) - self.r.min(self.g).min(self.b)
    }

    /// How far another colour lies, 0 to 1.
    pub fn distance(self, other: Self) -> f32 {
        let square = |a: f32, b: f32| (a - b) * (a - b);
        ((square(self.r, other.r) + square(self.g, other.g) + square(self.b, other.b)) / 3.0).sqrt()
    }

    /// The same hue, made as light as asked for.
    pub fn with_lightness(self, wanted: f32) -> Self {
        let wanted = wanted.clamp(0.0, 1.0);
        let (mut low, mut high) = (-1.0_f32, 1.0_f32);
        let shifted = |t: f32| if t < 0.0 { self.darker(-t) } else { self.lighter(t) };
        for _ in 0..12 {
            let middle = f32::midpoint(low, high);
            if shifted(middle).lightness() < wanted { low = middle } else { high = middle }
        }
        shifted(f32::midpoint(low, high))
    }

    /// Lightness pushed into a range, hue kept.
    pub fn with_lightness_within(self, low: f32, high: f32) -> Self {
        let now = self.lightness();
        if now < low {
            self.with_lightness(low)
        } else if now > high {
            self.with_lightness(high)
        } else {
            self
        }
    }

    /// As the drawing library takes it; `alpha` 0 to 1.
    pub fn alpha(self, alpha: f32) -> tiny_skia::Color {
        let part = |v: f32| if v.is_finite() { v.clamp(0.0, 1.0) } else { 0.0 };
        tiny_skia::Color::from_rgba(part(self.r), part(self.g), part(self.b), part(alpha))
            .unwrap_or(tiny_skia::Color::TRANSPARENT)
    }
}

impl From<Color> for Tone {
    fn from(color: Color) -> Self {
        let part = |v: u8| f32::from(v) / 255.0;
        Self::new(part(color.r), part(color.g), part(color.b))
    }
}

/// Which colour does what in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Roles {
    /// The backdrop away from the light.
    pub shade: Tone,
    /// The backdrop.
    pub wall: Tone,
    /// The backdrop where the light falls.
    pub lit: Tone,
    /// The ground.
    pub floor: Tone,
    /// The subject's main colour; stands out from the backdrop.
    pub body: Tone,
    /// The palette's most colourful.
    pub accent: Tone,
    /// The next most colourful, or a relative of the accent.
    pub second: Tone,
    /// The darkest anchor.
    pub ink: Tone,
    /// The colour of the light.
    pub light: Tone,
}

impl Roles {
    /// Gives the palette's colours their roles.
    pub fn new(style: &Style, light: Light, dice: &mut Dice) -> Self {
        let mut palette: Vec<Tone> = style.color_palette.iter().copied().map(Tone::from).collect();
        if palette.is_empty() {
            palette.push(Tone::new(0.5, 0.5, 0.52));
        }
        let target = (mood_lightness(style.mood) + light.exposure()).clamp(0.12, 0.88);

        let mut by_fit = palette.clone();
        by_fit.sort_by(|a, b| (a.lightness() - target).abs().total_cmp(&(b.lightness() - target).abs()));
        // Mostly the colour that suits the mood, sometimes the runner-up: seeds are to differ.
        let wall = by_fit[if dice.unit() < 0.3 { 1 % by_fit.len() } else { 0 }];
        let wall = wall.with_lightness_within(target - 0.16, target + 0.16).with_lightness_within(0.1, 0.9);

        // Colourful, and another colour than the wall: an accent that hides in the wall is none.
        let mut by_chroma = palette.clone();
        let salience = |tone: Tone| tone.chroma() * (tone.distance(wall) * 2.5).min(1.0);
        by_chroma.sort_by(|a, b| salience(*b).total_cmp(&salience(*a)));
        let swapped = usize::from(by_chroma.len() > 1 && by_chroma[1].chroma() > 0.25 && dice.unit() < 0.35);
        let accent = by_chroma[swapped];
        let accent = apart(accent, wall, 1.7);
        let second = by_chroma.get(1 - swapped).copied().unwrap_or(accent);
        let second = if second.chroma() < 0.06 { accent.mix(wall, 0.45) } else { apart(second, wall, 1.35) };

        // The subject: what stands out and has colour, but is not simply white or black where there is a choice.
        let appeal = |tone: Tone| tone.contrast(wall).min(4.5) + tone.chroma() * 1.6;
        let body = palette.iter().copied().max_by(|a, b| appeal(*a).total_cmp(&appeal(*b))).unwrap_or(accent);
        let body = apart(body.with_lightness_within(0.2, 0.94), wall, 2.4);

        let tint = light.tint();
        let darkest = palette.iter().copied().min_by(|a, b| a.luminance().total_cmp(&b.luminance())).unwrap_or(wall);
        let spread = light.contrast();
        let lift = if wall.lightness() > 0.6 { 0.55 } else { 0.3 };
        Self {
            shade: wall.darker(0.24 + 0.36 * spread),
            wall,
            lit: wall.mix(tint.mix(accent, 0.16), lift * (0.7 + 0.5 * spread)),
            floor: wall.mix(darkest, 0.2).darker(0.12 + 0.12 * spread),
            body,
            accent,
            second,
            ink: darkest.with_lightness_within(0.0, 0.14),
            light: tint,
        }
    }
}

/// How light a film of that mood is, where its palette allows it.
const fn mood_lightness(mood: Mood) -> f32 {
    match mood {
        Mood::Elegant => 0.24,
        Mood::Minimalist => 0.84,
        Mood::Energetic => 0.48,
        Mood::Emotional => 0.56,
        Mood::Informative => 0.74,
    }
}

/// `tone`, moved away from `ground` in lightness until the two have at least that contrast ratio.
fn apart(tone: Tone, ground: Tone, ratio: f32) -> Tone {
    let up = if (tone.lightness() - ground.lightness()).abs() > 0.04 {
        tone.lightness() > ground.lightness()
    } else {
        ground.lightness() < 0.5
    };
    let towards = |limit: Tone| {
        (0..=20).map(|step| tone.mix(limit, step as f32 / 20.0)).find(|tone| tone.contrast(ground) >= ratio)
    };
    let (first, other) = if up { (Tone::WHITE, Tone::BLACK) } else { (Tone::BLACK, Tone::WHITE) };
    towards(first).or_else(|| towards(other)).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_stands_out_on_any_palette() {
        for hex in ["#000000", "#ffffff", "#7f7f7f", "#ff0000", "#0000ff", "#ffff00"] {
            for mood in [Mood::Elegant, Mood::Minimalist, Mood::Energetic, Mood::Emotional, Mood::Informative] {
                let style = Style {
                    aesthetic: String::new(),
                    color_palette: vec![hex.parse().expect("a colour"); 3],
                    mood,
                    lighting: "soft".into(),
                };
                let roles = Roles::new(&style, Light::read("soft"), &mut Dice::new(1, 1));
                assert!(roles.body.contrast(roles.wall) > 1.9, "{hex} {mood:?}: {roles:?}");
                assert!(roles.accent.contrast(roles.wall) > 1.5, "{hex} {mood:?}");
            }
        }
    }

    #[test]
    fn lightness_is_reached_from_any_hue() {
        for tone in [Tone::BLACK, Tone::WHITE, Tone::new(0.9, 0.1, 0.2)] {
            for wanted in [0.1, 0.5, 0.9] {
                assert!((tone.with_lightness(wanted).lightness() - wanted).abs() < 0.02);
            }
        }
    }
}
