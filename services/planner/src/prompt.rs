//! A plan job in words for a language model. Pure.

use std::fmt::Write as _;

use messages::planner::PlanSpec;
use messages::spec::{MAX_BEATS, rounded_duration};
use messages::violation::Violation;

/// How freely a model may choose, for a creativity of 0 to 1.
pub fn temperature(creativity: f64) -> f64 {
    0.2 + 0.6 * creativity.clamp(0.0, 1.0)
}

/// The whole prompt: task, rules, what there is to choose from, the brief, and what was wrong with the last reply.
pub fn compose(plan: &PlanSpec, requested_s: u32, broken: &[Violation]) -> String {
    let total = rounded_duration(requested_s);
    let mut out = String::from(
        "Plan an advertising film. Answer with one JSON object and nothing else. Its fields: template; aspect_ratio; \
         product {name, category}; style {aesthetic, color_palette, mood, lighting}; audio {music_style, tempo, mood, music}; \
         transitions [{after_beat, type, duration}]; beats [{beat_id, prompt}]; reasoning {archetype, beats}.\n\nRules:\n",
    );
    // Writing to a string cannot fail.
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    line(format!("- The beats last {total} s together; there are 1 to {MAX_BEATS} of them, each as long as listed."));
    line(
        "- The first beat is of the opening group, the last of the closing group; no beat stands beside itself.".into(),
    );
    line(
        "- A beat's prompt is a scene of under 40 words: one action, at most two people, one simple background.".into(),
    );
    line(
        "- Write prompts, aesthetic and lighting in the language of the brief; color_palette has 3 to 5 `#rrggbb`."
            .into(),
    );
    line("- mood: energetic, elegant, minimalist, emotional or informative. tempo: slow, medium or fast.".into());
    line(
        "- music_style: upbeat, cinematic, corporate, calm, energetic or advertising. type: cut, fade or crossfade."
            .into(),
    );

    line("\nBeats (id, seconds, group, energy, action, products):".into());
    for beat in &plan.library.beats {
        let products = beat.products.join("/");
        line(format!(
            "- {}, {}, {:?}, {:?}, {}, {products}",
            beat.beat_id, beat.duration, beat.position, beat.energy_level, beat.action
        ));
    }
    match &plan.template {
        Some(template) => line(format!("\nThe template is `{template}`.")),
        None => {
            line("\nTemplates (id, meant for, suggested beats):".into());
            for archetype in &plan.library.archetypes {
                let (meant, beats) = (archetype.meant_for.join("/"), archetype.suggested_beats.join("/"));
                line(format!("- {}, {meant}, {beats}", archetype.id));
            }
        }
    }
    line(format!("\nBrief:\n{}", plan.prompt));
    for (name, text) in [("Title", &plan.title), ("Description", &plan.description)] {
        if let Some(text) = text {
            line(format!("{name}: {text}"));
        }
    }
    if plan.video_model.own_sound {
        line("The clips have their own sound: music is false unless the brief asks for music.".into());
    }
    if !plan.notes.is_empty() {
        line("\nA reviewer rejected earlier versions and said, the last note counting most:".into());
        plan.notes.iter().for_each(|note| line(format!("- {note}")));
    }
    if !broken.is_empty() {
        line("\nYour last answer broke these rules; answer again, whole:".into());
        broken.iter().for_each(|violation| line(format!("- {}: {}", violation.field, violation.reason)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::tests::plan_of;

    #[test]
    fn the_prompt_says_the_brief_the_notes_and_what_was_wrong() {
        let mut plan = plan_of("Tea in the morning");
        plan.notes = vec!["more green".into()];
        let words = compose(&plan, 32, &[Violation::new("beats", "too long")]);
        for part in ["Tea in the morning", "more green", "beats: too long", "last 30 s", "hero_shot, 5, Opening"] {
            assert!(words.contains(part), "{part}");
        }
    }

    #[test]
    fn creativity_becomes_a_temperature() {
        assert_eq!([temperature(0.0), temperature(1.0), temperature(9.0)], [0.2, 0.8, 0.8]);
    }
}
