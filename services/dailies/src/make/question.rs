//! What a person is asked at a checkpoint, and what an answer leads to. Pure but for the text of an edit, which is a file.
//!
//! Invariant: nothing that could be meant otherwise changes or spends anything. What is not understood is asked again, and
//! an empty line goes back to the first question.

use messages::artifact::ArtifactKey;
use messages::id::{BranchName, CheckpointId};
use messages::phase::Phase;
use messages::query::CheckpointView;

use crate::checkpoint_page::is_shown;
use crate::spec_edit::Draft;

/// What is asked.
pub enum Question {
    /// What to do at a checkpoint.
    Decide(Box<CheckpointView>),
    /// Which artifact is to be made again.
    WhichOne(Box<CheckpointView>),
    /// What should be different about it.
    HowElse(Box<CheckpointView>, ArtifactKey),
    /// What a new branch is called.
    BranchName(Box<CheckpointView>),
    /// What should be different about the whole phase.
    Notes(Box<CheckpointView>),
    /// Whether to go on with what no longer fits.
    GoOnStale(Box<CheckpointView>),
    /// Whether to correct an edit that was refused.
    EditAgain(Box<Draft>),
    /// Whether to run again what failed on a branch.
    Retry(BranchName),
}

/// What an answer leads to.
pub enum Next {
    /// Another question, or the same again.
    Ask(Question),
    /// Go on from the checkpoint as it was shown.
    Approve(Box<CheckpointView>, AcceptStale),
    /// Open the spec in an editor.
    Edit(Box<CheckpointView>),
    /// Open the same text again.
    EditAgain(Box<Draft>),
    /// Make one artifact again, differently where something was said.
    Regenerate(Box<CheckpointView>, ArtifactKey, Option<String>),
    /// Open a branch, under a name or an automatic one.
    Fork(Box<CheckpointView>, Option<String>),
    /// Make the phase again.
    Reject(Box<CheckpointView>, String),
    /// Run again what failed.
    Retry(BranchName),
    /// Enough for now.
    Quit,
}

/// Whether an approval goes on although something is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptStale {
    /// The person said so.
    Yes,
    /// Nobody has.
    No,
}

impl Question {
    /// As it is put.
    pub fn text(&self) -> String {
        match self {
            Self::Decide(view) => {
                let go_on = match view.phase_number.next() {
                    Some(next) => format!("[a]pprove and go on with {}", next.name()),
                    None => "[a]pprove the film".to_owned(),
                };
                format!("{go_on}, [e]dit the spec, [m]ake one again,\n[b]ranch, [r]eject with notes, or [q]uit? ")
            }
            Self::WhichOne(view) => {
                let keys: Vec<_> = own(view).map(|key| key.to_string()).collect();
                format!("Which one of {} (Enter: none)? ", keys.join(", "))
            }
            Self::HowElse(_, ArtifactKey::Spec) => "What should be different (Enter: another try)? ".to_owned(),
            Self::HowElse(_, key) => format!("What should {key} show instead (Enter: another try)? "),
            Self::BranchName(_) => "What is the branch called (Enter: an automatic name)? ".to_owned(),
            Self::Notes(view) => {
                format!("What should be different about the {} (Enter: nothing)? ", view.phase_number.name())
            }
            Self::GoOnStale(_) => "Go on all the same, [y]es or [n]o? ".to_owned(),
            Self::EditAgain(_) => "[e]dit again, or [b]ack? ".to_owned(),
            Self::Retry(_) => "[r]etry, or [q]uit? ".to_owned(),
        }
    }

    /// The checkpoint that it is about.
    pub fn checkpoint(&self) -> Option<CheckpointId> {
        match self {
            Self::Decide(view)
            | Self::WhichOne(view)
            | Self::HowElse(view, _)
            | Self::BranchName(view)
            | Self::Notes(view)
            | Self::GoOnStale(view) => Some(view.checkpoint_id),
            Self::EditAgain(draft) => Some(draft.view().checkpoint_id),
            Self::Retry(_) => None,
        }
    }

    /// What a line that was typed means.
    pub fn answer(self, line: &str) -> Next {
        let typed = line.trim();
        let said = (!typed.is_empty()).then(|| typed.to_owned());
        let word = typed.to_lowercase();
        match self {
            Self::Decide(view) => match word.as_str() {
                "a" | "approve" | "y" | "yes" => Next::Approve(view, AcceptStale::No),
                "e" | "edit" => Next::Edit(view),
                "m" | "make" => match view.phase_number {
                    Phase::Planning => Next::Ask(Self::HowElse(view, ArtifactKey::Spec)),
                    Phase::Storyboard | Phase::Chunks | Phase::Refine => Next::Ask(Self::WhichOne(view)),
                },
                "b" | "branch" => Next::Ask(Self::BranchName(view)),
                "r" | "reject" => Next::Ask(Self::Notes(view)),
                "q" | "quit" | "n" | "no" => Next::Quit,
                _ => Next::Ask(Self::Decide(view)),
            },
            Self::WhichOne(view) => match (named(&view, &word), said) {
                (Some(key), _) => Next::Ask(Self::HowElse(view, key)),
                (None, None) => Next::Ask(Self::Decide(view)),
                (None, Some(_)) => Next::Ask(Self::WhichOne(view)),
            },
            Self::HowElse(view, key) => Next::Regenerate(view, key, said),
            Self::BranchName(view) => Next::Fork(view, said),
            Self::Notes(view) => match said {
                Some(notes) => Next::Reject(view, notes),
                None => Next::Ask(Self::Decide(view)),
            },
            Self::GoOnStale(view) => match word.as_str() {
                "y" | "yes" => Next::Approve(view, AcceptStale::Yes),
                "" | "n" | "no" => Next::Ask(Self::Decide(view)),
                _ => Next::Ask(Self::GoOnStale(view)),
            },
            Self::EditAgain(draft) => match word.as_str() {
                "e" | "edit" | "y" | "yes" => Next::EditAgain(draft),
                "" | "b" | "back" | "n" | "no" => Next::Ask(Self::Decide(Box::new(draft.view().clone()))),
                _ => Next::Ask(Self::EditAgain(draft)),
            },
            Self::Retry(branch) => match word.as_str() {
                "r" | "retry" | "y" | "yes" => Next::Retry(branch),
                "q" | "quit" | "n" | "no" => Next::Quit,
                _ => Next::Ask(Self::Retry(branch)),
            },
        }
    }
}

/// What of a checkpoint can be made again, in order.
fn own(view: &CheckpointView) -> impl Iterator<Item = ArtifactKey> {
    let mut keys: Vec<_> = view.artifacts.values().map(|artifact| artifact.artifact_key).collect();
    keys.retain(|key| is_shown(*key, view));
    keys.sort_unstable();
    keys.into_iter()
}

/// The artifact that was typed; a number is enough for a picture or a chunk.
fn named(view: &CheckpointView, word: &str) -> Option<ArtifactKey> {
    let numbered = |key: &ArtifactKey| match key {
        ArtifactKey::Beat(n) | ArtifactKey::Chunk(n) => n.to_string() == word,
        ArtifactKey::Spec
        | ArtifactKey::ChunkLastFrame(_)
        | ArtifactKey::Stitched
        | ArtifactKey::Background
        | ArtifactKey::Final
        | ArtifactKey::Thumbnail => false,
    };
    own(view).find(|key| key.to_string() == word || numbered(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint_page::example::checkpoint;

    fn storyboard() -> Question {
        let keys = [ArtifactKey::Spec, ArtifactKey::Beat(0), ArtifactKey::Beat(1)];
        Question::Decide(Box::new(checkpoint(Phase::Storyboard, &keys)))
    }

    /// The question that an answer leads to.
    fn asked(next: Next) -> Question {
        let Next::Ask(question) = next else { panic!("another question") };
        question
    }

    #[test]
    fn every_offer_is_one_letter_in_brackets() {
        let text = storyboard().text();
        for letter in ["[a]", "[e]", "[m]", "[b]", "[r]", "[q]"] {
            assert!(text.contains(letter), "{letter} is not in {text}");
        }
        assert!(text.starts_with("[a]pprove and go on with chunks"), "{text}");
    }

    #[test]
    fn what_is_not_understood_is_asked_again() {
        for typed in ["", "x", "approved?", "ae", "a b"] {
            assert!(matches!(asked(storyboard().answer(typed)), Question::Decide(_)), "{typed}");
        }
        assert!(matches!(storyboard().answer(" A \n"), Next::Approve(_, AcceptStale::No)));
        assert!(matches!(storyboard().answer("q"), Next::Quit));
    }

    #[test]
    fn one_artifact_is_chosen_by_its_name_or_number_and_only_from_this_phase() {
        let which = || asked(storyboard().answer("m"));
        assert_eq!(which().text(), "Which one of beat_0, beat_1 (Enter: none)? ");
        for typed in ["beat_1", "1"] {
            assert!(matches!(asked(which().answer(typed)), Question::HowElse(_, ArtifactKey::Beat(1))), "{typed}");
        }
        for typed in ["spec", "7", "chunk_0"] {
            assert!(matches!(asked(which().answer(typed)), Question::WhichOne(_)), "{typed}");
        }
        assert!(matches!(asked(which().answer("")), Question::Decide(_)));
    }

    #[test]
    fn at_planning_there_is_only_the_spec_to_make_again() {
        let planning = Question::Decide(Box::new(checkpoint(Phase::Planning, &[ArtifactKey::Spec])));
        let how = asked(planning.answer("m"));
        let Next::Regenerate(_, ArtifactKey::Spec, Some(notes)) = how.answer("shorter") else { panic!("the spec") };
        assert_eq!(notes, "shorter");
    }

    #[test]
    fn rejecting_needs_notes_and_going_on_with_stale_things_a_yes() {
        assert!(matches!(asked(asked(storyboard().answer("r")).answer("")), Question::Decide(_)));
        assert!(
            matches!(asked(storyboard().answer("r")).answer("darker"), Next::Reject(_, notes) if notes == "darker")
        );
        let Question::Decide(view) = storyboard() else { panic!("a checkpoint") };
        assert!(matches!(Question::GoOnStale(view.clone()).answer("y"), Next::Approve(_, AcceptStale::Yes)));
        assert!(matches!(asked(Question::GoOnStale(view).answer("")), Question::Decide(_)));
    }
}
