//! Commands that change something: sent over NATS, and their answers.

use std::io::IsTerminal as _;

use messages::checkpoint;
use messages::query::VideoView;
use messages::video::{self, AutoContinue, AutoContinueLimits, ChangeSettings};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Asker, RequestError};
use crate::arguments::{
    Approve, At, Delete, Fork, OfBranch, OfVideo, Pin, Regenerate, Reject, Resolve, Select, Settings, Switch, Take,
};
use crate::columns::clean;
use crate::history;
use crate::keyboard::Keyboard;

impl Asker {
    pub(super) async fn approve(&mut self, ask: Approve) -> Result<(), RequestError> {
        let checkpoint_id = self.checkpoint(ask.of.video, ask.checkpoint.as_ref()).await?;
        let Approve { of, branch, digest, note, accept_stale, .. } = ask;
        let body = checkpoint::Approve { checkpoint_id, branch: Some(branch), digest, note, accept_stale };
        self.command(&of, "approve", &body).await
    }

    pub(super) async fn reject(&mut self, ask: Reject) -> Result<(), RequestError> {
        let checkpoint_id = self.checkpoint(ask.at.of.video, ask.at.named().as_ref()).await?;
        self.command(&ask.at.of, "reject", &checkpoint::Reject { checkpoint_id, notes: ask.notes }).await
    }

    pub(super) async fn fork(&mut self, ask: Fork) -> Result<(), RequestError> {
        let checkpoint_id = self.checkpoint(ask.of.video, ask.checkpoint.as_ref()).await?;
        self.command(&ask.of, "fork", &checkpoint::Fork { checkpoint_id, branch: ask.branch }).await
    }

    pub(super) async fn regenerate(&mut self, ask: Regenerate) -> Result<(), RequestError> {
        let checkpoint_id = self.checkpoint(ask.of.video, ask.which.named().as_ref()).await?;
        let Regenerate { of, artifact: artifact_key, prompt, model, seed, template, creativity, notes, .. } = ask;
        let body =
            checkpoint::Regenerate { checkpoint_id, artifact_key, prompt, model, seed, template, creativity, notes };
        self.command(&of, "regenerate", &body).await
    }

    pub(super) async fn select(&mut self, ask: &Select) -> Result<(), RequestError> {
        let checkpoint_id = self.checkpoint(ask.of.video, ask.which.named().as_ref()).await?;
        let (artifact_key, version) = (ask.artifact, ask.version);
        self.command(&ask.of, "select", &checkpoint::Select { checkpoint_id, artifact_key, version }).await
    }

    pub(super) async fn take(&mut self, ask: &Take) -> Result<(), RequestError> {
        let checkpoint_id = self.checkpoint(ask.of.video, ask.which.named().as_ref()).await?;
        let from_checkpoint = self.find(ask.of.video, &ask.from).await?;
        let artifact_key = ask.artifact;
        self.command(&ask.of, "take", &checkpoint::Take { checkpoint_id, from_checkpoint, artifact_key }).await
    }

    pub(super) async fn abandon(&mut self, at: &At) -> Result<(), RequestError> {
        let checkpoint_id = self.checkpoint(at.of.video, at.named().as_ref()).await?;
        self.command(&at.of, "abandon", &checkpoint::Abandon { checkpoint_id }).await
    }

    pub(super) async fn pin(&mut self, ask: &Pin) -> Result<(), RequestError> {
        let checkpoint_id = self.checkpoint(ask.at.of.video, ask.at.named().as_ref()).await?;
        self.command(&ask.at.of, "pin", &checkpoint::Pin { checkpoint_id, pinned: !ask.off }).await
    }

    pub(super) async fn retry(&mut self, ask: &OfBranch) -> Result<(), RequestError> {
        let branch = ask.branch.as_ref().map(ToString::to_string);
        self.command(&ask.of, "retry", &video::Retry { branch }).await
    }

    pub(super) async fn cancel(&mut self, ask: &OfBranch) -> Result<(), RequestError> {
        let branch = ask.branch.as_ref().map(ToString::to_string);
        self.command(&ask.of, "cancel", &video::Cancel { branch }).await
    }

    pub(super) async fn resolve(&mut self, ask: &Resolve) -> Result<(), RequestError> {
        let (job, decision) = (ask.job, ask.decision.into());
        self.command(&ask.of, "resolve", &checkpoint::Resolve { job, decision }).await
    }

    pub(super) async fn settings(&mut self, ask: Settings) -> Result<(), RequestError> {
        let auto_continue = ask.auto_continue.map(|switch| match switch {
            Switch::Off => AutoContinue::Off,
            Switch::On => AutoContinue::On(AutoContinueLimits { until: ask.until, max_cost_usd: ask.max_cost }),
        });
        let change = ChangeSettings { title: ask.title, auto_continue, budget_usd: ask.budget };
        if change != ChangeSettings::default() {
            return self.command(&ask.of, "settings", &change).await;
        }
        let video: VideoView = self.client.query(ask.of.video, "video", &json!({})).await?;
        let settings =
            video::Settings { title: video.title, auto_continue: video.auto_continue, budget_usd: video.budget_usd };
        if ask.of.json {
            self.print_json(&serde_json::to_value(&settings).unwrap_or_default());
        } else {
            self.screen.print(&clean(&history::in_words(&settings)));
        }
        Ok(())
    }

    pub(super) async fn delete(&mut self, ask: &Delete) -> Result<(), RequestError> {
        if !ask.yes {
            let video: VideoView = self.client.query(ask.of.video, "video", &json!({})).await?;
            let title = clean(video.title.as_deref().unwrap_or(&video.request.prompt));
            let question =
                format!("Delete “{title}” with everything that was made for it ({} spent)?", video.spent_usd);
            if !self.confirmed(&question).await? {
                return Err(RequestError::NotConfirmed);
            }
        }
        self.command(&ask.of, "delete", &video::Delete {}).await
    }

    /// Asks for a yes; anything else is none.
    async fn confirmed(&mut self, question: &str) -> Result<bool, RequestError> {
        if !self.screen.is_terminal() || !std::io::stdin().is_terminal() {
            return Err(RequestError::NobodyToAsk);
        }
        let mut keyboard = Keyboard::listen().map_err(|_| RequestError::NobodyToAsk)?;
        self.screen.ask(&format!("{question} [y]es or [n]o? "));
        let answer = keyboard.line().await;
        self.screen.answered();
        Ok(answer.is_some_and(|answer| matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")))
    }

    /// Sends a command and prints its answer.
    async fn command(&mut self, of: &OfVideo, verb: &str, body: &impl Serialize) -> Result<(), RequestError> {
        let answer = self.client.command(of.video, verb, body).await?.answer;
        self.say(&answer, of.json);
        Ok(())
    }

    /// Prints the sentence that every answer has, and where a change went when that is elsewhere.
    pub(super) fn say(&mut self, answer: &Value, as_json: bool) {
        if as_json {
            self.print_json(answer);
            return;
        }
        let text = |field: &str| clean(answer.get(field).and_then(Value::as_str).unwrap_or_default());
        let mut line = text("message");
        if answer.get("created_new_branch") == Some(&Value::Bool(true)) {
            line += &format!(" It is on the new branch {} ({}).", text("branch_name"), text("checkpoint_id"));
        }
        self.screen.print(&line);
    }
}
