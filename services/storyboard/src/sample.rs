//! A beat to draw, for tests.

use messages::catalogue::{Energy, Model, ModelKind, Position, Price};
use messages::spec::{Beat, Color, Mood, Product, Size, Style};
use messages::storyboard::DrawBeat;

/// The opening of a film about a watch.
pub fn beat() -> DrawBeat {
    DrawBeat {
        beat_index: 0,
        beat_count: 4,
        beat: Beat {
            beat_id: "hero_shot".into(),
            start: 0,
            duration: 5,
            shot_type: "close_up".into(),
            action: "product_reveal".into(),
            camera_movement: "slow_dolly_in".into(),
            typical_position: Position::Opening,
            energy_level: Energy::Medium,
            prompt: "A steel watch on black stone, first light on the dial, a single drop of water.".into(),
        },
        style: Style {
            aesthetic: "timeless luxury".into(),
            color_palette: palette(&["#101820", "#c8a45c", "#f2ede4", "#5b6770"]),
            mood: Mood::Elegant,
            lighting: "dramatic".into(),
        },
        product: Product { name: "luxury watch".into(), category: "luxury".into() },
        size: Size { width: 1280, height: 720 },
        seed: 7,
        model: Model {
            name: "local_painter".into(),
            kind: ModelKind::Image,
            provider: "local".into(),
            provider_model: "painter".into(),
            price: Price::Free,
            clip_s: None,
            fps: None,
            size: None,
            start_image_parameter: None,
            own_sound: false,
            continues: true,
        },
    }
}

/// Colours from their hex digits.
pub fn palette(hex: &[&str]) -> Vec<Color> {
    hex.iter().map(|hex| hex.parse().expect("a colour")).collect()
}
