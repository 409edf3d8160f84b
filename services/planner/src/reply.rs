//! A language model's reply becomes a spec, or a list of what is wrong with it. Pure.
//!
//! A reply is from outside: it may be prose, a fragment, or JSON with fields of its own. Only what a planner decides is
//! taken from it; lengths, sizes and camera follow from the job and its library.

use messages::planner::PlanSpec;
use messages::spec::{
    AspectRatio, Audio, Beat, Color, Mood, MusicStyle, Product, Reasoning, Spec, Style, Tempo, Transition,
};
use messages::violation::Violation;
use serde::Deserialize;

/// Frames a second of a film when the reply says nothing.
const FPS: u32 = 30;

/// Reads a reply and checks it with the spec's own rules.
pub fn read(text: &str, plan: &PlanSpec, requested_s: u32) -> Result<Spec, Vec<Violation>> {
    let object = text.find('{').zip(text.rfind('}')).and_then(|(from, to)| text.get(from..=to));
    let object = object.ok_or_else(|| vec![Violation::new("(reply)", "is not a JSON object")])?;
    let draft: Draft =
        serde_json::from_str(object).map_err(|e| vec![Violation::new("(reply)", format!("is not a plan: {e}"))])?;
    let mut spec = draft.into_spec(plan)?;
    spec.derive();
    let violations = spec.violations(&plan.library, Some(requested_s));
    if violations.is_empty() { Ok(spec) } else { Err(violations) }
}

#[derive(Deserialize)]
struct Draft {
    template: String,
    fps: Option<u32>,
    aspect_ratio: Option<AspectRatio>,
    product: DraftProduct,
    style: DraftStyle,
    audio: DraftAudio,
    #[serde(default)]
    transitions: Vec<Transition>,
    beats: Vec<DraftBeat>,
    #[serde(default)]
    reasoning: DraftReasoning,
}

#[derive(Deserialize)]
struct DraftProduct {
    name: String,
    category: String,
}

#[derive(Deserialize)]
struct DraftStyle {
    aesthetic: String,
    color_palette: Vec<Color>,
    mood: Mood,
    lighting: String,
}

#[derive(Deserialize)]
struct DraftAudio {
    music_style: MusicStyle,
    tempo: Tempo,
    mood: Mood,
    music: Option<bool>,
}

#[derive(Deserialize)]
struct DraftBeat {
    beat_id: String,
    prompt: String,
}

#[derive(Deserialize, Default)]
struct DraftReasoning {
    #[serde(default)]
    archetype: String,
    #[serde(default)]
    beats: String,
}

impl Draft {
    fn into_spec(self, plan: &PlanSpec) -> Result<Spec, Vec<Violation>> {
        let mut unknown = Vec::new();
        let mut beats = Vec::new();
        for (i, beat) in self.beats.into_iter().enumerate() {
            match plan.library.beat(&beat.beat_id) {
                Some(known) => beats.push(Beat::from_library(known, beat.prompt)),
                None => unknown.push(Violation::new(format!("beats[{i}].beat_id"), "is not in the beat library")),
            }
        }
        if let Some(wanted) = plan.template.as_ref().filter(|wanted| **wanted != self.template) {
            unknown.push(Violation::new("template", format!("must be `{wanted}`, as was asked for")));
        }
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let aspect_ratio = plan.aspect_ratio.or(self.aspect_ratio).unwrap_or_default();
        let DraftStyle { aesthetic, color_palette, mood, lighting } = self.style;
        Ok(Spec {
            template: self.template,
            duration: 0,
            fps: self.fps.unwrap_or(FPS),
            resolution: aspect_ratio.size(),
            aspect_ratio,
            product: Product { name: self.product.name, category: self.product.category },
            style: Style { aesthetic, color_palette, mood, lighting },
            audio: Audio {
                music_style: self.audio.music_style,
                tempo: self.audio.tempo,
                mood: self.audio.mood,
                music: self.audio.music.unwrap_or(!plan.video_model.own_sound),
                music_gain_db: 0.0,
                native_gain_db: 0.0,
                fade_in_s: 1.0,
                fade_out_s: 2.0,
            },
            transitions: self.transitions,
            beats,
            reasoning: Reasoning { archetype: self.reasoning.archetype, beats: self.reasoning.beats },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::tests::plan_of;
    use crate::rules;

    #[test]
    fn a_spec_survives_being_a_reply_also_inside_prose() {
        let plan = plan_of("A 20 second ad for a lamp");
        let spec = rules::plan(&plan).expect("planned");
        let json = serde_json::to_string(&spec).expect("writes");
        assert_eq!(read(&json, &plan, 20).expect("valid"), spec);
        assert_eq!(read(&format!("Sure!\n```json\n{json}\n```"), &plan, 20).expect("valid"), spec);
    }

    #[test]
    fn what_is_wrong_with_a_reply_is_said_by_field() {
        let plan = plan_of("A 20 second ad for a lamp");
        let spec = rules::plan(&plan).expect("planned");
        let reasons = |text: &str, seconds| read(text, &plan, seconds).expect_err("invalid").remove(0);
        assert_eq!(reasons("I would rather not.", 20).field, "(reply)");
        assert!(reasons("{\"template\": \"x\"}", 20).reason.contains("missing field"));
        let json = serde_json::to_string(&spec).expect("writes");
        assert_eq!(reasons(&json, 60).field, "beats");
        assert_eq!(reasons(&json.replace(&spec.beats[0].beat_id, "explosion"), 20).field, "beats[0].beat_id");
    }
}
