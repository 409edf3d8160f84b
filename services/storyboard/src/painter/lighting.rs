//! Light: what the spec's lighting words mean for a picture.

use super::tone::Tone;
use super::vocabulary::{has_word, words};

/// How a scene is lit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Light {
    /// Wide and even.
    Soft,
    /// One hard source, deep shadows.
    Dramatic,
    /// Low warm sun.
    Golden,
    /// Coloured tubes in the dark.
    Neon,
    /// Daylight.
    Natural,
    /// Clean boxes of light.
    Studio,
    /// From behind.
    Backlit,
    /// Night.
    Moonlit,
}

/// The words that name each light, in the languages that briefs come in; a trailing `*` takes any ending.
#[rustfmt::skip] // One word a line would bury the table.
const LIGHTS: &[(Light, &[&str])] = &[
    (Light::Neon, &[
        "neon*", "cyberpunk", "неон*", "led", "霓虹", "ネオン",
    ]),
    (Light::Golden, &[
        "gold*", "warm*", "sunset*", "sunrise", "dorada", "doré*", "закат*", "золот*", "тёпл*", "тепл*", "abend*",
        "夕", "黄金",
    ]),
    (Light::Backlit, &[
        "backlit", "backlight*", "silhouette*", "rim", "halo", "gegenlicht", "contraluz", "contre-jour", "逆光",
    ]),
    (Light::Moonlit, &[
        "moon*", "night*", "midnight", "nacht*", "noche", "nuit", "ноч*", "лунн*", "夜",
    ]),
    (Light::Dramatic, &[
        "drama*", "chiaroscuro", "moody", "noir", "low-key", "lowkey", "contrast*", "hard", "spotlight", "драмат*",
        "戏剧",
    ]),
    (Light::Studio, &[
        "studio*", "clean", "crisp", "bright", "high-key", "highkey", "softbox", "студи*", "hell", "nítida", "工作室",
    ]),
    (Light::Natural, &[
        "natural*", "day*", "sun*", "outdoor", "window", "natür*", "tageslicht", "naturel*", "естеств*", "дневн*",
        "φυσικ*", "自然",
    ]),
];

impl Light {
    /// The light that some words ask for; soft when they say nothing known.
    pub fn read(lighting: &str) -> Self {
        let words = words(lighting);
        LIGHTS.iter().find(|(_, names)| has_word(&words, names)).map_or(Self::Soft, |(light, _)| *light)
    }

    /// How much lighter or darker it makes a scene, -1 to 1.
    pub const fn exposure(self) -> f32 {
        match self {
            Self::Dramatic => -0.16,
            Self::Neon => -0.3,
            Self::Moonlit => -0.34,
            Self::Backlit => -0.1,
            Self::Studio => 0.08,
            Self::Soft | Self::Golden => 0.0,
            Self::Natural => 0.05,
        }
    }

    /// How far lit and unlit lie apart, 0 to 1.
    pub const fn contrast(self) -> f32 {
        match self {
            Self::Soft => 0.3,
            Self::Natural | Self::Studio => 0.4,
            Self::Golden => 0.65,
            Self::Backlit | Self::Moonlit => 0.8,
            Self::Neon => 0.9,
            Self::Dramatic => 1.0,
        }
    }

    /// Its colour.
    pub const fn tint(self) -> Tone {
        match self {
            Self::Soft => Tone::new(1.0, 0.98, 0.95),
            Self::Dramatic => Tone::new(1.0, 0.95, 0.88),
            Self::Golden => Tone::new(1.0, 0.78, 0.45),
            Self::Neon => Tone::new(0.82, 0.72, 1.0),
            Self::Natural => Tone::new(0.97, 0.98, 1.0),
            Self::Studio => Tone::new(1.0, 1.0, 1.0),
            Self::Backlit => Tone::new(1.0, 0.92, 0.8),
            Self::Moonlit => Tone::new(0.7, 0.82, 1.0),
        }
    }

    /// Size of the pool of light, as a part of the picture's longer side.
    pub const fn reach(self) -> f32 {
        match self {
            Self::Soft | Self::Natural => 0.85,
            Self::Studio | Self::Golden => 0.7,
            Self::Backlit => 0.55,
            Self::Neon | Self::Moonlit => 0.6,
            Self::Dramatic => 0.45,
        }
    }

    /// Strength of the bright edge on the subject's lit side, 0 to 1.
    pub const fn rim(self) -> f32 {
        match self {
            Self::Soft | Self::Natural => 0.35,
            Self::Studio => 0.45,
            Self::Golden => 0.7,
            Self::Dramatic => 0.75,
            Self::Moonlit => 0.8,
            Self::Neon | Self::Backlit => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lighting_words_are_understood_and_others_mean_soft() {
        for (text, light) in [
            ("dramatic side lighting", Light::Dramatic),
            ("warm golden hour", Light::Golden),
            ("neon glow", Light::Neon),
            ("мягкий, естественный свет", Light::Natural),
            ("clean studio light", Light::Studio),
            ("soft diffused", Light::Soft),
            ("", Light::Soft),
            ("whatever", Light::Soft),
        ] {
            assert_eq!(Light::read(text), light, "{text}");
        }
    }
}
