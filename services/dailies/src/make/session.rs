//! One film at the terminal: what happens is shown, what waits is asked.
//!
//! Invariant: only what the person saw is approved. An approval carries the digest of the page that was shown, and lines
//! typed before the question do not answer it.

mod acts;

use std::path::PathBuf;
use std::time::Duration;

use messages::checkpoint::Reject;
use messages::command::Via;
use messages::id::{BranchName, CheckpointId, CommandId, UserId, VideoId};
use messages::query::{AskCheckpoint, BranchState, CheckpointView, Status, VideoStatus, VideoView};
use messages::video::AutoContinue;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::MakeError;
use super::question::{Next, Question};
use crate::checkpoint_page;
use crate::client::{Client, ClientError};
use crate::columns::clean;
use crate::downloads::Downloads;
use crate::follow::{News, follow};
use crate::happened::{Happened, Seen, who};
use crate::keyboard::Keyboard;
use crate::program;
use crate::running::{Running, name};
use crate::screen::Screen;

/// How a session ends well.
#[derive(Debug)]
pub enum Ending {
    /// The film is in this file.
    Film(PathBuf),
    /// The person had enough for now.
    Quit,
    /// Ctrl-C.
    Interrupted,
}

/// One film at the terminal.
pub struct Session {
    client: Client,
    video: VideoId,
    screen: Screen,
    /// None without a terminal: then nobody can be asked.
    keyboard: Option<Keyboard>,
    downloads: Downloads,
    url: String,
    running: Running,
    question: Option<Question>,
    auto: AutoContinue,
    sent: Vec<CommandId>,
    /// Events up to this one happened before and are not told again.
    past: u64,
}

impl Session {
    /// A session for a video whose first `past` events were seen before.
    pub fn new(client: Client, video: VideoId, screen: Screen, downloads: Downloads, url: String, past: u64) -> Self {
        use std::io::IsTerminal as _;
        let keyboard = if screen.is_terminal() && std::io::stdin().is_terminal() {
            Keyboard::listen().inspect_err(|error| tracing::warn!(%error, "keyboard not read")).ok()
        } else {
            None
        };
        Self {
            client,
            video,
            screen,
            keyboard,
            downloads,
            url,
            running: Running::default(),
            question: None,
            auto: AutoContinue::Off,
            sent: Vec::new(),
            past,
        }
    }

    /// Goes on until there is a film, or somebody stops it.
    pub async fn run(mut self, shutdown: &CancellationToken) -> Result<Ending, MakeError> {
        self.read_settings().await?;
        let mut news = follow(&self.client, self.video, 0).await?;
        let mut redraw = tokio::time::interval(Duration::from_millis(200));
        redraw.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let asking = self.question.is_some();
            let ending = tokio::select! {
                news = news.recv() => match news {
                    Some(News::Event(seen, _)) => self.event(seen).await?,
                    Some(News::Progress(note)) => {
                        self.running.progress(&note);
                        None
                    }
                    None => return Err(ClientError::Connection("it was closed".into()).into()),
                },
                line = typed(&mut self.keyboard), if asking => self.answer(line).await?,
                _ = redraw.tick() => {
                    let bars = self.running.bars(self.screen.width());
                    self.screen.live(&bars);
                    None
                }
                () = shutdown.cancelled() => {
                    self.say_how_to_go_on("stopping");
                    Some(Ending::Interrupted)
                }
            };
            if let Some(ending) = ending {
                self.screen.live(&[]);
                return Ok(ending);
            }
            // Whatever was printed in between, the open question is at the bottom again.
            if !self.screen.is_asking() {
                self.ask();
            }
        }
    }

    /// One event: shown, and acted upon where it ends something.
    async fn event(&mut self, seen: Seen) -> Result<Option<Ending>, MakeError> {
        let told = self.running.event(&seen);
        if seen.seq <= self.past {
            return if seen.seq == self.past { self.now().await } else { Ok(None) };
        }
        // Bars say the same on a terminal, except that a phase is over.
        if let Some(line) = told
            && (!self.screen.is_terminal() || matches!(seen.happened, Happened::CheckpointCreated { .. }))
        {
            let line = if self.screen.is_terminal() { self.screen.paint.good(&line) } else { line };
            self.screen.print(&line);
        }
        let ours = seen.command_id.as_ref().is_some_and(|id| self.sent.contains(id));
        match seen.happened {
            Happened::CheckpointCreated { checkpoint_id, .. } => self.show_checkpoint(checkpoint_id).await?,
            Happened::CheckpointApproved { checkpoint_id, asked, branch, phase, by, how, .. } => {
                self.withdraw(|waiting| waiting == checkpoint_id || waiting == asked);
                let by = if ours { String::new() } else { format!(" by {}", who(&by, how)) };
                self.screen.print(&format!("{} approved{by}", name(phase, &branch)));
            }
            Happened::CheckpointRejected { checkpoint_id, by, how, notes } => {
                self.withdraw(|waiting| waiting == checkpoint_id);
                let by = if ours { String::new() } else { format!(" by {}", who(&by, how)) };
                self.screen.print(&format!("sent back{by}: {}", clean(&notes)));
            }
            Happened::CheckpointAbandoned { checkpoint_id, by, how } => {
                self.withdraw(|waiting| waiting == checkpoint_id);
                self.screen.print(&format!("abandoned by {}", who(&by, how)));
            }
            // What the person did here was shown when it was done.
            Happened::BranchCreated { .. }
            | Happened::SpecEdited { .. }
            | Happened::ArtifactOrdered { .. }
            | Happened::ArtifactSelected { .. }
                if ours => {}
            Happened::BranchCreated { branch, by, how, .. } => {
                self.screen.print(&format!("branch {branch} opened by {}", who(&by, how)));
            }
            Happened::ArtifactOrdered { key, by, how, .. } => {
                let by = by.as_ref().zip(how).map(|(by, how)| format!(", ordered by {}", who(by, how)));
                self.screen.print(&format!("{key} is being made again{}", by.unwrap_or_default()));
            }
            Happened::SpecEdited { checkpoint_id, by, how } => self.changed(checkpoint_id, "edited", &by, how).await?,
            Happened::ArtifactSelected { checkpoint_id, by, how, .. } => {
                self.changed(checkpoint_id, "changed", &by, how).await?;
            }
            Happened::ArtifactReady { checkpoint_id, key, version, selected } => {
                self.screen.print(&format!("{key} version {version} is ready"));
                if selected && self.waits_for(checkpoint_id) {
                    self.show_checkpoint(checkpoint_id).await?;
                }
            }
            Happened::ArtifactFailed { key, version, reason, .. } => {
                self.screen.print(&format!("{key} version {version} could not be made: {}", clean(&reason)));
            }
            Happened::JobFailed { job, attempt, reason, gave_up } => {
                let next = if gave_up { "" } else { "; it is tried again" };
                self.screen.print(&format!("{}: attempt {attempt} failed: {}{next}", job.artifact, clean(&reason)));
            }
            Happened::JobRetried { job, attempt, .. } => {
                if !self.screen.is_terminal() {
                    self.screen.print(&format!("{}: attempt {attempt}", job.artifact));
                }
            }
            Happened::PhaseFailed { branch, phase, reason } => {
                let reason = format!("{} failed: {}", name(phase, &branch), clean(&reason));
                return self.failed(branch, reason);
            }
            Happened::BranchCancelled { branch, by, how } => {
                return self.failed(branch, format!("cancelled by {}", who(&by, how)));
            }
            Happened::BudgetExceeded { estimate_usd, budget_usd, .. } => {
                self.screen.print(&format!(
                    "the next phase costs {estimate_usd}, which would pass the budget of {budget_usd}; raise it with\n  \
                     {} settings {} --budget USD",
                    program(),
                    self.video
                ));
                self.wait_for_newest().await?;
            }
            Happened::SettingsChanged { by, how, .. } => {
                self.read_settings().await?;
                self.screen.print(&format!("settings changed by {}", who(&by, how)));
            }
            Happened::BranchCompleted { checkpoint_id, .. } => return self.film(checkpoint_id).await.map(Some),
            Happened::VideoDeleted { by, how } => {
                let reason = format!("the video was deleted by {}", who(&by, how));
                return Err(MakeError::Failed { video: self.video, reason });
            }
            Happened::JobUnknown { job, price_usd } => {
                self.screen.print(&format!(
                    "nobody knows whether {} was paid for ({price_usd}); decide it with\n  \
                     {} resolve {} {job} collect, pay-again or give-up",
                    job.artifact,
                    program(),
                    self.video
                ));
            }
            // What is stale stands on the page, with its price.
            Happened::VideoCreated { .. }
            | Happened::PhaseStarted { .. }
            | Happened::JobDone { .. }
            | Happened::JobClaimed { .. }
            | Happened::JobSubmitted { .. }
            | Happened::CheckpointPinned { .. }
            | Happened::ArtifactStale { .. }
            | Happened::Other => {}
        }
        Ok(None)
    }

    /// Where a resumed video stands.
    async fn now(&mut self) -> Result<Option<Ending>, MakeError> {
        self.running.forget_times();
        let status = self.status().await?;
        let failed = status.branches.iter().find(|branch| branch.state == BranchState::Failed);
        match status.status {
            // One branch is finished and another waits: whoever can answer is asked about that one.
            VideoStatus::Complete if self.keyboard.is_some() && status.current_checkpoint.is_some() => {
                if let Some(waiting) = status.current_checkpoint {
                    self.show_checkpoint(waiting.checkpoint_id).await?;
                }
            }
            VideoStatus::Complete => {
                let all = self.client.checkpoints(self.video, None).await?;
                let all = serde_json::from_value(all).map_err(|error| ClientError::Strange(error.to_string()))?;
                let mut all: Vec<CheckpointView> = all;
                all.retain(|view| view.phase_number.next().is_none() && view.status == "approved");
                match all.last() {
                    Some(last) => return self.film(last.checkpoint_id).await.map(Some),
                    None => return Err(ClientError::Strange("a finished video without a film".into()).into()),
                }
            }
            VideoStatus::Failed | VideoStatus::Cancelled => {
                let branch = failed.or(status.branches.last()).map(|branch| branch.branch_name.clone());
                let reason = status.error.unwrap_or_else(|| status.status.name().to_owned());
                return self.failed(branch.unwrap_or_else(BranchName::main), clean(&reason));
            }
            VideoStatus::PausedAtPhase1
            | VideoStatus::PausedAtPhase2
            | VideoStatus::PausedAtPhase3
            | VideoStatus::PausedAtPhase4 => {
                if let Some(waiting) = status.current_checkpoint {
                    self.show_checkpoint(waiting.checkpoint_id).await?;
                }
            }
            VideoStatus::Queued
            | VideoStatus::Validating
            | VideoStatus::GeneratingStoryboard
            | VideoStatus::GeneratingChunks
            | VideoStatus::Refining => {}
        }
        Ok(None)
    }

    /// Fetches and prints a checkpoint, and asks about it unless it approves itself.
    async fn show_checkpoint(&mut self, checkpoint_id: CheckpointId) -> Result<(), MakeError> {
        let view: CheckpointView =
            self.client.query(self.video, "checkpoint", &AskCheckpoint { checkpoint_id }).await?;
        let cost = self.status().await?.cost;
        let files = self.downloads.checkpoint(&self.client, &view).await;
        let lines = checkpoint_page::lines(&view, &cost, &files, &self.url, self.screen.width(), self.screen.paint);
        self.screen.print(&format!("\n{}\n", lines.join("\n")));

        let goes_on_alone = self.auto.approves(view.phase_number, cost.spent_usd + view.estimate_next_usd);
        if view.status == "pending" && !goes_on_alone {
            self.wait_for(view);
        }
        Ok(())
    }

    /// Something about a checkpoint was changed from elsewhere: the person decides about what it is now.
    async fn changed(&mut self, checkpoint: CheckpointId, how: &str, by: &UserId, via: Via) -> Result<(), MakeError> {
        self.screen.print(&format!("{how} by {}", who(by, via)));
        if self.waits_for(checkpoint) { self.show_checkpoint(checkpoint).await } else { Ok(()) }
    }

    async fn wait_for_newest(&mut self) -> Result<(), MakeError> {
        if self.keyboard.is_none() && self.auto != AutoContinue::Off {
            let reason = "auto-continue stops at the budget".to_owned();
            return Err(MakeError::Failed { video: self.video, reason });
        }
        if self.question.is_none()
            && let Some(view) = self.status().await?.current_checkpoint
        {
            self.wait_for(view);
        }
        Ok(())
    }

    fn wait_for(&mut self, view: CheckpointView) {
        if self.keyboard.is_none() {
            let (user, video, program) = (&self.client.user, self.video, program());
            self.screen.print(&format!(
                "waiting for an approval; there is no terminal to ask on, so give it from elsewhere:\n  \
                 {program} approve {video}\n  \
                 nats pub video.{user}.{video}.cmd.approve '{{\"checkpoint_id\":\"{}\"}}'",
                view.checkpoint_id
            ));
        }
        self.question = Some(Question::Decide(Box::new(view)));
    }

    fn failed(&mut self, branch: BranchName, reason: String) -> Result<Option<Ending>, MakeError> {
        if self.keyboard.is_none() {
            return Err(MakeError::Failed { video: self.video, reason });
        }
        let reason = self.screen.paint.bad(&reason);
        self.screen.print(&reason);
        self.question = Some(Question::Retry(branch));
        Ok(None)
    }

    /// Puts the open question again, if there is one and somebody to ask.
    fn ask(&mut self) {
        let (Some(keyboard), Some(question)) = (&mut self.keyboard, &self.question) else { return };
        keyboard.forget();
        self.screen.ask(&question.text());
    }

    /// What the person typed; none is the end of input.
    async fn answer(&mut self, line: Option<String>) -> Result<Option<Ending>, MakeError> {
        let Some(line) = line else {
            self.say_how_to_go_on("");
            return Ok(Some(Ending::Quit));
        };
        self.screen.answered();
        let Some(question) = self.question.take() else { return Ok(None) };
        match question.answer(&line) {
            Next::Ask(question) => self.question = Some(question),
            Next::Approve(view, accept_stale) => self.approve(view, accept_stale).await?,
            Next::Edit(view) => self.begin_edit(view).await?,
            Next::EditAgain(draft) => self.edit(draft).await?,
            Next::Regenerate(view, key, wish) => self.regenerate(view, key, wish).await?,
            Next::Fork(view, name) => self.fork(view, name).await?,
            Next::Reject(view, notes) => {
                let body = Reject { checkpoint_id: view.checkpoint_id, notes };
                self.do_at(view, "reject", &body).await?;
            }
            Next::Retry(branch) => self.retry(branch).await?,
            Next::Quit => {
                self.say_how_to_go_on("");
                return Ok(Some(Ending::Quit));
            }
        }
        Ok(None)
    }

    async fn film(&mut self, checkpoint_id: CheckpointId) -> Result<Ending, MakeError> {
        let view = self.client.query(self.video, "checkpoint", &AskCheckpoint { checkpoint_id }).await?;
        let film = self.downloads.film(&self.client, &view).await;
        if self.keyboard.is_some() && self.status().await?.current_checkpoint.is_some() {
            let (program, video) = (program(), self.video);
            self.screen.print(&format!(
                "another branch still waits: {program} tree {video} shows it, {program} make --resume {video} asks about it"
            ));
        }
        film.map(Ending::Film).map_err(|source| MakeError::Film { video: self.video, source })
    }

    async fn status(&self) -> Result<Status, ClientError> {
        self.client.query(self.video, "status", &json!({})).await
    }

    /// Whether checkpoints approve themselves is for the coordinator to say.
    async fn read_settings(&mut self) -> Result<(), ClientError> {
        let video: VideoView = self.client.query(self.video, "video", &json!({})).await?;
        self.auto = video.auto_continue;
        Ok(())
    }

    fn waits_for(&self, checkpoint: CheckpointId) -> bool {
        self.question.as_ref().and_then(Question::checkpoint) == Some(checkpoint)
    }

    fn withdraw(&mut self, is_answered: impl Fn(CheckpointId) -> bool) {
        if self.question.as_ref().and_then(Question::checkpoint).is_some_and(is_answered) {
            self.question = None;
        }
    }

    fn say_how_to_go_on(&mut self, what: &str) {
        let gap = if what.is_empty() { "" } else { "; " };
        self.screen.print(&format!("{what}{gap}go on with: {} make --resume {}", program(), self.video));
    }
}

async fn typed(keyboard: &mut Option<Keyboard>) -> Option<String> {
    match keyboard {
        Some(keyboard) => keyboard.line().await,
        None => std::future::pending().await,
    }
}
