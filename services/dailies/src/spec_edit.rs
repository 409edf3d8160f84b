//! A spec in a person's editor: the part that may be changed, and what was changed of it as a JSON Merge Patch
//! (RFC 7396).
//!
//! Which part may be changed at which phase is the coordinator's rule. What is offered here follows it, and whatever is
//! typed beyond it is sent all the same, so that the refusal is the coordinator's and in its words.

use std::io::Write as _;
use std::path::PathBuf;

use messages::checkpoint::Edit;
use messages::phase::Phase;
use messages::query::{AskCheckpoint, CheckpointView};
use serde_json::{Map, Value};

use crate::client::{Answered, Client, ClientError};
use crate::editor::{self, EditorError};

/// A spec that somebody is changing, in a file until the cluster has taken it.
#[derive(Debug)]
pub struct Draft {
    /// The checkpoint as it was when the text was made.
    view: CheckpointView,
    spec: Value,
    file: tempfile::NamedTempFile,
}

/// What came out of the editor.
#[derive(Debug, PartialEq)]
pub enum Edited {
    /// The same as went in.
    Nothing,
    /// A change.
    Patch(Map<String, Value>),
    /// No JSON object; this says where.
    NotJson(String),
}

/// What became of a change.
#[derive(Debug)]
pub enum Sent {
    /// It was made.
    Done(Answered),
    /// Somebody else changed the spec while the editor was open.
    Outdated,
}

impl Draft {
    /// The editable part of a checkpoint's spec, in a file of its own; none where there is no spec.
    pub fn new(view: CheckpointView) -> std::io::Result<Option<Self>> {
        let spec = view.artifacts.get("spec").and_then(|artifact| artifact.metadata.get("spec"));
        let Some(spec) = spec.cloned() else { return Ok(None) };
        let mut file = tempfile::Builder::new().prefix("dailies-spec-").suffix(".json").tempfile()?;
        serde_json::to_writer_pretty(&mut file, &editable(&spec, view.phase_number))?;
        writeln!(file)?;
        Ok(Some(Self { view, spec, file }))
    }

    /// The checkpoint that is changed, as it was when the text was made.
    pub const fn view(&self) -> &CheckpointView {
        &self.view
    }

    /// Opens the file in the person's editor, waits, and says what was changed.
    pub async fn edit(&self) -> Result<Edited, EditorError> {
        editor::edit(self.file.path()).await?;
        // Editors may put a new file in the place of the old one, so it is read by its name.
        let text = std::fs::read(self.file.path()).map_err(EditorError::Unreadable)?;
        Ok(match serde_json::from_slice::<Map<String, Value>>(&text) {
            Err(error) => Edited::NotJson(error.to_string()),
            Ok(edited) => match patch(&self.spec, self.view.phase_number, &edited) {
                patch if patch.is_empty() => Edited::Nothing,
                patch => Edited::Patch(patch),
            },
        })
    }

    /// Sends a change, unless the spec became another one while the editor was open: lists are replaced whole, and would
    /// take back what somebody else did.
    pub async fn send(&self, client: &Client, patch: Map<String, Value>) -> Result<Sent, ClientError> {
        let (video, checkpoint_id) = (self.view.video_id, self.view.checkpoint_id);
        let now: CheckpointView = client.query(video, "checkpoint", &AskCheckpoint { checkpoint_id }).await?;
        let id = |view: &CheckpointView| view.artifacts.get("spec").map(|spec| spec.id);
        if id(&now) != id(&self.view) {
            return Ok(Sent::Outdated);
        }
        client.command(video, "edit", &Edit { checkpoint_id, patch }).await.map(Sent::Done)
    }

    /// Leaves the text in its file, and says where that is.
    pub fn keep(self) -> std::io::Result<PathBuf> {
        self.file.keep().map(|(_, path)| path).map_err(|error| error.error)
    }
}

/// The part of a spec that may be changed at a phase, without what follows from the rest.
fn editable(spec: &Value, phase: Phase) -> Map<String, Value> {
    let fields: &[&str] = match phase {
        Phase::Planning => &["template", "aspect_ratio", "product", "style", "audio", "transitions", "beats"],
        Phase::Storyboard => &["beats", "transitions", "audio"],
        Phase::Chunks => &["transitions", "audio"],
        Phase::Refine => &["audio"],
    };
    let mut part: Map<_, _> =
        fields.iter().filter_map(|field| Some(((*field).to_owned(), spec.get(*field)?.clone()))).collect();
    for beat in part.get_mut("beats").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(beat) = beat.as_object_mut() else { continue };
        match phase {
            Phase::Planning => drop(beat.remove("start")),
            Phase::Storyboard | Phase::Chunks | Phase::Refine => {
                beat.retain(|field, _| field == "beat_id" || field == "prompt");
            }
        }
    }
    part
}

/// What turns the spec into what was typed.
fn patch(spec: &Value, phase: Phase, edited: &Map<String, Value>) -> Map<String, Value> {
    let before = editable(spec, phase);
    let mut patch = merge_patch(&before, edited);
    // Of later beats only a part was shown; a list is replaced whole, so what was not shown is put back.
    if let (false, Some(beats)) = (phase == Phase::Planning, patch.get_mut("beats").and_then(Value::as_array_mut)) {
        let whole = spec.get("beats").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (beat, whole) in beats.iter_mut().zip(whole) {
            let (Value::Object(typed), Value::Object(mut whole)) = (&mut *beat, whole.clone()) else { continue };
            whole.append(typed);
            *beat = Value::Object(whole);
        }
    }
    patch
}

/// The JSON Merge Patch that turns `before` into `after`; empty when they are the same.
fn merge_patch(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, new) in after {
        match (before.get(name), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                patch.insert(name.clone(), Value::Object(merge_patch(old, new)));
            }
            (Some(_) | None, new) => {
                patch.insert(name.clone(), new.clone());
            }
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec_table::example;

    fn spec() -> Value {
        serde_json::to_value(example::watch("watch", "A gold watch on black velvet")).expect("a spec")
    }

    #[test]
    fn what_was_not_touched_is_no_change() {
        for phase in Phase::ALL {
            assert_eq!(patch(&spec(), phase, &editable(&spec(), phase)), Map::new(), "{phase:?}");
        }
    }

    #[test]
    fn what_follows_from_the_rest_is_not_offered() {
        let part = editable(&spec(), Phase::Planning);
        for derived in ["duration", "resolution", "fps", "reasoning"] {
            assert!(!part.contains_key(derived), "{derived}");
        }
        assert_eq!(part["beats"][0].get("start"), None);
        assert_eq!(editable(&spec(), Phase::Refine).keys().collect::<Vec<_>>(), ["audio"]);
    }

    #[test]
    fn a_patch_names_only_what_was_changed() {
        let mut typed = editable(&spec(), Phase::Planning);
        typed["style"]["mood"] = "energetic".into();
        typed.remove("template");
        typed.insert("sparkle".into(), true.into());
        let patch = patch(&spec(), Phase::Planning, &typed);
        assert_eq!(Value::Object(patch), json!({"style": {"mood": "energetic"}, "template": null, "sparkle": true}));
    }

    #[test]
    fn a_prompt_changed_after_planning_leaves_its_beat_whole() {
        let mut typed = editable(&spec(), Phase::Storyboard);
        typed["beats"][1]["prompt"] = "Gears in blue light".into();
        let patch = patch(&spec(), Phase::Storyboard, &typed);
        let mut wanted = spec()["beats"].clone();
        wanted[1]["prompt"] = "Gears in blue light".into();
        assert_eq!(Value::Object(patch), json!({ "beats": wanted }));
    }
}
