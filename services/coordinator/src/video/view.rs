//! What queries show: pure functions of a video's state, one builder for every door (W45).

use std::collections::BTreeMap;
use std::sync::Arc;

use messages::artifact::{Artifact, ArtifactKey, Content};
use messages::checkpoint::{Approve, Fork};
use messages::command::{Code, Rejection};
use messages::id::{ArtifactId, BranchName, CheckpointId};
use messages::money::Usd;
use messages::query::{
    self, Allowed, ArtifactView, BranchView, CheckpointView, Cost, CostSummary, JobView, Status, TreeCheckpoint,
    TreeNode, VideoStatus, VideoView, artifact_link,
};
use serde_json::{Map, Value};

use super::{Branch, BranchState, Checkpoint, CheckpointState, Video, json};

impl Video {
    /// Everything that a page shows of the video.
    pub fn status_view(&self) -> Status {
        let branch = self.branches.get(&self.current_branch);
        let head = branch.map(|branch| branch.head);
        let links = |wanted: fn(&ArtifactKey) -> bool| -> Vec<String> {
            let selection = head.and_then(|head| self.checkpoints.get(&head)).map(|head| &head.selection);
            let keys = selection.into_iter().flatten().filter(|(key, id)| wanted(key) && !self.collected.contains(id));
            keys.map(|(_, id)| artifact_link(*id)).collect()
        };
        let chunks = links(|key| matches!(key, ArtifactKey::Chunk(_)));
        let plan = head.and_then(|head| self.checkpoints.get(&head)).map(|head| head.chunk_plan.len() as u32);
        let total_chunks = plan.filter(|total| *total > 0);
        let current = self.current_checkpoint(None);
        let phase = head.and_then(|head| self.checkpoints.get(&head)).map(|head| head.phase);
        Status {
            video_id: self.id,
            status: self.status(),
            progress: branch.map_or(0.0, |branch| rounded(branch.progress)),
            current_phase: phase.map(|phase| phase.name().to_owned()).unwrap_or_default(),
            error: branch.and_then(|branch| self.error(branch)),
            storyboard_urls: links(|key| matches!(key, ArtifactKey::Beat(_))),
            current_chunk_index: total_chunks.map(|_| chunks.len() as u32),
            chunk_urls: chunks,
            stitched_video_url: links(|key| *key == ArtifactKey::Stitched).pop(),
            final_video_url: links(|key| *key == ArtifactKey::Final).pop(),
            total_chunks,
            cost: self.cost_summary(current),
            current_checkpoint: current.and_then(|id| self.checkpoint_view(id, false)),
            checkpoint_tree: self.tree_view(),
            active_branches: self
                .branches
                .iter()
                .filter(|(_, b)| !self.is_over(b))
                .map(|(name, _)| name.clone())
                .collect(),
            branches: self.branch_views(),
            revision: self.seq,
        }
    }

    /// The video's own status: that of the branch that moved last (W25).
    pub fn status(&self) -> VideoStatus {
        self.branches.get(&self.current_branch).map_or(VideoStatus::Queued, |branch| self.branch_status(branch))
    }

    /// Percent of the branch that moved last.
    pub fn progress(&self) -> f64 {
        self.branches.get(&self.current_branch).map_or(0.0, |branch| rounded(branch.progress))
    }

    /// Whether nothing of the video runs or waits for anybody.
    pub fn is_finished(&self) -> bool {
        self.deleted.is_some() || self.branches.values().all(|branch| self.is_over(branch))
    }

    /// Whether nothing of the branch runs or waits for anybody: for an abandoned checkpoint nobody can do anything.
    fn is_over(&self, branch: &Branch) -> bool {
        let abandoned = || {
            let head = self.checkpoints.get(&branch.head);
            head.is_some_and(|head| matches!(head.state, CheckpointState::Abandoned { .. }))
        };
        match branch.state {
            BranchState::Running => false,
            BranchState::Paused | BranchState::BlockedBudget => abandoned(),
            BranchState::Failed { .. } | BranchState::Cancelled | BranchState::Complete => true,
        }
    }

    fn branch_status(&self, branch: &Branch) -> VideoStatus {
        let Some(head) = self.checkpoints.get(&branch.head) else { return VideoStatus::Queued };
        match branch.state {
            BranchState::Running => VideoStatus::running(head.phase),
            BranchState::Paused | BranchState::BlockedBudget => VideoStatus::paused(head.phase),
            BranchState::Failed { .. } => VideoStatus::Failed,
            BranchState::Cancelled => VideoStatus::Cancelled,
            BranchState::Complete => VideoStatus::Complete,
        }
    }

    /// The newest pending checkpoint, of one branch or of all; of two as new, that of the branch that moved last.
    pub fn current_checkpoint(&self, branch: Option<&BranchName>) -> Option<CheckpointId> {
        let pending = |(_, checkpoint): &(&CheckpointId, &Arc<Checkpoint>)| {
            checkpoint.state == CheckpointState::Pending && branch.is_none_or(|branch| checkpoint.branch == *branch)
        };
        let newest = |(_, checkpoint): &(&CheckpointId, &Arc<Checkpoint>)| {
            (checkpoint.created_at, checkpoint.branch == self.current_branch, checkpoint.phase)
        };
        self.checkpoints.iter().filter(pending).max_by_key(newest).map(|(id, _)| *id)
    }

    /// A checkpoint with its artifacts; none while it is in the making.
    pub fn checkpoint_view(&self, id: CheckpointId, with_versions: bool) -> Option<CheckpointView> {
        let checkpoint = self.checkpoints.get(&id)?;
        let status = status_of(checkpoint)?;
        let there = |id: &&ArtifactId| !self.collected.contains(*id);
        let selected = checkpoint.selection.iter().filter(|(_, id)| there(id));
        let artifacts =
            selected.filter_map(|(key, id)| Some((key.to_string(), artifact_view(self.artifacts.get(id)?)))).collect();
        let versions = match with_versions {
            true => checkpoint
                .versions
                .iter()
                .filter(|(_, ids)| ids.iter().any(|id| there(&id)))
                .map(|(key, ids)| {
                    let versions =
                        ids.iter().filter(there).filter_map(|id| self.artifacts.get(id)).map(|a| artifact_view(a));
                    (key.to_string(), versions.collect())
                })
                .collect(),
            false => BTreeMap::new(),
        };
        Some(CheckpointView {
            checkpoint_id: id,
            video_id: self.id,
            branch_name: checkpoint.branch.clone(),
            phase_number: checkpoint.phase,
            version: checkpoint.version,
            parent_checkpoint_id: checkpoint.parent,
            status: status.to_owned(),
            created_at: checkpoint.created_at,
            approved_at: checkpoint.approval.as_ref().map(|approval| approval.at),
            superseded_by: match checkpoint.state {
                CheckpointState::Abandoned { superseded_by } => superseded_by,
                CheckpointState::Making | CheckpointState::Pending | CheckpointState::Approved => None,
            },
            digest: self.digest(&checkpoint.selection),
            edited: checkpoint.selection != checkpoint.first_selection,
            can_continue: self.can_continue(id),
            pinned: checkpoint.pinned,
            collected: checkpoint.collected,
            warnings: checkpoint.warnings.clone(),
            estimate_next_usd: self.estimate_next(id),
            remake_usd: self.remake_prices(id),
            artifacts,
            versions,
            stale: self.stale(id),
            in_flight: self.in_flight(id).map(|(job, _)| job.artifact).collect(),
            allowed: self.allowed_at(id),
        })
    }

    /// Every finished checkpoint, by creation.
    pub fn checkpoint_views(&self, branch: Option<&BranchName>) -> Vec<CheckpointView> {
        let mut ids: Vec<_> = self
            .checkpoints
            .iter()
            .filter(|(_, checkpoint)| branch.is_none_or(|branch| checkpoint.branch == *branch))
            .map(|(id, checkpoint)| (checkpoint.created_at, checkpoint.phase, *id))
            .collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(|(_, _, id)| self.checkpoint_view(id, false)).collect()
    }

    /// Every finished checkpoint under what fed it (W20, W22). A fork of a first-phase checkpoint is a root of its own.
    pub fn tree_view(&self) -> Vec<TreeNode> {
        let mut children: BTreeMap<Option<CheckpointId>, Vec<CheckpointId>> = BTreeMap::new();
        for (id, checkpoint) in &self.checkpoints {
            if status_of(checkpoint).is_some() {
                children.entry(checkpoint.parent).or_default().push(*id);
            }
        }
        self.tree_below(None, &mut children)
    }

    fn tree_below(
        &self,
        parent: Option<CheckpointId>,
        children: &mut BTreeMap<Option<CheckpointId>, Vec<CheckpointId>>,
    ) -> Vec<TreeNode> {
        let mut ids = children.remove(&parent).unwrap_or_default();
        ids.sort_unstable_by_key(|id| self.checkpoints.get(id).map(|c| (c.created_at, c.version, *id)));
        ids.into_iter()
            .filter_map(|id| {
                let checkpoint = self.checkpoints.get(&id)?;
                let node = TreeCheckpoint {
                    checkpoint_id: id,
                    branch_name: checkpoint.branch.clone(),
                    phase_number: checkpoint.phase,
                    version: checkpoint.version,
                    parent_checkpoint_id: checkpoint.parent,
                    status: status_of(checkpoint)?.to_owned(),
                    created_at: checkpoint.created_at,
                    digest: self.digest(&checkpoint.selection),
                    collected: checkpoint.collected,
                };
                Some(TreeNode { checkpoint: node, children: self.tree_below(Some(id), children) })
            })
            .collect()
    }

    /// Every branch.
    pub fn branch_views(&self) -> Vec<BranchView> {
        self.branches.iter().map(|(name, branch)| self.branch_view(name, branch)).collect()
    }

    fn branch_view(&self, name: &BranchName, branch: &Branch) -> BranchView {
        let head = self.checkpoints.get(&branch.head);
        let finished = self.checkpoints.iter().filter(|(_, c)| c.branch == *name && status_of(c).is_some());
        let latest = finished.max_by_key(|(_, c)| (c.phase, c.version)).map(|(id, _)| *id);
        let running = self.in_flight(branch.head);
        let running_jobs =
            running.map(|(id, job)| JobView { job: *id, artifact_key: id.artifact, attempt: job.attempt }).collect();
        let shared_usd = self.shared_cost(branch);
        let own: Usd = self.ledger.iter().filter(|row| row.branch == *name).map(|row| row.amount_usd).sum();
        BranchView {
            branch_name: name.clone(),
            latest_checkpoint_id: latest,
            phase_number: head.map_or(messages::phase::Phase::Planning, |head| head.phase),
            status: self.branch_status(branch),
            state: match branch.state {
                BranchState::Running if self.has_unknown(branch.head) => query::BranchState::BlockedUnknown,
                BranchState::Running => query::BranchState::Running,
                BranchState::Paused => query::BranchState::Paused,
                BranchState::BlockedBudget => query::BranchState::BlockedBudget,
                BranchState::Failed { .. } => query::BranchState::Failed,
                BranchState::Cancelled => query::BranchState::Cancelled,
                BranchState::Complete => query::BranchState::Complete,
            },
            can_continue: self.can_continue(branch.head),
            progress: rounded(branch.progress),
            running_jobs,
            error: self.error(branch),
            spent_usd: own + shared_usd,
            shared_usd,
            allowed: self.allowed_on(name),
        }
    }

    fn error(&self, branch: &Branch) -> Option<String> {
        match &branch.state {
            BranchState::Failed { reason } => Some(reason.clone()),
            BranchState::Running if self.has_unknown(branch.head) => {
                Some("the fate of a paid job is unknown; resolve it".to_owned())
            }
            BranchState::Running
            | BranchState::Paused
            | BranchState::BlockedBudget
            | BranchState::Cancelled
            | BranchState::Complete => None,
        }
    }

    /// What the artifacts that a branch was opened with cost to make.
    fn shared_cost(&self, branch: &Branch) -> Usd {
        let inherited = branch.opened_from.and_then(|from| self.checkpoints.get(&from)).map(|from| &from.selection);
        let jobs: Vec<_> = inherited.into_iter().flatten().filter_map(|(_, id)| self.artifacts.get(id)?.job).collect();
        self.ledger.iter().filter(|row| jobs.contains(&row.job)).map(|row| row.amount_usd).sum()
    }

    /// Whether `approve` would be accepted now and lead on: the same rule as the command's (W53).
    fn can_continue(&self, id: CheckpointId) -> bool {
        let pending = self.checkpoints.get(&id).is_some_and(|c| c.state == CheckpointState::Pending);
        pending && self.way_of(&plain_approval(id)).is_ok()
    }

    /// What may be done on a branch now, and why not.
    pub(super) fn allowed_on(&self, branch: &BranchName) -> Vec<Allowed> {
        vec![
            allowed("retry", self.retryable(Some(branch.as_str())).map(drop)),
            allowed("cancel", self.cancellable(Some(branch.as_str())).map(drop)),
        ]
    }

    /// What may be done at a checkpoint now, and why not.
    pub(super) fn allowed_at(&self, id: CheckpointId) -> Vec<Allowed> {
        let Some(checkpoint) = self.checkpoints.get(&id) else { return Vec::new() };
        let changeable = self.place_of_change(id).map(drop);
        vec![
            allowed("approve", self.way_of(&plain_approval(id)).map(drop)),
            allowed("fork", self.fork_name(&Fork { checkpoint_id: id, branch: None }).map(drop)),
            allowed("edit", changeable.clone()),
            allowed("regenerate", changeable.clone()),
            allowed("import", changeable.clone()),
            allowed("select", changeable.clone()),
            allowed("take", changeable),
            allowed("reject", self.waiting(checkpoint)),
            allowed("abandon", self.waiting(checkpoint)),
            allowed("pin", Ok(())),
        ]
    }

    fn cost_summary(&self, current: Option<CheckpointId>) -> CostSummary {
        CostSummary {
            spent_usd: self.spent(),
            estimate_next_usd: current.map(|current| self.estimate_next(current)),
            budget_usd: self.settings.budget_usd,
        }
    }

    /// Money in full.
    pub fn cost_view(&self) -> Cost {
        let CostSummary { spent_usd, estimate_next_usd, budget_usd } = self.cost_summary(self.current_checkpoint(None));
        Cost { spent_usd, estimate_next_usd, budget_usd, ledger: self.ledger.clone() }
    }

    /// The video itself.
    pub fn video_view(&self) -> VideoView {
        VideoView {
            video_id: self.id,
            title: self.settings.title.clone(),
            status: self.status(),
            progress: self.progress(),
            request: self.request.as_ref().clone(),
            auto_continue: self.settings.auto_continue.clone(),
            budget_usd: self.settings.budget_usd,
            spent_usd: self.spent(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            revision: self.seq,
        }
    }
}

fn plain_approval(checkpoint_id: CheckpointId) -> Approve {
    Approve { checkpoint_id, branch: None, digest: None, note: None, accept_stale: false }
}

fn allowed(command: &str, verdict: Result<(), Rejection>) -> Allowed {
    let refusal: Option<(Code, String)> = verdict.err().map(|rejection| (rejection.code, rejection.reason));
    let (code, reason) = refusal.unzip();
    Allowed { command: command.to_owned(), allowed: code.is_none(), code, reason }
}

pub(super) fn artifact_view(artifact: &Artifact) -> ArtifactView {
    let mut metadata: Map<String, Value> = artifact.metadata.clone();
    match &artifact.content {
        Content::Spec(spec) => {
            metadata.insert("spec".into(), json(spec));
        }
        Content::Object(object) => {
            metadata.insert("sha256".into(), object.sha256.to_string().into());
            metadata.insert("size_bytes".into(), object.size.into());
            metadata.insert("content_type".into(), object.media_type.content_type().into());
        }
    }
    ArtifactView {
        id: artifact.id,
        artifact_type: artifact.key.artifact_type().to_owned(),
        artifact_key: artifact.key,
        s3_url: artifact_link(artifact.id),
        version: artifact.version,
        metadata,
        created_at: artifact.created_at,
    }
}

/// None while it is in the making: it waits for nobody yet.
fn status_of(checkpoint: &Checkpoint) -> Option<&'static str> {
    match checkpoint.state {
        CheckpointState::Making => None,
        CheckpointState::Pending => Some("pending"),
        CheckpointState::Approved => Some("approved"),
        CheckpointState::Abandoned { .. } => Some("abandoned"),
    }
}

/// Percent with one decimal: what people and progress bars use.
fn rounded(percent: f64) -> f64 {
    (percent * 10.0).round() / 10.0
}
