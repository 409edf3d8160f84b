//! Shots: how a beat's `shot_type` frames its subject.

use super::vocabulary::words;

/// How near the camera is, and what kind of picture that makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shot {
    /// A part of the subject, larger than the picture.
    ExtremeCloseUp,
    /// Its surface.
    Macro,
    /// The subject fills the picture.
    CloseUp,
    /// The subject with some room.
    MediumCloseUp,
    /// The subject among people or things; also what an unknown shot type becomes.
    Medium,
    /// The subject in its place.
    MediumWide,
    /// Small in its surroundings.
    Wide,
    /// Smaller still, under a large sky.
    WideCinematic,
    /// Moving along with it.
    Tracking,
    /// Tilted and full of energy.
    Dynamic,
    /// Several at once.
    DynamicMulti,
}

impl Shot {
    /// The framing that a shot type asks for. People may write their own, so the words in it decide; a shot type without
    /// a known word is framed as a medium shot, which suits most.
    pub fn read(shot_type: &str) -> Self {
        let spelled = shot_type.to_lowercase().replace(['_', '-'], " ");
        let words = words(&spelled);
        let has = |names: &[&str]| names.iter().any(|name| words.iter().any(|word| word == name));
        let close = has(&["close", "closeup", "cu", "insert", "detail"]);
        if has(&["macro", "texture"]) {
            Self::Macro
        } else if has(&["extreme", "ecu", "big"]) && close || has(&["ecu"]) {
            Self::ExtremeCloseUp
        } else if has(&["multi", "montage", "split", "panels", "collage"]) {
            Self::DynamicMulti
        } else if has(&["tracking", "track", "follow", "chase"]) {
            Self::Tracking
        } else if has(&["dynamic", "dutch", "whip", "action"]) {
            Self::Dynamic
        } else if has(&["medium", "mid"]) && close || has(&["mcu"]) {
            Self::MediumCloseUp
        } else if close {
            Self::CloseUp
        } else if has(&["medium", "mid"]) && has(&["wide", "long", "full"]) || has(&["full", "cowboy"]) {
            Self::MediumWide
        } else if has(&["cinematic", "aerial", "drone", "panorama", "panoramic", "landscape"])
            || has(&["extreme"]) && has(&["wide", "long"])
        {
            Self::WideCinematic
        } else if has(&["wide", "long", "establishing", "ws"]) {
            Self::Wide
        } else {
            Self::Medium
        }
    }

    /// The subject's size as a part of the picture's shorter side.
    pub const fn scale(self) -> f32 {
        match self {
            Self::ExtremeCloseUp => 1.9,
            Self::Macro => 2.5,
            Self::CloseUp => 0.68,
            Self::MediumCloseUp => 0.54,
            Self::Medium => 0.36,
            Self::MediumWide => 0.42,
            Self::Wide => 0.26,
            Self::WideCinematic => 0.18,
            Self::Tracking => 0.56,
            Self::Dynamic => 0.76,
            Self::DynamicMulti => 0.6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shot_of_the_library_has_its_framing() {
        for (id, shot) in [
            ("close_up", Shot::CloseUp),
            ("wide", Shot::Wide),
            ("extreme_close_up", Shot::ExtremeCloseUp),
            ("dynamic", Shot::Dynamic),
            ("macro", Shot::Macro),
            ("tracking", Shot::Tracking),
            ("medium", Shot::Medium),
            ("medium_close_up", Shot::MediumCloseUp),
            ("dynamic_multi", Shot::DynamicMulti),
            ("medium_wide", Shot::MediumWide),
            ("wide_cinematic", Shot::WideCinematic),
        ] {
            assert_eq!(Shot::read(id), shot, "{id}");
        }
    }

    #[test]
    fn an_unknown_shot_is_framed_as_a_medium_one() {
        for id in ["", "over_the_moon", "🎥", "кадр"] {
            assert_eq!(Shot::read(id), Shot::Medium, "{id}");
        }
        assert_eq!(Shot::read("aerial drone view"), Shot::WideCinematic);
        assert_eq!(Shot::read("Extreme Close-Up"), Shot::ExtremeCloseUp);
    }
}
