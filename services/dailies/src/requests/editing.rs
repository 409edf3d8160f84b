//! `dailies edit`: a spec in the person's editor, or a patch from a script.

use std::io::{IsTerminal as _, Read as _};

use messages::checkpoint::Edit;
use serde_json::{Map, Value};

use super::{Asker, RequestError};
use crate::arguments;
use crate::client::ClientError;
use crate::columns::clean;
use crate::keyboard::Keyboard;
use crate::spec_edit::{Draft, Edited, Sent};

impl Asker {
    pub(super) async fn edit(&mut self, ask: &arguments::Edit) -> Result<(), RequestError> {
        let of = &ask.at.of;
        let checkpoint_id = self.checkpoint(of.video, ask.at.named().as_ref()).await?;
        if let Some(given) = &ask.patch {
            let patch = read_patch(given)?;
            let answer = self.client.command(of.video, "edit", &Edit { checkpoint_id, patch }).await?.answer;
            self.say(&answer, of.json);
            return Ok(());
        }
        let view = self.view(of.video, checkpoint_id).await?;
        let draft = Draft::new(view).map_err(RequestError::Scratch)?.ok_or(RequestError::NoSpec(checkpoint_id))?;
        loop {
            let wrong = match draft.edit().await? {
                Edited::Nothing => {
                    self.screen.print("Nothing was changed.");
                    return Ok(());
                }
                Edited::NotJson(reason) => format!("this is not JSON: {reason}"),
                Edited::Patch(patch) => match draft.send(&self.client, patch).await {
                    Ok(Sent::Done(done)) => {
                        self.say(&done.answer, of.json);
                        return Ok(());
                    }
                    Ok(Sent::Outdated) => {
                        return Err(kept(draft, "somebody else changed the spec meanwhile; edit it again".to_owned()));
                    }
                    Err(refused @ ClientError::Rejected(_)) => refused.to_string(),
                    Err(error) => return Err(kept(draft, error.to_string())),
                },
            };
            if !self.wants_to_edit_again(&wrong).await {
                return Err(kept(draft, wrong));
            }
        }
    }

    /// Shows what is wrong and asks, where there is somebody to ask.
    async fn wants_to_edit_again(&mut self, wrong: &str) -> bool {
        if !self.screen.is_terminal() || !std::io::stdin().is_terminal() {
            return false;
        }
        let Ok(mut keyboard) = Keyboard::listen() else { return false };
        for line in wrong.lines() {
            self.screen.print(&clean(line));
        }
        self.screen.ask("[e]dit again, or [q]uit? ");
        let answer = keyboard.line().await;
        self.screen.answered();
        answer.is_some_and(|answer| matches!(answer.trim().to_lowercase().as_str(), "e" | "edit" | "y" | "yes"))
    }
}

/// An error that leaves what was typed where it can be found again.
fn kept(draft: Draft, reason: String) -> RequestError {
    match draft.keep() {
        Ok(file) => RequestError::NotEdited { reason, file: file.display().to_string() },
        Err(error) => RequestError::Scratch(error),
    }
}

/// A patch as it was typed, from `@FILE`, or from standard input.
fn read_patch(given: &str) -> Result<Map<String, Value>, RequestError> {
    let text = match (given, given.strip_prefix('@')) {
        ("-", _) => {
            let mut text = String::new();
            let unreadable = |source| RequestError::Unreadable { file: "standard input".to_owned(), source };
            std::io::stdin().read_to_string(&mut text).map_err(unreadable)?;
            text
        }
        (_, Some(file)) => std::fs::read_to_string(file)
            .map_err(|source| RequestError::Unreadable { file: file.to_owned(), source })?,
        (given, None) => given.to_owned(),
    };
    serde_json::from_str(&text).map_err(RequestError::NotAPatch)
}
