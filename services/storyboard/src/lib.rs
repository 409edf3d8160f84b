//! The storyboard service: one picture per beat, each a job of its own.
//!
//! It knows the jobs `DrawBeat` and `ImportPicture` and their outcomes, not the pipeline and not the person. In reading
//! order: [`handler`] (the job), [`prompt`] (pure: a beat worded for an image model), [`image_model`] (who draws),
//! [`painter`] (the built-in one, which needs neither network nor keys; its bundled font is Inter, under the SIL Open Font
//! License in `fonts/`), [`upload`] (pure: what a person brought instead), [`png`] (how pictures are written).

pub mod handler;
pub mod image_model;
pub mod painter;
pub mod png;
pub mod prompt;
pub mod upload;

#[cfg(test)]
mod sample;

/// The handler to run this service's jobs with.
pub fn handler() -> impl runtime::worker::Handler {
    handler::StoryboardHandler
}
