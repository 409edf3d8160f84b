//! How a job fails, named by what happens next.

use std::time::Duration;

use messages::job::{Failed, FailureKind};

/// Why a handler did not make its artifact.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Something passing: the coordinator sends the next attempt after a while.
    #[error("{reason}")]
    RetryLater {
        /// Why, in words for a person.
        reason: String,
        /// When the provider said that it makes sense again.
        after: Option<Duration>,
    },
    /// The same attempt would fail again: a person has to act on the reason.
    #[error("{reason}")]
    GiveUp {
        /// Why, and what to do about it.
        reason: String,
    },
    /// Nobody wants the job any more.
    #[error("cancelled")]
    Cancelled,
}

impl JobError {
    /// A passing failure.
    pub fn retry_later(reason: impl Into<String>) -> Self {
        Self::RetryLater { reason: reason.into(), after: None }
    }

    /// A final failure.
    pub fn give_up(reason: impl Into<String>) -> Self {
        Self::GiveUp { reason: reason.into() }
    }

    /// As it is reported to the coordinator.
    pub fn to_failed(&self) -> Failed {
        let (kind, after) = match self {
            Self::RetryLater { after, .. } => (FailureKind::RetryLater, *after),
            Self::GiveUp { .. } => (FailureKind::GiveUp, None),
            Self::Cancelled => (FailureKind::Cancelled, None),
        };
        Failed {
            kind,
            reason: self.to_string(),
            retry_after_s: after.map(|after| u32::try_from(after.as_secs()).unwrap_or(u32::MAX)),
        }
    }
}

impl From<crate::artifacts::ObjectError> for JobError {
    /// A store that is away or full passes; an object that is gone or damaged does not.
    fn from(error: crate::artifacts::ObjectError) -> Self {
        use crate::artifacts::ObjectError;

        let reason = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        match error {
            ObjectError::Unavailable { .. } | ObjectError::Scratch(_) => Self::retry_later(reason),
            ObjectError::NotFound(_) | ObjectError::Refused { .. } | ObjectError::Damaged(_) => Self::give_up(reason),
        }
    }
}
