//! A checkpoint as a person reads it: what was made, where it is, what it cost and what going on costs. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use messages::artifact::ArtifactKey;
use messages::id::BranchName;
use messages::money::Usd;
use messages::query::{CheckpointView, CostSummary};
use messages::spec::Spec;

use crate::columns::{clean, cut, pad, width};
use crate::downloads::shown;
use crate::screen::Paint;
use crate::spec_table::{self, NAME, labelled};

/// The lines of a checkpoint. `files` says where its artifacts were put; `url` is the gateway that links start with.
pub fn lines(
    view: &CheckpointView,
    cost: &CostSummary,
    files: &BTreeMap<ArtifactKey, PathBuf>,
    url: &str,
    columns: usize,
    paint: Paint,
) -> Vec<String> {
    let mut lines = vec![paint.bold(&heading(view, columns))];
    if let Some(spec) = spec(view).filter(|_| view.phase_number == messages::phase::Phase::Planning) {
        lines.extend(spec_table::lines(&spec, columns, paint));
    }
    lines.extend(artifacts(view, files, url, paint));
    for warning in &view.warnings {
        lines.extend(labelled("note", warning, columns, paint).iter().map(|line| paint.warn(line)));
    }
    if !view.in_flight.is_empty() {
        lines.extend(labelled("in work", &list(&view.in_flight), columns, paint));
    }
    if let Some(stale) = stale(view) {
        lines.extend(labelled("stale", &stale, columns, paint).iter().map(|line| paint.warn(line)));
    }
    lines.extend(labelled("cost", &money(view, cost), columns, paint));
    if let Some(again) = again(view) {
        lines.extend(labelled("again", &again, columns, paint));
    }
    lines
}

/// The spec that a checkpoint holds.
pub fn spec(view: &CheckpointView) -> Option<Spec> {
    let spec = view.artifacts.get("spec")?.metadata.get("spec")?;
    serde_json::from_value(spec.clone()).ok()
}

/// What no longer fits what it was made from, and the price of making it fit.
pub fn stale(view: &CheckpointView) -> Option<String> {
    if view.stale.is_empty() {
        return None;
    }
    let prices = view.stale.iter().filter_map(|key| view.remake_usd.get(&key.to_string()).copied());
    let price: Usd = prices.sum();
    Some(format!("{} no longer fit what they were made from; making them again costs {price}", list(&view.stale)))
}

/// What making one of its artifacts again costs; nothing where it is all free.
fn again(view: &CheckpointView) -> Option<String> {
    let mut keys: BTreeMap<Usd, Vec<ArtifactKey>> = BTreeMap::new();
    for artifact in view.artifacts.values().filter(|artifact| is_shown(artifact.artifact_key, view)) {
        let key = artifact.artifact_key;
        if let Some(price) = view.remake_usd.get(&key.to_string()).filter(|price| **price > Usd::ZERO) {
            keys.entry(*price).or_default().push(key);
        }
    }
    let each = |(price, mut keys): (Usd, Vec<ArtifactKey>)| {
        keys.sort_unstable();
        match keys.as_slice() {
            [first, .., last] => format!("{first} … {last} {price} each"),
            keys => format!("{} {price}", list(keys)),
        }
    };
    let prices: Vec<_> = keys.into_iter().map(each).collect();
    (!prices.is_empty()).then(|| format!("making one again costs: {}", prices.join(", ")))
}

fn list(keys: &[ArtifactKey]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// `── storyboard, checkpoint 2 of 4 ──────`
fn heading(view: &CheckpointView, columns: usize) -> String {
    let mut title = format!("── {}, checkpoint {} of 4", view.phase_number.name(), view.phase_number.number());
    if view.branch_name != BranchName::main() {
        title += &format!(", branch {}", view.branch_name);
    }
    if view.version > 1 {
        title += &format!(", version {}", view.version);
    }
    if view.status != "pending" {
        title += &format!(", {}", view.status);
    }
    if view.edited {
        title += ", edited";
    }
    title.push(' ');
    let rest = columns.min(78).saturating_sub(width(&title));
    cut(&format!("{title}{}", "─".repeat(rest)), columns)
}

/// Where each artifact of this phase is: files in one folder, and links. Paths and links are never broken: a terminal
/// wraps them, and a click or a copy still takes them whole.
fn artifacts(view: &CheckpointView, files: &BTreeMap<ArtifactKey, PathBuf>, url: &str, paint: Paint) -> Vec<String> {
    let mut own: Vec<_> = view.artifacts.values().filter(|artifact| is_shown(artifact.artifact_key, view)).collect();
    own.sort_by_key(|artifact| artifact.artifact_key);
    let label = |text: &str| paint.dim(&pad(text, NAME));
    let mut lines = Vec::new();
    if let Some(folder) = files.values().next().and_then(|file| file.parent()) {
        lines.push(format!("{}{}", label("files in"), clean(&shown(folder))));
    }
    for artifact in own {
        let key = artifact.artifact_key.to_string();
        let file = files.get(&artifact.artifact_key).and_then(|file| file.file_name());
        let file = file.map(|name| clean(&name.to_string_lossy()));
        let versions = view.versions.get(&key).into_iter().flatten().map(|one| one.version);
        let others: Vec<_> = versions.filter(|version| *version != artifact.version).map(|n| n.to_string()).collect();
        let mut told = file.unwrap_or_else(|| format!("version {}", artifact.version));
        if !others.is_empty() {
            told += &format!("; other versions: {}", others.join(", "));
        }
        lines.push(format!("{}{}", label(&key), told));
        lines.push(paint.dim(&format!("   {url}{}", clean(&artifact.s3_url))));
    }
    lines
}

/// A checkpoint shows what its phase made; what it inherited was shown before, and last frames are there for the next
/// chunk only.
pub fn is_shown(key: ArtifactKey, view: &CheckpointView) -> bool {
    key.phase() == view.phase_number && !matches!(key, ArtifactKey::ChunkLastFrame(_))
}

fn money(view: &CheckpointView, cost: &CostSummary) -> String {
    let mut text = format!("{} so far", cost.spent_usd);
    match view.phase_number.next() {
        Some(next) => text += &format!("; {} will cost {}", next.name(), view.estimate_next_usd),
        None => text += "; approving finishes the film",
    }
    if let Some(budget) = cost.budget_usd {
        text += &format!("; budget {budget}");
    }
    text
}

#[cfg(test)]
pub(crate) mod example {
    use messages::artifact::Digest;
    use messages::id::{ArtifactId, CheckpointId, VideoId};
    use messages::phase::Phase;
    use messages::query::{ArtifactView, artifact_link};

    use super::*;

    fn artifact(video: VideoId, checkpoint: CheckpointId, key: ArtifactKey) -> (String, ArtifactView) {
        let id = ArtifactId::derived(video, checkpoint, key, 1);
        let spec = serde_json::to_value(spec_table::example::watch("時計 ⌚️", "scene")).expect("a spec");
        let metadata = match key {
            ArtifactKey::Spec => [("spec".to_owned(), spec)].into_iter().collect(),
            _ => serde_json::Map::new(),
        };
        let view = ArtifactView {
            id,
            artifact_type: key.artifact_type().to_owned(),
            artifact_key: key,
            s3_url: artifact_link(id),
            version: 1,
            metadata,
            created_at: chrono::DateTime::UNIX_EPOCH,
        };
        (key.to_string(), view)
    }

    /// A checkpoint of main that waits, with these artifacts.
    pub fn checkpoint(phase: Phase, keys: &[ArtifactKey]) -> CheckpointView {
        let video_id: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid");
        let checkpoint_id = CheckpointId::derived(video_id, &BranchName::main(), phase, 1);
        CheckpointView {
            checkpoint_id,
            video_id,
            branch_name: BranchName::main(),
            phase_number: phase,
            version: 1,
            parent_checkpoint_id: None,
            status: "pending".into(),
            created_at: chrono::DateTime::UNIX_EPOCH,
            approved_at: None,
            superseded_by: None,
            digest: Digest::of(b""),
            edited: false,
            pinned: false,
            collected: false,
            can_continue: true,
            warnings: vec!["the last beat is not of the closing group".into()],
            estimate_next_usd: Usd::from_micros(760_000),
            remake_usd: Default::default(),
            artifacts: keys.iter().map(|key| artifact(video_id, checkpoint_id, *key)).collect(),
            versions: BTreeMap::new(),
            stale: Vec::new(),
            in_flight: Vec::new(),
            allowed: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use messages::phase::Phase;

    use super::example::checkpoint;
    use super::*;

    fn cost() -> CostSummary {
        CostSummary { spent_usd: Usd::from_micros(190_000), estimate_next_usd: None, budget_usd: None }
    }

    #[test]
    fn a_storyboard_shows_its_pictures_in_beat_order_and_the_money() {
        let beats = [2, 10, 0].map(ArtifactKey::Beat);
        let view = checkpoint(Phase::Storyboard, &[&beats[..], &[ArtifactKey::Spec]].concat());
        let files = BTreeMap::from([(beats[2], "films/2-storyboard/beat_00_v1.png".into())]);
        let text = lines(&view, &cost(), &files, "http://127.0.0.1:8787", 80, Paint::plain()).join("\n");
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in\n{text}"));
        assert!(place("beat_0 ") < place("beat_2 ") && place("beat_2 ") < place("beat_10 "), "{text}");
        assert!(place("films/2-storyboard\n") < place("beat_00_v1.png"), "{text}");
        assert!(place("beat_00_v1.png") < place("http://127.0.0.1:8787/api/artifacts/art-"));
        assert!(text.contains("$0.19 so far; chunks will cost $0.76"), "{text}");
        assert!(text.contains("the last beat is not of the closing group"), "{text}");
        assert!(!text.contains("hero_shot"), "the spec was shown a checkpoint earlier\n{text}");
    }

    #[test]
    fn planning_shows_the_spec() {
        let view = checkpoint(Phase::Planning, &[ArtifactKey::Spec]);
        let text = lines(&view, &cost(), &BTreeMap::new(), "http://h", 80, Paint::plain()).join("\n");
        assert!(text.contains("planning, checkpoint 1 of 4") && text.contains("hero_shot"), "{text}");
    }

    #[test]
    fn the_last_checkpoint_names_no_next_phase() {
        let view = checkpoint(Phase::Refine, &[ArtifactKey::Final]);
        let text = lines(&view, &cost(), &BTreeMap::new(), "http://h", 80, Paint::plain()).join("\n");
        assert!(text.contains("approving finishes the film"), "{text}");
    }
    #[test]
    fn what_is_stale_and_what_making_it_again_costs_is_said() {
        let chunks = [ArtifactKey::Chunk(0), ArtifactKey::Chunk(1), ArtifactKey::Chunk(2)];
        let mut view = checkpoint(Phase::Chunks, &chunks);
        view.remake_usd = chunks.iter().map(|key| (key.to_string(), Usd::from_micros(250_000))).collect();
        view.stale = chunks[1..].to_vec();
        view.in_flight = vec![ArtifactKey::Stitched];
        let text = lines(&view, &cost(), &BTreeMap::new(), "http://h", 120, Paint::plain()).join("\n");
        assert!(text.contains("chunk_1, chunk_2 no longer fit"), "{text}");
        assert!(text.contains("making them again costs $0.50"), "{text}");
        assert!(text.contains("in work    stitched"), "{text}");
        assert!(text.contains("making one again costs: chunk_0 … chunk_2 $0.25 each"), "{text}");
    }

    #[test]
    fn other_versions_are_named_where_there_are_some() {
        let key = ArtifactKey::Beat(0);
        let mut view = checkpoint(Phase::Storyboard, &[key]);
        let mut second = view.artifacts["beat_0"].clone();
        view.versions = BTreeMap::from([("beat_0".to_owned(), vec![second.clone()])]);
        second.version = 2;
        view.versions.get_mut("beat_0").expect("there").push(second);
        let text = lines(&view, &cost(), &BTreeMap::new(), "http://h", 80, Paint::plain()).join("\n");
        assert!(text.contains("beat_0     version 1; other versions: 2"), "{text}");
    }
}
