//! A spec as a table that a person can read: beats with their times, shots and scenes, style, palette, music. Pure.

use messages::spec::{Beat, Color, Spec, Transition, TransitionKind};
use serde::Serialize;

use crate::columns::{clean, cut, pad, width, wrap};
use crate::screen::{Paint, SWATCH};

/// The lines of a spec, each at most `columns` wide.
pub fn lines(spec: &Spec, columns: usize, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let film = format!("{} s, {}, {}, {} fps", spec.duration, word(&spec.aspect_ratio), spec.resolution, spec.fps);
    let style = [spec.style.aesthetic.as_str(), &word(&spec.style.mood), &spec.style.lighting].join(" · ");
    for (name, text) in [
        ("product", format!("{} ({})", spec.product.name, spec.product.category)),
        ("film", film),
        ("template", spec.template.clone()),
        ("style", style),
    ] {
        lines.extend(labelled(name, &text, columns, paint));
    }
    lines.extend(palette(spec, columns, paint));
    lines.extend(labelled("music", &music(spec), columns, paint));
    lines.push(String::new());
    lines.extend(beats(spec, columns, paint));
    lines.push(String::new());
    lines.extend(labelled("why", &spec.reasoning.archetype, columns, paint));
    lines.extend(labelled("", &spec.reasoning.beats, columns, paint));
    lines
}

/// Columns of the names on the left.
pub const NAME: usize = 11;

/// `name  text`, wrapped beside its name; nothing when there is no text.
pub fn labelled(name: &str, text: &str, columns: usize, paint: Paint) -> Vec<String> {
    let text = clean(text);
    // Too narrow for two columns of text: the name gets a line of its own.
    if columns < 3 * NAME {
        let name = (!name.is_empty()).then(|| paint.dim(&cut(name, columns)));
        let text = wrap(&text, columns.saturating_sub(2)).into_iter().map(|line| format!("  {line}"));
        let text: Vec<_> = text.collect();
        return if text.is_empty() { text } else { name.into_iter().chain(text).collect() };
    }
    wrap(&text, columns - NAME)
        .into_iter()
        .enumerate()
        .map(|(i, line)| format!("{}{line}", paint.dim(&pad(if i == 0 { name } else { "" }, NAME))))
        .collect()
}

/// Every colour as a block and as a word; as many on a line as fit.
fn palette(spec: &Spec, columns: usize, paint: Paint) -> Vec<String> {
    let block = if paint.has_swatches() { SWATCH + 1 } else { 0 };
    // `#rrggbb` and the gap after it.
    let each = block + 9;
    let (indent, room) = if columns < 3 * NAME { (2, columns.saturating_sub(2)) } else { (NAME, columns - NAME) };
    let mut lines = Vec::new();
    for (i, colors) in spec.style.color_palette.chunks((room / each).max(1)).enumerate() {
        let name = if i == 0 && indent == NAME { paint.dim(&pad("palette", NAME)) } else { " ".repeat(indent) };
        let entry = |color: &Color| match block {
            0 => color.to_string(),
            _ => format!("{} {color}", paint.swatch(*color)),
        };
        lines.push(name + &colors.iter().map(entry).collect::<Vec<_>>().join("  "));
    }
    if indent != NAME {
        lines.insert(0, paint.dim(&cut("palette", columns)));
    }
    lines
}

fn music(spec: &Spec) -> String {
    let audio = &spec.audio;
    if !audio.music {
        return "none".to_owned();
    }
    let fades = format!("fades in {} s, out {} s", audio.fade_in_s, audio.fade_out_s);
    format!("{}, {}, {}; {fades}", word(&audio.music_style), word(&audio.tempo), word(&audio.mood))
}

fn beats(spec: &Spec, columns: usize, paint: Paint) -> Vec<String> {
    let rows: Vec<[String; 5]> = spec.beats.iter().enumerate().map(|(i, beat)| cells(i, beat)).collect();
    let heads = ["#", "time", "beat", "shot", "camera"];
    let widest =
        |column: usize| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0).max(width(heads[column]));
    let widths: [usize; 5] = std::array::from_fn(widest);
    let table: usize = widths.iter().sum::<usize>() + 2 * (widths.len() - 1);
    let line = |cells: [&str; 5]| {
        let padded: Vec<_> = cells.iter().zip(widths).map(|(cell, columns)| pad(cell, columns)).collect();
        padded.join("  ").trim_end().to_owned()
    };

    let fits = table <= columns;
    let mut lines = Vec::new();
    if fits {
        lines.push(paint.dim(&line(heads)));
    }
    for (i, (row, beat)) in rows.iter().zip(&spec.beats).enumerate() {
        let [number, time, name, shot, camera] = row;
        if fits {
            lines.push(paint.bold(&line([number, time, name, shot, camera])));
        } else {
            lines.push(paint.bold(&cut(&format!("{number}  {time}  {name}"), columns)));
            lines.extend(indented(&format!("{shot}, {camera}"), columns));
        }
        lines.extend(indented(&beat.prompt, columns));
        if let Some(transition) = spec.transitions.iter().find(|transition| transition.after_beat as usize == i) {
            lines.extend(joint(transition).map(|text| paint.dim(&cut(&text, columns))));
        }
    }
    lines
}

fn cells(i: usize, beat: &Beat) -> [String; 5] {
    let end = beat.start.saturating_add(beat.duration);
    [
        (i + 1).to_string(),
        format!("{}-{}", clock(beat.start), clock(end)),
        clean(&beat.beat_id),
        clean(&beat.shot_type),
        clean(&beat.camera_movement),
    ]
}

/// Minutes and seconds.
fn clock(seconds: u32) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn indented(text: &str, columns: usize) -> Vec<String> {
    wrap(&clean(text), columns.saturating_sub(3)).into_iter().map(|line| format!("   {line}")).collect()
}

/// What stands between two beats; a cut needs no words.
fn joint(transition: &Transition) -> Option<String> {
    let name = match transition.kind {
        TransitionKind::Cut => return None,
        TransitionKind::Fade => "fade through black",
        TransitionKind::Crossfade => "crossfade",
    };
    Some(format!("   ↓ {name}, {} s", transition.duration))
}

/// The word that a value is written as.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
pub(crate) mod example {
    use super::Spec;

    /// A spec as a planner makes them.
    pub fn watch(name: &str, prompt: &str) -> Spec {
        serde_json::from_value(serde_json::json!({
            "template": "luxury_showcase", "duration": 15, "fps": 30, "resolution": "1280x720", "aspect_ratio": "16:9",
            "product": {"name": name, "category": "luxury"},
            "style": {"aesthetic": "refined still life", "color_palette": ["#0b0b0d", "#d4af37", "#f5efe0"],
                      "mood": "elegant", "lighting": "soft key from the left"},
            "audio": {"music_style": "cinematic", "tempo": "slow", "mood": "elegant"},
            "transitions": [{"after_beat": 0, "type": "crossfade", "duration": 0.5}, {"after_beat": 1, "type": "cut"}],
            "beats": [
                {"beat_id": "hero_shot", "start": 0, "duration": 5, "shot_type": "close_up", "action": "product_reveal",
                 "camera_movement": "slow_dolly_in", "typical_position": "opening", "energy_level": "medium", "prompt": prompt},
                {"beat_id": "detail_showcase", "start": 5, "duration": 5, "shot_type": "macro", "action": "feature_highlight",
                 "camera_movement": "pan_across", "typical_position": "middle", "energy_level": "low", "prompt": prompt},
                {"beat_id": "call_to_action", "start": 10, "duration": 5, "shot_type": "close_up", "action": "final_impression",
                 "camera_movement": "static_hold", "typical_position": "closing", "energy_level": "medium", "prompt": prompt},
            ],
            "reasoning": {"archetype": "An elegant watch asks for a luxury showcase.", "beats": "Three beats of 5 s."}
        }))
        .expect("a spec")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_finds_every_beat_with_its_time_and_scene() {
        let text =
            lines(&example::watch("mechanical watch", "A gold watch on black velvet"), 100, Paint::plain()).join("\n");
        for part in [
            "mechanical watch (luxury)",
            "15 s, 16:9, 1280x720, 30 fps",
            "#0b0b0d  #d4af37  #f5efe0",
            "cinematic, slow, elegant; fades in 1 s, out 2 s",
            "1  0:00-0:05  hero_shot        close_up  slow_dolly_in",
            "3  0:10-0:15  call_to_action   close_up  static_hold",
            "   A gold watch on black velvet",
            "↓ crossfade, 0.5 s",
            "An elegant watch asks for a luxury showcase.",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("cut"), "a cut needs no words\n{text}");
    }

    #[test]
    fn no_line_runs_over_a_narrow_terminal() {
        let spec = example::watch(
            "機械式時計 ⌚️",
            "優雅な金色の機械式時計が黒いベルベットの上に置かれている 🎬✨ and some latin words",
        );
        for columns in 10..120 {
            for line in lines(&spec, columns, Paint::plain()) {
                assert!(width(&line) <= columns, "{columns}: `{line}`");
            }
        }
    }

    #[test]
    fn escape_sequences_of_a_model_reach_no_terminal() {
        let spec = example::watch("watch\x1b[2J", "a\x1b]0;title\u{7} scene");
        let text = lines(&spec, 80, Paint::plain()).concat();
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
