//! The chunk service: a beat's picture becomes a moving chunk, and all chunks become one film without music.
//!
//! It knows three jobs, `RenderChunk`, `ImportClip` and `StitchFilm`, and their outcomes. It does not know phases,
//! checkpoints or people, plans no chunks (that is `messages::chunk::plan`) and chooses no models.
//!
//! In reading order: [`handler`] (the job on one page), [`frames`] (seconds to frame numbers), [`request`] (what a model
//! is asked), [`video_model`] (who is asked), [`animatic`] (the model that is built in), [`encoder`] and [`probe`] (how
//! clips are written and read), [`stitch`] (what has to be done to each chunk of a film), [`sound`] (their sound),
//! [`assembly`] (doing it), [`upload`] (what has to be done to a video that a person brought).

pub mod animatic;
pub mod assembly;
pub mod encoder;
pub mod frames;
pub mod handler;
pub mod probe;
pub mod request;
pub mod sound;
pub mod stitch;
pub mod upload;
pub mod video_model;

pub use handler::handler;
