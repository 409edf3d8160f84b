//! The four worker services that take jobs.

use std::fmt;
use std::str::FromStr;

use crate::id::{InvalidId, as_string};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A service that takes jobs of its own subject from the work queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Makes specs.
    Planner,
    /// Makes beat pictures.
    Storyboard,
    /// Makes chunks and stitches them.
    Chunk,
    /// Makes music, mix and thumbnail.
    Refine,
}

impl Service {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Planner, Self::Storyboard, Self::Chunk, Self::Refine];

    /// The token in subjects and the name of the durable consumer.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planner => "planner",
            Self::Storyboard => "storyboard",
            Self::Chunk => "chunk",
            Self::Refine => "refine",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .into_iter()
            .find(|service| service.name() == text)
            .ok_or_else(|| InvalidId::new(text, "a service (planner, storyboard, chunk or refine)"))
    }
}

as_string!(Service);
