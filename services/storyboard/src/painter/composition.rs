//! The composition: every decision about a picture, made before anything is drawn.
//!
//! Only the job decides: its beat, style, product, size and seed. Nothing here draws, and drawing decides nothing.

use messages::storyboard::DrawBeat;

use super::dice::Dice;
use super::lighting::Light;
use super::movement::Movement;
use super::setting::Setting;
use super::shot::Shot;
use super::subject::Subject;
use super::tone::Roles;
use super::vocabulary::{has_word, words};

/// A picture, decided.
#[derive(Debug, Clone)]
pub struct Composition {
    /// Width in pixels.
    pub width: f32,
    /// Height in pixels.
    pub height: f32,
    /// The framing.
    pub shot: Shot,
    /// The camera's way.
    pub movement: Movement,
    /// What is shown.
    pub subject: Subject,
    /// Where.
    pub setting: Setting,
    /// In which light.
    pub light: Light,
    /// In which colours.
    pub roles: Roles,
    /// The subject's centre in pixels.
    pub centre: (f32, f32),
    /// Pixels that one unit of the subject's box measures.
    pub scale: f32,
    /// The subject's tilt in degrees.
    pub tilt: f32,
    /// -1 when the light comes from the left, 1 from the right.
    pub side: f32,
    /// Where the light falls on the backdrop, in pixels.
    pub pool: (f32, f32),
    /// Whether somebody is in the picture.
    pub figure: bool,
    /// Whether the picture shows a before and an after.
    pub divided: bool,
    /// Further chance, for details.
    pub dice: Dice,
}

/// Words that put somebody into the picture.
const PEOPLE: &[&str] = &[
    "person*",
    "people",
    "man",
    "woman",
    "men",
    "women",
    "runner*",
    "athlete*",
    "family",
    "child*",
    "girl",
    "boy",
    "couple",
    "friend*",
    "user*",
    "model",
    "hand",
    "hands",
    "someone",
    "lifestyle",
    "mann",
    "frau",
    "mensch*",
    "kind*",
    "homme",
    "femme",
    "gens",
    "personne*",
    "hombre*",
    "mujer*",
    "persona*",
    "человек*",
    "мужчин*",
    "женщин*",
    "люди",
    "девушк*",
    "парень",
    "семь*",
    "бегун*",
    "άνθρωπ*",
    "γυναίκα",
    "άνδρας",
    "人",
];

impl Composition {
    /// Decides a picture.
    pub fn of(work: &DrawBeat) -> Self {
        let (width, height) = (work.size.width as f32, work.size.height as f32);
        let short = width.min(height);
        // What all beats of a film share would follow from the style alone; the rest is this beat's own throw.
        let own = work.seed.rotate_left(17) ^ u64::from(work.beat_index).wrapping_mul(0x9e6c_63d0_876a_68b5);
        let mut dice = Dice::new(own, 1);

        let shot = Shot::read(&work.beat.shot_type);
        let light = Light::read(&work.style.lighting);
        let subject = Subject::recognise(&work.product, &work.beat.prompt);
        let scene = words(&work.beat.prompt);
        let action = words(&work.beat.action.replace('_', " "));
        let divided = has_word(&action, &["before", "transformation", "transform*"]);
        let figure = matches!(shot, Shot::Medium | Shot::MediumWide | Shot::Wide)
            && !divided
            && (has_word(&scene, PEOPLE) || has_word(&action, PEOPLE));
        let setting = Setting::choose(shot, subject, &work.beat.prompt, figure, &mut dice);
        let roles = Roles::new(&work.style, light, &mut Dice::new(own, 2));

        let (half_w, half_h) = subject.half();
        let portrait = height > width * 1.1;
        let mut scale = shot.scale() * short * dice.between(0.94, 1.06) * if portrait { 1.12 } else { 1.0 };
        // Flat things may be larger: they are as wide as others are high.
        if !matches!(shot, Shot::Macro | Shot::ExtremeCloseUp) {
            let room = if portrait { 0.84 } else { 0.56 } * width;
            scale *= if half_h < 0.4 { if portrait { 1.35 } else { 1.2 } } else { 1.0 };
            scale = scale.min(room / (2.0 * half_w));
            if !subject.is_portable() && shot == Shot::Medium {
                scale *= 1.5;
            }
        }

        let right = dice.coin();
        let x = match shot {
            Shot::CloseUp | Shot::MediumCloseUp | Shot::Dynamic | Shot::Tracking if portrait => {
                dice.between(0.44, 0.56)
            }
            // Off centre, but not so far to the left that a large subject stands under the beat's name.
            Shot::CloseUp | Shot::Dynamic if right => dice.between(0.57, 0.65),
            Shot::CloseUp | Shot::Dynamic => dice.between(0.455, 0.485),
            Shot::MediumCloseUp if right => dice.between(0.59, 0.67),
            Shot::MediumCloseUp => dice.between(0.42, 0.46),
            Shot::Macro | Shot::ExtremeCloseUp => 0.5 + if right { 1.0 } else { -1.0 } * dice.between(0.04, 0.16),
            Shot::DynamicMulti => 0.5,
            _ if portrait => 0.5 + if right { 1.0 } else { -1.0 } * dice.between(0.04, 0.12),
            // On a line of thirds.
            _ => (if right { 2.0 / 3.0 } else { 1.0 / 3.0 }) + dice.between(-0.03, 0.03),
        };
        let ground = setting.horizon();
        let y = match setting {
            Setting::Bokeh => dice.between(0.42, 0.56),
            Setting::Burst => dice.between(0.43, 0.48),
            // Standing on the ground, a little nearer than its far edge.
            Setting::Studio(_) => ground + 0.03 - half_h * scale / height,
            Setting::Room => ground + 0.01 - half_h * scale / height,
            Setting::Hills | Setting::City | Setting::Sea | Setting::Road => ground + 0.09 - half_h * scale / height,
        };
        let tilt = match shot {
            Shot::Dynamic => dice.between(9.0, 17.0) * if dice.coin() { 1.0 } else { -1.0 },
            Shot::Macro | Shot::ExtremeCloseUp => dice.between(-16.0, 16.0),
            Shot::Tracking => -2.5,
            _ => 0.0,
        };
        let (mut x, mut y) = (x, y);
        if matches!(shot, Shot::Macro | Shot::ExtremeCloseUp) {
            // What is worth seeing comes to where the eye falls; the rest may leave the picture.
            let ((fx, fy), (sin, cos)) = (subject.focus(), tilt.to_radians().sin_cos());
            x -= (fx * cos - fy * sin) * scale / width;
            y -= (fx * sin + fy * cos) * scale / height;
        }
        if figure && subject.is_portable() && shot != Shot::Medium {
            let smaller = scale * 0.55;
            y += half_h * (scale - smaller) / height;
            scale = smaller;
        }
        let side = if dice.coin() { -1.0 } else { 1.0 };
        let pool = match light {
            Light::Backlit => (x * width, (y - 0.05) * height),
            _ => ((x + side * dice.between(0.06, 0.2)) * width, dice.between(0.2, 0.42) * height),
        };
        Self {
            width,
            height,
            shot,
            movement: Movement::read(&work.beat.camera_movement),
            subject,
            setting,
            light,
            roles,
            centre: (x * width, y * height),
            scale,
            tilt,
            side,
            pool,
            figure,
            divided,
            dice: Dice::new(own, 3),
        }
    }

    /// The picture's shorter side in pixels.
    pub const fn short(&self) -> f32 {
        self.width.min(self.height)
    }

    /// The horizon or floor's edge in pixels.
    pub const fn horizon(&self) -> f32 {
        self.setting.horizon() * self.height
    }

    /// Whether the subject stands in the right half.
    pub fn is_right(&self) -> bool {
        self.centre.0 > self.width / 2.0
    }
}
