//! The refine service: music for a film, the finished mix, and one picture that stands for it.
//!
//! It makes `background` (MP3, composed or of what a person brought), `final` (MP4) and, with a film's first mix,
//! `thumbnail` (JPEG), from a job that says everything; it knows neither the pipeline nor the person who waits. In reading
//! order: [`handler`] (a job in, artifacts out), [`timeline`]
//! (PURE: the mix as a filter graph), [`encoder`] (runs the media tool until loudness and peak are right), [`looping`]
//! (PURE: where music may be repeated), [`thumbnail`] (PURE: which frame stands for the film), [`upload`] (PURE: what
//! uploaded music begins with), [`music_model`] (who composes), [`band`] (PURE: the built-in musicians).

pub mod band;
pub mod encoder;
pub mod handler;
pub mod looping;
pub mod music_model;
pub mod thumbnail;
pub mod timeline;
pub mod upload;

pub use handler::handler;
