//! What is wrong with an input, field by field.

use serde::{Deserialize, Serialize};

/// One broken rule: which field, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The field's path: `beats[2].duration`.
    pub field: String,
    /// What must be so, in words.
    pub reason: String,
}

impl Violation {
    /// A broken rule.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}
