//! What the chunk service promises, with the real media tools and small pictures.
//!
//! [`plan`]: which chunks a film has. [`render`]: one chunk, from job to stored clip. [`camera`]: how each movement looks
//! in numbers. [`stitch`]: chunks to film.

mod camera;
mod harness;
mod plan;
mod render;
mod stitch;
