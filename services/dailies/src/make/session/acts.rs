//! What a person decides at the terminal, done: a command, its refusal shown, and what is asked next.

use messages::artifact::ArtifactKey;
use messages::checkpoint::{Approve, Fork, Regenerate};
use messages::command::Code;
use messages::id::BranchName;
use messages::query::{CheckpointView, answer};
use messages::video::Retry;
use serde::Serialize;

use super::Session;
use crate::client::{Answered, ClientError};
use crate::columns::clean;
use crate::keyboard::Keyboard;
use crate::make::MakeError;
use crate::make::question::{AcceptStale, Question};
use crate::spec_edit::{Draft, Edited, Sent};

impl Session {
    /// Sends a command about a checkpoint. A refusal is shown, and the checkpoint asked about again.
    pub(super) async fn do_at(
        &mut self,
        view: Box<CheckpointView>,
        verb: &str,
        body: &impl Serialize,
    ) -> Result<Option<Answered>, MakeError> {
        match self.client.command(self.video, verb, body).await {
            Ok(done) => {
                self.sent.push(done.command_id.clone());
                Ok(Some(done))
            }
            Err(ClientError::Rejected(rejection)) => {
                let code = rejection.code;
                self.show_refusal(&ClientError::Rejected(rejection));
                match code {
                    Code::StaleDigest => self.show_checkpoint(view.checkpoint_id).await?,
                    // Somebody else was faster; the event says who.
                    Code::NotPending => {}
                    Code::ArtifactStale => self.question = Some(Question::GoOnStale(view)),
                    _ => self.question = Some(Question::Decide(view)),
                }
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn show_refusal(&mut self, refusal: &ClientError) {
        for line in refusal.to_string().lines() {
            self.screen.print(&clean(line));
        }
    }

    pub(super) async fn approve(
        &mut self,
        view: Box<CheckpointView>,
        accept_stale: AcceptStale,
    ) -> Result<(), MakeError> {
        let approval = Approve {
            checkpoint_id: view.checkpoint_id,
            branch: Some("same".to_owned()),
            digest: Some(view.digest),
            note: None,
            accept_stale: accept_stale == AcceptStale::Yes,
        };
        self.do_at(view, "approve", &approval).await?;
        Ok(())
    }

    pub(super) async fn regenerate(
        &mut self,
        view: Box<CheckpointView>,
        artifact_key: ArtifactKey,
        wish: Option<String>,
    ) -> Result<(), MakeError> {
        // A planner is told what should be different; everything else is made from a prompt.
        let (prompt, notes) = if artifact_key == ArtifactKey::Spec { (None, wish) } else { (wish, None) };
        let body = Regenerate {
            checkpoint_id: view.checkpoint_id,
            artifact_key,
            prompt,
            model: None,
            seed: None,
            template: None,
            creativity: None,
            notes,
        };
        if self.do_at(view.clone(), "regenerate", &body).await?.is_some() {
            self.screen.print(&format!("{artifact_key} is being made again; it is shown here when it is ready"));
            self.question = Some(Question::Decide(view));
        }
        Ok(())
    }

    pub(super) async fn fork(&mut self, view: Box<CheckpointView>, branch: Option<String>) -> Result<(), MakeError> {
        let original = view.branch_name.clone();
        let body = Fork { checkpoint_id: view.checkpoint_id, branch };
        let Some(done) = self.do_at(view, "fork", &body).await? else { return Ok(()) };
        let opened: answer::Changed =
            serde_json::from_value(done.answer).map_err(|error| ClientError::Strange(error.to_string()))?;
        let name = opened.branch_name;
        self.screen.print(&format!("this is the branch {name} now; {original} waits as it is"));
        self.show_checkpoint(opened.checkpoint_id).await
    }

    pub(super) async fn begin_edit(&mut self, view: Box<CheckpointView>) -> Result<(), MakeError> {
        match Draft::new((*view).clone()) {
            Ok(Some(draft)) => self.edit(Box::new(draft)).await,
            Ok(None) => {
                self.screen.print("there is no spec here");
                self.question = Some(Question::Decide(view));
                Ok(())
            }
            Err(error) => {
                self.screen.print(&format!("no file for the spec: {error}"));
                self.question = Some(Question::Decide(view));
                Ok(())
            }
        }
    }

    /// Lends terminal and keyboard to the person's editor, and sends what was changed.
    pub(super) async fn edit(&mut self, draft: Box<Draft>) -> Result<(), MakeError> {
        self.screen.live(&[]);
        let loan = self.keyboard.as_ref().map(Keyboard::lend);
        let edited = draft.edit().await;
        drop(loan);
        let checkpoint = draft.view().checkpoint_id;
        let patch = match edited {
            Ok(Edited::Patch(patch)) => patch,
            Ok(Edited::Nothing) => {
                self.screen.print("nothing was changed");
                self.question = Some(Question::Decide(Box::new(draft.view().clone())));
                return Ok(());
            }
            Ok(Edited::NotJson(reason)) => {
                self.screen.print(&format!("this is not JSON: {}", clean(&reason)));
                self.question = Some(Question::EditAgain(draft));
                return Ok(());
            }
            Err(error) => {
                self.screen.print(&clean(&error.to_string()));
                self.question = Some(Question::Decide(Box::new(draft.view().clone())));
                return Ok(());
            }
        };
        match draft.send(&self.client, patch).await {
            Ok(Sent::Done(done)) => {
                self.sent.push(done.command_id);
                self.screen.print("the spec was changed");
                self.show_checkpoint(checkpoint).await
            }
            Ok(Sent::Outdated) => {
                self.screen.print("somebody else changed the spec meanwhile; this is how it is now");
                self.show_checkpoint(checkpoint).await
            }
            Err(refused @ ClientError::Rejected(_)) => {
                self.show_refusal(&refused);
                self.question = Some(Question::EditAgain(draft));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn retry(&mut self, branch: BranchName) -> Result<(), MakeError> {
        let body = Retry { branch: Some(branch.to_string()) };
        match self.client.command(self.video, "retry", &body).await {
            Ok(done) => self.sent.push(done.command_id),
            Err(refused @ ClientError::Rejected(_)) => {
                self.show_refusal(&refused);
                self.question = Some(Question::Retry(branch));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
