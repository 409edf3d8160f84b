//! What the chunk service promises, with the real media tools and small pictures.
//!
//! [`plan`]: which chunks a film has. [`render`]: one chunk, from job to stored clip. [`camera`]: how each movement looks
//! in numbers. [`stitch`]: chunks to film. [`import`]: uploaded videos to chunks.

mod camera;
mod harness;
mod import;
mod plan;
mod render;
mod stitch;
