//! Questions: what the cluster knows, as a person reads it.

use std::collections::BTreeMap;

use messages::id::{CheckpointId, VideoId};
use messages::query::{
    AskCheckpoint, AskCompare, AskHistory, BranchState, BranchView, CheckpointView, Comparison, Cost, History as Page,
    ListVideos, Status, Videos,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Asker, RequestError};
use crate::arguments::{self, At, Compare, OfVideo};
use crate::checkpoint_page;
use crate::checkpoint_tree::{self, moment};
use crate::client::ClientError;
use crate::columns::{clean, cut, pad, width};
use crate::follow::{News, follow};
use crate::happened::{Happened, Seen};
use crate::history::History;
use crate::running::Running;
use crate::screen::Paint;
use crate::spec_table::labelled;

impl Asker {
    pub(super) async fn videos(&mut self, ask: &arguments::Videos) -> Result<(), RequestError> {
        let mut page = ListVideos { limit: Some(100), status: ask.status, cursor: None };
        loop {
            let videos: Videos = self.client.user_query("videos", &page).await?;
            for video in &videos.videos {
                if ask.json {
                    self.screen.print(&serde_json::to_string(video).unwrap_or_default());
                    continue;
                }
                let title = clean(video.title.as_deref().unwrap_or(&video.prompt));
                let progress = format!("{:>3.0} %", video.progress);
                let line = format!("{}  {}  {progress}  {title}", video.video_id, pad(video.status.name(), 21));
                self.screen.print(&cut(&line, self.screen.width().max(80)));
            }
            match videos.next_cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => return Ok(()),
            }
        }
    }

    pub(super) async fn show(&mut self, at: &At) -> Result<(), RequestError> {
        let video = at.of.video;
        let checkpoint_id = self.look_at(video, at.named().as_ref()).await?;
        let body = AskCheckpoint { checkpoint_id };
        let Some(view) = self.answer::<CheckpointView>(&at.of, "checkpoint", &body).await? else { return Ok(()) };
        let status: Status = self.client.query(video, "status", &json!({})).await?;
        let (url, columns, paint) = (self.gateway.clone().unwrap_or_default(), self.screen.width(), self.screen.paint);
        let lines = checkpoint_page::lines(&view, &status.cost, &BTreeMap::new(), &url, columns, paint);
        self.screen.print(&lines.join("\n"));
        self.screen.print(&handles(&view, columns, paint).join("\n"));
        Ok(())
    }

    pub(super) async fn status(&mut self, of: &OfVideo) -> Result<(), RequestError> {
        let Some(status) = self.answer::<Status>(of, "status", &json!({})).await? else { return Ok(()) };
        let (what, progress, spent) = (status.status.name(), status.progress, status.cost.spent_usd);
        self.screen.print(&format!("{}  {what}  {progress:.0} %  {spent}", of.video));
        for branch in &status.branches {
            let line = format!("  {}  {}  {}", branch.branch_name, branch.phase_number.name(), state(branch));
            self.screen.print(&line);
        }
        Ok(())
    }

    pub(super) async fn tree(&mut self, of: &OfVideo) -> Result<(), RequestError> {
        if of.json {
            let tree: Value = self.client.query(of.video, "tree", &json!({})).await?;
            self.print_json(&tree);
            return Ok(());
        }
        let checkpoints = self.all_checkpoints(of.video).await?;
        let branches: Vec<BranchView> = self.client.query(of.video, "branches", &json!({})).await?;
        let forks = self.forks(of.video).await?;
        if checkpoints.is_empty() {
            self.screen.print("no checkpoint yet");
        }
        // Programs that read a pipe get whole lines.
        let columns = if self.screen.is_terminal() { self.screen.width() } else { usize::MAX };
        for line in checkpoint_tree::lines(&checkpoints, &branches, &forks, columns, self.screen.paint) {
            self.screen.print(&line);
        }
        Ok(())
    }

    /// From which checkpoint each branch was opened, by its first one.
    async fn forks(&self, video: VideoId) -> Result<BTreeMap<CheckpointId, CheckpointId>, RequestError> {
        let mut forks = BTreeMap::new();
        for (seen, _) in self.events(video).await? {
            if let Happened::BranchCreated { from, checkpoint_id, .. } = seen.happened {
                forks.insert(checkpoint_id, from);
            }
        }
        Ok(forks)
    }

    pub(super) async fn branches(&mut self, of: &OfVideo) -> Result<(), RequestError> {
        let Some(branches) = self.answer::<Vec<BranchView>>(of, "branches", &json!({})).await? else { return Ok(()) };
        let rows = branches.iter().map(|branch| {
            let shared = if branch.shared_usd == messages::money::Usd::ZERO {
                String::new()
            } else {
                format!(" ({} of it shared)", branch.shared_usd)
            };
            let progress = format!("{:.0} %", branch.progress);
            let spent = format!("{}{shared}", branch.spent_usd);
            [branch.branch_name.to_string(), branch.phase_number.name().to_owned(), progress, spent, state(branch)]
        });
        self.table(["branch", "phase", "done", "cost", "state"], rows.collect());
        Ok(())
    }

    pub(super) async fn checkpoints(&mut self, ask: &arguments::Checkpoints) -> Result<(), RequestError> {
        let answer = self.client.checkpoints(ask.of.video, ask.branch.as_ref().map(ToString::to_string)).await?;
        let Some(checkpoints) = self.understood::<Vec<CheckpointView>>(&ask.of, answer)? else { return Ok(()) };
        let rows = checkpoints.iter().map(|view| {
            [
                view.checkpoint_id.to_string(),
                moment(view.created_at),
                view.phase_number.name().to_owned(),
                view.branch_name.to_string(),
                format!("v{}", view.version),
                view.status.clone(),
            ]
        });
        self.table(["checkpoint", "since", "phase", "branch", "version", "status"], rows.collect());
        Ok(())
    }

    pub(super) async fn history(&mut self, of: &OfVideo) -> Result<(), RequestError> {
        let mut history = History::default();
        for (seen, body) in self.events(of.video).await? {
            let line = if of.json { one_line(&body) } else { history.line(&seen, name(&body), self.screen.paint) };
            self.screen.print(&line);
        }
        Ok(())
    }

    pub(super) async fn cost(&mut self, of: &OfVideo) -> Result<(), RequestError> {
        let Some(cost) = self.answer::<Cost>(of, "cost", &json!({})).await? else { return Ok(()) };
        let next = cost.estimate_next_usd.map(|next| format!("; approving costs {next}")).unwrap_or_default();
        let budget = cost.budget_usd.map(|budget| format!("; budget {budget}")).unwrap_or_default();
        self.screen.print(&format!("{} spent{next}{budget}", cost.spent_usd));
        let rows = cost.ledger.iter().map(|row| {
            [
                moment(row.time),
                row.branch.to_string(),
                row.phase.name().to_owned(),
                format!("{} v{}", row.artifact_key, row.job.version),
                row.attempt.to_string(),
                clean(&row.model),
                format!("{} {}", row.quantity, clean(&row.unit)),
                row.amount_usd.to_string(),
            ]
        });
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            self.table(["time", "branch", "phase", "artifact", "attempt", "model", "quantity", "cost"], rows);
        }
        Ok(())
    }

    pub(super) async fn compare(&mut self, ask: &Compare) -> Result<(), RequestError> {
        let (a, b) = (self.find(ask.of.video, &ask.a).await?, self.find(ask.of.video, &ask.b).await?);
        let answer = self.answer::<Comparison>(&ask.of, "compare", &AskCompare { a, b }).await?;
        let Some(comparison) = answer else { return Ok(()) };
        for line in comparison_lines(&comparison, ask.a.as_str(), ask.b.as_str()) {
            self.screen.print(&line);
        }
        Ok(())
    }

    /// `dailies watch`: from the beginning until no branch runs or waits.
    pub(super) async fn watch(&mut self, of: &OfVideo) -> Result<(), RequestError> {
        let (client, video) = (self.client.clone(), of.video);
        let mut running = Running::default();
        let mut history = History::default();
        // An unknown video is refused here.
        let _: Value = client.query(video, "status", &json!({})).await?;
        let mut news = follow(&client, video, 0).await?;
        while let Some(news) = news.recv().await {
            let (seen, body) = match news {
                News::Event(seen, body) => (seen, body),
                News::Progress(note) => {
                    running.progress(&note);
                    if !of.json {
                        self.screen.live(&running.bars(self.screen.width()));
                    }
                    continue;
                }
            };
            running.event(&seen);
            if of.json {
                self.screen.print(&one_line(&body));
            } else {
                self.screen.print(&history.line(&seen, name(&body), self.screen.paint));
                self.screen.live(&running.bars(self.screen.width()));
            }
            if matches!(seen.happened, Happened::BranchCompleted { .. } | Happened::VideoDeleted { .. }) {
                let page: Page = client.query(video, "history", &AskHistory { after_seq: seen.seq }).await?;
                if page.finished && page.events.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The answer to a question about a video; none when it was printed as JSON.
    async fn answer<T: DeserializeOwned>(
        &mut self,
        of: &OfVideo,
        name: &str,
        body: &impl Serialize,
    ) -> Result<Option<T>, RequestError> {
        let answer = self.client.query(of.video, name, body).await?;
        self.understood(of, answer)
    }

    /// The answer, unless it is wanted as it came.
    fn understood<T: DeserializeOwned>(&mut self, of: &OfVideo, answer: Value) -> Result<Option<T>, RequestError> {
        if of.json {
            self.print_json(&answer);
            return Ok(None);
        }
        let answer = serde_json::from_value(answer).map_err(|error| ClientError::Strange(error.to_string()))?;
        Ok(Some(answer))
    }

    /// Every event of a video so far.
    async fn events(&self, video: VideoId) -> Result<Vec<(Seen, Map<String, Value>)>, RequestError> {
        let mut events = Vec::new();
        let mut last = 0;
        loop {
            let page: Page = self.client.query(video, "history", &AskHistory { after_seq: last }).await?;
            let before = last;
            for body in page.events {
                let Some(seen) = Seen::read(&body) else { continue };
                last = last.max(seen.seq);
                events.push((seen, body));
            }
            if last >= page.head || last == before {
                return Ok(events);
            }
        }
    }

    /// Prints rows below their heads, every column as wide as its widest cell.
    pub(super) fn table<const N: usize>(&mut self, heads: [&str; N], rows: Vec<[String; N]>) {
        let widest = |i: usize| rows.iter().map(|row| width(&row[i])).max().unwrap_or(0).max(width(heads[i]));
        let widths: [usize; N] = std::array::from_fn(widest);
        let line = |cells: [&str; N]| {
            let padded: Vec<_> = cells.iter().zip(widths).map(|(cell, columns)| pad(cell, columns)).collect();
            padded.join("  ").trim_end().to_owned()
        };
        let mut lines = vec![self.screen.paint.dim(&line(heads))];
        lines.extend(rows.iter().map(|row| line(std::array::from_fn(|i| row[i].as_str()))));
        self.screen.print(&lines.join("\n"));
    }
}

/// What a branch is doing, in words.
fn state(branch: &BranchView) -> String {
    match branch.state {
        BranchState::Running if branch.running_jobs.len() == 1 => "1 job runs or waits".to_owned(),
        BranchState::Running => format!("{} jobs run or wait", branch.running_jobs.len()),
        BranchState::Paused => match branch.latest_checkpoint_id {
            Some(checkpoint) => format!("waits for an approval of {checkpoint}"),
            None => "waits".to_owned(),
        },
        BranchState::BlockedBudget => "waits for a larger budget".to_owned(),
        BranchState::BlockedUnknown => "waits for somebody to resolve a paid job".to_owned(),
        BranchState::Failed => format!("failed: {}", clean(branch.error.as_deref().unwrap_or("without a reason"))),
        BranchState::Cancelled => "cancelled".to_owned(),
        BranchState::Complete => "complete".to_owned(),
    }
}

/// What `show` adds to the page: how to name the checkpoint, and what may be done there.
fn handles(view: &CheckpointView, columns: usize, paint: Paint) -> Vec<String> {
    let of = |allowed: bool| view.allowed.iter().filter(move |one| one.allowed == allowed);
    let allowed: Vec<_> = of(true).map(|one| one.command.as_str()).collect();
    // Several commands may be refused for one reason.
    let mut refused: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in of(false) {
        refused.entry(one.reason.as_deref().unwrap_or_default()).or_default().push(&one.command);
    }
    let mut lines = vec![("id", view.checkpoint_id.to_string()), ("digest", view.digest.to_string())];
    lines.push(("allowed", allowed.join(", ")));
    lines.extend(refused.iter().map(|(reason, commands)| ("not now", format!("{}: {reason}", commands.join(", ")))));
    lines.iter().flat_map(|(name, text)| labelled(name, text, columns, paint)).collect()
}

/// How two checkpoints differ, in words.
fn comparison_lines(comparison: &Comparison, a: &str, b: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for difference in &comparison.spec {
        lines.push(format!("spec {}", clean(&difference.path)));
        lines.push(format!("  {a}: {}", clean(&difference.a.to_string())));
        lines.push(format!("  {b}: {}", clean(&difference.b.to_string())));
    }
    for (key, difference) in &comparison.artifacts {
        let verdict = match difference.verdict.as_str() {
            "only_in_a" => format!("only in {a}"),
            "only_in_b" => format!("only in {b}"),
            verdict => verdict.to_owned(),
        };
        lines.push(format!("{}  {verdict}", pad(key, 18)));
    }
    let (cost_a, cost_b) = (comparison.cost_a_usd, comparison.cost_b_usd);
    lines.push(format!("cost: {a} {cost_a}, {b} {cost_b}"));
    lines
}

fn name(body: &Map<String, Value>) -> &str {
    body.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn one_line(body: &Map<String, Value>) -> String {
    serde_json::to_string(body).unwrap_or_default()
}
