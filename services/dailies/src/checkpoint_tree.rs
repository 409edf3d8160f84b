//! The tree of checkpoints as `git log --graph` shows commits: the newest first, every one above what it came from. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use messages::id::CheckpointId;
use messages::query::{BranchState, BranchView, CheckpointView};

use crate::columns::{cut, pad, width};
use crate::screen::Paint;

/// The lines of a tree, with what is special about a checkpoint cut so that no terminal wraps. `forks` says of the first
/// checkpoint of a branch which one it was opened from.
pub fn lines(
    checkpoints: &[CheckpointView],
    branches: &[BranchView],
    forks: &BTreeMap<CheckpointId, CheckpointId>,
    columns: usize,
    paint: Paint,
) -> Vec<String> {
    let short = ShortIds::of(checkpoints);
    let rows = graph(&in_order(checkpoints));
    let graph_width = rows.iter().map(|row| width(row.graph())).max().unwrap_or(0);
    let name_width = checkpoints.iter().map(|view| width(&name(view))).max().unwrap_or(0);
    let status_width = checkpoints.iter().map(|view| width(&view.status)).max().unwrap_or(0);
    let line = |row: &Row<'_>| match row {
        Row::Joint(graph) => paint.dim(graph.trim_end()),
        Row::Checkpoint(graph, view) => {
            let id = short.of_one(view.checkpoint_id);
            let phase = pad(view.phase_number.name(), "storyboard".len());
            let start = format!("{}  {id}  {phase}  {}  ", pad(graph, graph_width), pad(&name(view), name_width));
            let status = pad(&view.status, status_width);
            let time = moment(view.created_at);
            let room = columns.saturating_sub(width(&start) + width(&status) + width(&time) + 4);
            let status = match view.status.as_str() {
                "pending" => paint.warn(&status),
                "approved" => paint.good(&status),
                _ => paint.dim(&status),
            };
            match marks(view, branches, forks, &short) {
                marks if marks.is_empty() => format!("{start}{status}  {time}"),
                marks => {
                    let marks = cut(&format!("({})", marks.join(", ")), room);
                    format!("{start}{status}  {time}  {}", paint.bold(&marks))
                }
            }
        }
    };
    rows.iter().map(line).collect()
}

/// A time as the person's clock shows it.
pub fn moment(time: DateTime<Utc>) -> String {
    time.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The shortest beginnings of ids that tell a video's checkpoints apart, eight digits at least.
#[derive(Debug)]
pub struct ShortIds {
    length: usize,
}

impl ShortIds {
    /// For these checkpoints.
    pub fn of(checkpoints: &[CheckpointView]) -> Self {
        let mut ids: Vec<_> = checkpoints.iter().map(|view| view.checkpoint_id.to_string()).collect();
        ids.sort_unstable();
        let shared = |pair: &[String]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
        let longest = ids.windows(2).map(shared).max().unwrap_or(0);
        Self { length: (CheckpointId::PREFIX.len() + 8).max(longest + 1) }
    }

    /// The beginning of an id.
    pub fn of_one(&self, id: CheckpointId) -> String {
        id.to_string().chars().take(self.length).collect()
    }
}

fn name(view: &CheckpointView) -> String {
    if view.version > 1 { format!("{} v{}", view.branch_name, view.version) } else { view.branch_name.to_string() }
}

/// What is special about a checkpoint.
fn marks(
    view: &CheckpointView,
    branches: &[BranchView],
    forks: &BTreeMap<CheckpointId, CheckpointId>,
    short: &ShortIds,
) -> Vec<String> {
    let head = branches.iter().find(|branch| branch.latest_checkpoint_id == Some(view.checkpoint_id));
    let mut marks: Vec<_> = head.map(|branch| head_mark(view, branch)).into_iter().collect();
    if let Some(from) = forks.get(&view.checkpoint_id) {
        marks.push(format!("forked from {}", short.of_one(*from)));
    }
    if let Some(next) = view.superseded_by {
        marks.push(format!("made again as {}", short.of_one(next)));
    }
    if view.edited {
        marks.push("edited".to_owned());
    }
    if !view.in_flight.is_empty() {
        marks.push(format!("{} in work", list(&view.in_flight)));
    }
    if !view.stale.is_empty() {
        marks.push(format!("{} stale", list(&view.stale)));
    }
    if view.pinned {
        marks.push("pinned".to_owned());
    }
    marks
}

/// What the branch that ends here is doing.
fn head_mark(view: &CheckpointView, branch: &BranchView) -> String {
    let phase = branch.phase_number.name();
    // At a newest checkpoint that was approved, the branch is already in the next phase.
    match branch.state {
        BranchState::Running if branch.phase_number == view.phase_number && branch.running_jobs.is_empty() => {
            "head".to_owned()
        }
        BranchState::Running => format!("head: {phase} runs, {:.0} %", branch.progress),
        BranchState::Paused => "head".to_owned(),
        BranchState::BlockedBudget => "head: waits for a larger budget".to_owned(),
        BranchState::BlockedUnknown => format!("head: {phase} waits, a paid job has to be resolved"),
        BranchState::Failed => format!("head: {phase} failed"),
        BranchState::Cancelled => format!("head: {phase} cancelled"),
        BranchState::Complete => "head: complete".to_owned(),
    }
}

fn list(keys: &[messages::artifact::ArtifactKey]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// A line of the graph.
enum Row<'a> {
    Checkpoint(String, &'a CheckpointView),
    /// Branches come together.
    Joint(String),
}

impl Row<'_> {
    fn graph(&self) -> &str {
        let (Self::Checkpoint(graph, _) | Self::Joint(graph)) = self;
        graph
    }
}

/// Children before parents, a whole line of descent before the next, of several ends the newest first.
fn in_order(checkpoints: &[CheckpointView]) -> Vec<&CheckpointView> {
    let by_id: BTreeMap<_, _> = checkpoints.iter().map(|view| (view.checkpoint_id, view)).collect();
    let mut children: BTreeMap<CheckpointId, usize> = BTreeMap::new();
    for parent in checkpoints.iter().filter_map(|view| view.parent_checkpoint_id) {
        *children.entry(parent).or_default() += 1;
    }
    let mut ready: Vec<_> = checkpoints.iter().filter(|view| !children.contains_key(&view.checkpoint_id)).collect();
    ready.sort_by_key(|view| (view.created_at, view.phase_number, view.version));
    let mut ordered = Vec::new();
    while let Some(view) = ready.pop() {
        ordered.push(view);
        let Some(parent) = view.parent_checkpoint_id else { continue };
        if let Some(left) = children.get_mut(&parent) {
            *left -= 1;
            // The last child is shown, so its parent comes next.
            if *left == 0 {
                ready.extend(by_id.get(&parent));
            }
        }
    }
    ordered
}

/// Draws the lanes: each is one line of descent, and waits for the parent that it leads to.
fn graph<'a>(ordered: &[&'a CheckpointView]) -> Vec<Row<'a>> {
    let mut lanes: Vec<Option<CheckpointId>> = Vec::new();
    let mut rows = Vec::new();
    for view in ordered {
        let id = Some(view.checkpoint_id);
        let lane = match lanes.iter().position(|waits| *waits == id) {
            Some(lane) => lane,
            None => {
                let free = lanes.iter().position(Option::is_none).unwrap_or(lanes.len());
                lanes.resize(lanes.len().max(free + 1), None);
                lanes[free] = id;
                free
            }
        };
        let last = lanes.iter().rposition(|waits| *waits == id).unwrap_or(lane);
        if last > lane {
            rows.push(Row::Joint(joint(&lanes, lane, last)));
            for other in lanes.iter_mut().skip(lane + 1).filter(|waits| **waits == id) {
                *other = None;
            }
        }
        let cell = |(i, waits): (usize, &Option<CheckpointId>)| match (i == lane, waits) {
            (true, _) => "* ",
            (false, Some(_)) => "│ ",
            (false, None) => "  ",
        };
        let line: String = lanes.iter().enumerate().map(cell).collect();
        rows.push(Row::Checkpoint(line.trim_end().to_owned(), view));
        lanes[lane] = view.parent_checkpoint_id;
        while lanes.last() == Some(&None) {
            lanes.pop();
        }
    }
    rows
}

/// `├─┴─╯`: lanes that wait for the same parent, from the first to the last of them, run together into the first.
fn joint(lanes: &[Option<CheckpointId>], first: usize, last: usize) -> String {
    let cell = |(i, waits): (usize, &Option<CheckpointId>)| {
        let ends_here = *waits == lanes[first];
        match i {
            i if i == first => "├─",
            i if i == last => "╯ ",
            i if i > first && i < last && ends_here => "┴─",
            i if i > first && i < last => {
                if waits.is_some() {
                    "┼─"
                } else {
                    "──"
                }
            }
            _ => {
                if waits.is_some() {
                    "│ "
                } else {
                    "  "
                }
            }
        }
    };
    lanes.iter().enumerate().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use messages::id::BranchName;
    use messages::phase::Phase;

    use super::*;
    use crate::checkpoint_page::example::checkpoint;

    /// A checkpoint that was made after `seconds`.
    fn made(seconds: i64, branch: &str, phase: Phase, version: u32, parent: Option<&CheckpointView>) -> CheckpointView {
        let mut view = checkpoint(phase, &[]);
        view.branch_name = branch.parse::<BranchName>().expect("valid");
        view.version = version;
        view.checkpoint_id = CheckpointId::derived(view.video_id, &view.branch_name, phase, version);
        view.parent_checkpoint_id = parent.map(|parent| parent.checkpoint_id);
        view.created_at = DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("valid");
        view.status = "approved".to_owned();
        view
    }

    /// The drawing with branch and phase beside it.
    fn drawn(checkpoints: &[CheckpointView]) -> Vec<String> {
        let row = |row: &Row<'_>| match row {
            Row::Joint(graph) => graph.trim_end().to_owned(),
            Row::Checkpoint(graph, view) => format!("{graph} {} {}", name(view), view.phase_number.number()),
        };
        graph(&in_order(checkpoints)).iter().map(row).collect()
    }

    #[test]
    fn one_branch_is_one_line_with_the_newest_on_top() {
        let planning = made(0, "main", Phase::Planning, 1, None);
        let storyboard = made(1, "main", Phase::Storyboard, 1, Some(&planning));
        assert_eq!(drawn(&[planning, storyboard]), ["* main 2", "* main 1"]);
        assert_eq!(drawn(&[]), [""; 0]);
    }

    #[test]
    fn branches_run_side_by_side_and_come_together_above_their_parent() {
        let planning = made(0, "main", Phase::Planning, 1, None);
        let storyboard = made(1, "main", Phase::Storyboard, 1, Some(&planning));
        let night = made(5, "night", Phase::Storyboard, 1, Some(&planning));
        let main_chunks = made(3, "main", Phase::Chunks, 1, Some(&storyboard));
        let night_chunks = made(6, "night", Phase::Chunks, 1, Some(&night));
        let day = made(7, "day", Phase::Chunks, 1, Some(&night));
        let again = made(4, "main", Phase::Storyboard, 2, Some(&planning));
        assert_eq!(
            drawn(&[planning, storyboard, night, main_chunks, night_chunks, day, again]),
            [
                "* day 3",
                "│ * night 3",
                "├─╯",
                "* night 2",
                "│ * main v2 2",
                "│ │ * main 3",
                "│ │ * main 2",
                "├─┴─╯",
                "* main 1",
            ]
        );
    }

    #[test]
    fn a_lane_that_goes_on_is_crossed() {
        let first = made(0, "main", Phase::Planning, 1, None);
        let other = made(1, "other", Phase::Planning, 1, None);
        let a = made(2, "main", Phase::Storyboard, 1, Some(&first));
        let b = made(5, "other", Phase::Storyboard, 1, Some(&other));
        let lanes = [Some(a.checkpoint_id), Some(b.checkpoint_id), Some(a.checkpoint_id), None];
        assert_eq!(joint(&lanes, 0, 2), "├─┼─╯   ");
        assert_eq!(drawn(&[first, other, a, b]), ["* other 2", "* other 1", "* main 2", "* main 1"]);
    }

    #[test]
    fn a_line_says_what_is_special() {
        let planning = made(0, "main", Phase::Planning, 1, None);
        let mut fork = made(1, "main-1", Phase::Planning, 1, None);
        (fork.status, fork.edited, fork.pinned) = ("pending".into(), true, true);
        fork.stale = vec![messages::artifact::ArtifactKey::Beat(1)];
        let forks = BTreeMap::from([(fork.checkpoint_id, planning.checkpoint_id)]);
        let from = planning.checkpoint_id.to_string()[..11].to_owned();
        let lines = lines(&[planning, fork], &[], &forks, 200, Paint::plain());
        assert!(lines[0].contains("planning    main-1  pending"), "{lines:?}");
        assert!(lines[0].ends_with(&format!("(forked from {from}, edited, beat_1 stale, pinned)")), "{lines:?}");
        assert!(lines[1].contains("main    approved") && !lines[1].contains('('), "{lines:?}");
    }

    #[test]
    fn short_ids_are_long_enough_to_tell_checkpoints_apart() {
        let one = made(0, "main", Phase::Planning, 1, None);
        let two = made(0, "main", Phase::Planning, 2, None);
        let short = ShortIds::of(&[one.clone(), two.clone()]);
        assert_ne!(short.of_one(one.checkpoint_id), short.of_one(two.checkpoint_id));
        assert_eq!(short.of_one(one.checkpoint_id).len(), 11);
    }
}
