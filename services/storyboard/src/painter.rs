//! The built-in painter: one composed animatic frame per beat, without network, keys or a graphics card.
//!
//! A picture is decided first ([`composition`]), then painted from back to front: [`backdrop`], [`scenery`], [`stage`],
//! [`effects`], and the [`overlay`] on top. It follows from the job alone: equal jobs give equal bytes, another seed gives
//! another composition of the same scene. The chunk service moves a camera over the picture later, so that its edges are
//! expendable and all text keeps away from them.

mod backdrop;
mod brush;
mod composition;
mod dice;
mod effects;
mod layer;
mod lettering;
mod lighting;
mod movement;
mod overlay;
mod scenery;
mod setting;
mod shapes;
mod shot;
mod stage;
mod subject;
mod tone;
mod vocabulary;

use messages::spec::Size;
use messages::storyboard::DrawBeat;
use tiny_skia::Pixmap;

use crate::png;

use composition::Composition;
use shot::Shot;

/// The longest side that is painted, in pixels.
const LONGEST_SIDE: u32 = 4096;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PaintError {
    /// No picture has that size.
    #[error("a picture of {0} pixels cannot be painted: each side must be 1 to {LONGEST_SIDE}")]
    Size(Size),
    /// The picture could not be written as PNG.
    #[error("the picture could not be encoded")]
    Encode(#[from] image::ImageError),
}

/// Paints a beat as a PNG of exactly the job's size. Takes a tenth of a second or so: not for async threads.
pub fn paint_png(work: &DrawBeat) -> Result<Vec<u8>, PaintError> {
    let sheet = paint(work)?;
    let mut rgb = Vec::with_capacity(sheet.pixels().len() * 3);
    for pixel in sheet.pixels() {
        rgb.extend([pixel.red(), pixel.green(), pixel.blue()]);
    }
    Ok(png::encode(&rgb, work.size)?)
}

/// Paints a beat; every pixel is opaque.
fn paint(work: &DrawBeat) -> Result<Pixmap, PaintError> {
    let Size { width, height } = work.size;
    let fits = |side: u32| (1..=LONGEST_SIDE).contains(&side);
    let sheet = if fits(width) && fits(height) { Pixmap::new(width, height) } else { None };
    let mut sheet = sheet.ok_or(PaintError::Size(work.size))?;

    let plan = Composition::of(work);
    backdrop::paint(&mut sheet, &plan);
    if plan.shot == Shot::DynamicMulti {
        effects::montage(&mut sheet, &plan);
    } else {
        scenery::paint(&mut sheet, &plan);
        stage::paint(&mut sheet, &plan);
        effects::paint(&mut sheet, &plan);
    }
    backdrop::finish(&mut sheet, &plan);
    overlay::paint(&mut sheet, &plan, work);
    Ok(sheet)
}

#[cfg(test)]
mod tests;
