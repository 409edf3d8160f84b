//! The four phases, in order.

use serde::{Deserialize, Serialize};

use crate::service::Service;

/// One of the four steps from a prompt to a film. Public bodies number them 1 to 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Phase {
    /// A prompt becomes a spec.
    Planning,
    /// Each beat of the spec becomes a picture.
    Storyboard,
    /// Each picture becomes moving chunks, stitched to a silent film.
    Chunks,
    /// The film gets its music, mix and thumbnail.
    Refine,
}

impl Phase {
    /// All four, in order.
    pub const ALL: [Self; 4] = [Self::Planning, Self::Storyboard, Self::Chunks, Self::Refine];

    /// 1 to 4.
    pub const fn number(self) -> u8 {
        match self {
            Self::Planning => 1,
            Self::Storyboard => 2,
            Self::Chunks => 3,
            Self::Refine => 4,
        }
    }

    /// As a person says it, and as settings and limits spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Storyboard => "storyboard",
            Self::Chunks => "chunks",
            Self::Refine => "refine",
        }
    }

    /// What follows; none after refine.
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Planning => Some(Self::Storyboard),
            Self::Storyboard => Some(Self::Chunks),
            Self::Chunks => Some(Self::Refine),
            Self::Refine => None,
        }
    }

    /// What came before; none before planning.
    pub const fn previous(self) -> Option<Self> {
        match self {
            Self::Planning => None,
            Self::Storyboard => Some(Self::Planning),
            Self::Chunks => Some(Self::Storyboard),
            Self::Refine => Some(Self::Chunks),
        }
    }

    /// The phase of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// The service that makes this phase's artifacts.
    pub const fn service(self) -> Service {
        match self {
            Self::Planning => Service::Planner,
            Self::Storyboard => Service::Storyboard,
            Self::Chunks => Service::Chunk,
            Self::Refine => Service::Refine,
        }
    }
}

impl From<Phase> for u8 {
    fn from(phase: Phase) -> Self {
        phase.number()
    }
}

impl TryFrom<u8> for Phase {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|phase| phase.number() == number)
            .ok_or_else(|| format!("there is no phase {number}; phases are 1 to 4"))
    }
}
