//! What a person may do at a checkpoint.

use serde::{Deserialize, Serialize};

use crate::artifact::{ArtifactKey, Digest};
use crate::id::CheckpointId;

/// Anyone to the coordinator, `approve`: go on from this checkpoint. Approving an approved one gives the first answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// `same` to stay on this branch also after a change, a name to open a branch of that name, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The selection that was looked at; if it moved since, the approval is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Kept with the approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Go on although something is stale.
    #[serde(default)]
    pub accept_stale: bool,
}

/// Anyone to the coordinator, `fork`: a pending sibling with the same selection on a new branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// The new branch's name; none means an automatic one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// Anyone to the coordinator, `edit`: change the spec of this checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// A JSON Merge Patch (RFC 7396) of the spec.
    pub patch: serde_json::Map<String, serde_json::Value>,
}

/// Anyone to the coordinator, `regenerate`: make one artifact again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regenerate {
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// Which artifact.
    pub artifact_key: ArtifactKey,
    /// Instead of the beat's own prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Instead of the video's model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Instead of the derived seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// For the spec: another archetype.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// For the spec: 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creativity: Option<f64>,
    /// For the spec: what should be different.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// Anyone to the coordinator, `select`: put another version of an artifact into the selection (undo).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// Which artifact.
    pub artifact_key: ArtifactKey,
    /// Which version of it.
    pub version: u32,
}

/// Anyone to the coordinator, `take`: use another checkpoint's artifact here, by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Take {
    /// The checkpoint that takes.
    pub checkpoint_id: CheckpointId,
    /// The checkpoint that gives.
    pub from_checkpoint: CheckpointId,
    /// Which artifact.
    pub artifact_key: ArtifactKey,
}

/// Anyone to the coordinator, `reject`: make the phase again with these notes, as the next version on the branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reject {
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// What should be different.
    pub notes: String,
}

/// Anyone to the coordinator, `abandon`: this checkpoint leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abandon {
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
}

/// Anyone to the coordinator, `pin`: keep this checkpoint whatever retention says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// False lets it go again.
    #[serde(default = "yes")]
    pub pinned: bool,
}

fn yes() -> bool {
    true
}

/// Anyone to the coordinator, `resolve`: what to do about a paid job whose fate is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// The job.
    pub job: crate::id::JobId,
    /// What to do.
    pub decision: Decision,
}

/// What a person decides about a paid job whose fate is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Look for the result at the provider.
    Collect,
    /// Submit again, at the price of paying twice.
    PayAgain,
    /// Let it be failed.
    GiveUp,
}
