//! The subject as a lit object: each kind is a handful of outlines with light from one side.
//!
//! A shape lives in a box around the origin, y downwards, as large as [`Subject::half`] says. It is drawn on a sheet of
//! its own, so that reflection, bright edge and shadow follow from the sheet and no shape has to know about them.

mod device;
mod place;
mod vessel;
mod worn;

use tiny_skia::Path;

use super::brush::{Brush, Stop, outline};
use super::subject::Subject;
use super::tone::{Roles, Tone};

/// A subject in the making: the brush, the colours, and the side that the light comes from.
pub struct Model<'a> {
    /// Draws in the subject's own coordinates.
    pub brush: Brush<'a>,
    /// The picture's colours.
    pub roles: &'a Roles,
    /// -1 when light comes from the left, 1 from the right.
    pub side: f32,
}

impl Model<'_> {
    /// Draws a subject.
    pub fn draw(&mut self, subject: Subject) {
        match subject {
            Subject::Watch => worn::watch(self),
            Subject::Ring => worn::ring(self),
            Subject::Shoe => worn::shoe(self),
            Subject::Bag => worn::bag(self),
            Subject::Flacon => vessel::flacon(self),
            Subject::Bottle => vessel::bottle(self),
            Subject::Can => vessel::can(self),
            Subject::Cup => vessel::cup(self),
            Subject::Phone => device::phone(self),
            Subject::Laptop => device::laptop(self),
            Subject::Headphones => device::headphones(self),
            Subject::Car => place::car(self),
            Subject::House => place::house(self),
            Subject::Prism => self.prism(),
        }
    }

    /// A matt surface: bright towards the light, dark away from it.
    fn form(&mut self, path: Option<Path>, tone: Tone) {
        let Some(bounds) = path.as_ref().map(Path::bounds) else { return };
        let (lit, dark) =
            if self.side < 0.0 { (bounds.left(), bounds.right()) } else { (bounds.right(), bounds.left()) };
        let stops: [Stop; 4] = [
            (0.0, tone.mix(self.roles.light, 0.42), 1.0),
            (0.35, tone.mix(self.roles.light, 0.08), 1.0),
            (0.7, tone.darker(0.22), 1.0),
            (1.0, tone.darker(0.5), 1.0),
        ];
        self.brush.fade(path, (lit, bounds.top()), (dark, bounds.bottom()), &stops);
    }

    /// A round, shiny surface: bands of light from side to side.
    fn shiny(&mut self, path: Option<Path>, tone: Tone) {
        let Some(bounds) = path.as_ref().map(Path::bounds) else { return };
        let (lit, dark) =
            if self.side < 0.0 { (bounds.left(), bounds.right()) } else { (bounds.right(), bounds.left()) };
        let bright = tone.mix(self.roles.light, 0.75);
        let stops: [Stop; 7] = [
            (0.0, tone.darker(0.45), 1.0),
            (0.16, tone, 1.0),
            (0.27, bright, 1.0),
            (0.36, tone.lighter(0.12), 1.0),
            (0.68, tone.darker(0.38), 1.0),
            (0.9, tone.darker(0.62), 1.0),
            (1.0, tone.darker(0.25), 1.0),
        ];
        self.brush.fade(path, (lit, 0.0), (dark, 0.0), &stops);
    }

    /// Dark glass with a slanted reflection.
    fn glass(&mut self, path: Option<Path>, tone: Tone) {
        let Some(bounds) = path.as_ref().map(Path::bounds) else { return };
        let top = tone.mix(self.roles.light, 0.3);
        self.brush.fade(
            path,
            (bounds.left(), bounds.top()),
            (bounds.right(), bounds.bottom()),
            &[(0.0, top, 1.0), (0.42, tone, 1.0), (0.43, tone.darker(0.25), 1.0), (1.0, tone.darker(0.5), 1.0)],
        );
    }

    /// The colour of metal parts: a grey that leans to the palette.
    fn metal(&self) -> Tone {
        Tone::new(0.74, 0.75, 0.78).mix(self.roles.accent, 0.22)
    }

    /// A dark that leans to the palette.
    fn dark(&self) -> Tone {
        self.roles.ink.mix(self.roles.accent, 0.06).with_lightness_within(0.05, 0.14)
    }

    /// A package seen from a corner, three faces and a ribbon of the accent.
    fn prism(&mut self) {
        let body = self.roles.body;
        let (left, right) = if self.side < 0.0 { (0.12, -0.42) } else { (-0.42, 0.12) };
        let shift = |t: f32| if t > 0.0 { body.mix(self.roles.light, t) } else { body.darker(-t) };
        let (left, right, top) = (shift(left), shift(right), body.mix(self.roles.light, 0.5));
        let accent = self.roles.accent;
        let brush = &mut self.brush;
        let face = outline("M -0.36 -0.3 L 0 -0.12 L 0 0.5 L -0.36 0.3 Z");
        brush.fade(face, (0.0, -0.3), (0.0, 0.5), &[(0.0, left, 1.0), (1.0, left.darker(0.25), 1.0)]);
        let face = outline("M 0.36 -0.3 L 0 -0.12 L 0 0.5 L 0.36 0.3 Z");
        brush.fade(face, (0.0, -0.3), (0.0, 0.5), &[(0.0, right, 1.0), (1.0, right.darker(0.25), 1.0)]);
        brush.fill(outline("M -0.36 -0.3 L 0 -0.5 L 0.36 -0.3 L 0 -0.12 Z"), top, 1.0);
        brush.fill(outline("M -0.22 -0.378 L -0.14 -0.422 L 0.22 -0.23 L 0.14 -0.19 Z"), accent.lighter(0.12), 1.0);
        brush.fill(outline("M 0.22 -0.23 L 0.14 -0.19 L 0.14 0.422 L 0.22 0.378 Z"), accent.darker(0.12), 1.0);
        brush.fill(outline("M -0.29 0.02 L -0.1 0.115 L -0.1 0.17 L -0.29 0.075 Z"), accent, 0.9);
        brush.fill(outline("M -0.29 0.12 L -0.17 0.18 L -0.17 0.205 L -0.29 0.145 Z"), accent, 0.55);
        brush.line(outline("M -0.36 -0.3 L 0 -0.12 L 0.36 -0.3 M 0 -0.12 L 0 0.5"), 0.006, self.roles.light, 0.45);
    }
}
