//! The refine service against the real media tool: what it makes is measured, not believed.

mod composing;
mod importing;
mod mixing;
mod studio;
mod thumbnails;
