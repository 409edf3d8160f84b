//! PURE: words a beat for an image model. No choices are made here; the job holds them all.

use messages::storyboard::DrawBeat;

/// What a picture should have, in every film.
const QUALITY: &str = "professional product photography, sharp focus, high detail, cinematic composition, 8k";

/// What a picture should not have: blur, watermarks, text, crowds.
pub const NEGATIVE: &str = "blurry, out of focus, low quality, distorted, deformed, watermark, logo, signature, text, \
                            letters, caption, crowd, cluttered, extra limbs";

/// The prompt: scene, palette, lighting, aesthetic, quality, framing, in that order. Parts that are empty are left out.
pub fn prompt(work: &DrawBeat) -> String {
    let style = &work.style;
    let palette = style.color_palette.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let part = |text: &str, worded: String| if text.trim().is_empty() { String::new() } else { worded };
    [
        work.beat.prompt.trim().trim_end_matches('.').to_owned(),
        part(&palette, format!("color palette {palette}")),
        part(&style.lighting, format!("{} lighting", style.lighting.trim().trim_end_matches("lighting").trim_end())),
        part(
            &style.aesthetic,
            format!("{} aesthetic", style.aesthetic.trim().trim_end_matches("aesthetic").trim_end()),
        ),
        QUALITY.to_owned(),
        framing(&work.beat.shot_type),
    ]
    .into_iter()
    .filter(|part| !part.is_empty())
    .collect::<Vec<_>>()
    .join(", ")
}

/// How a shot type is said to an image model; an unknown one is said in its own words.
fn framing(shot_type: &str) -> String {
    match shot_type {
        "close_up" => "close-up shot, the subject fills the frame".to_owned(),
        "wide" => "wide shot, the subject in its surroundings".to_owned(),
        "extreme_close_up" => "extreme close-up, a detail fills the frame".to_owned(),
        "dynamic" => "dynamic angle, energetic composition".to_owned(),
        "macro" => "macro photography, shallow depth of field".to_owned(),
        "tracking" => "tracking shot, motion blur in the background".to_owned(),
        "medium" => "medium shot, the subject and its immediate surroundings".to_owned(),
        "medium_close_up" => "medium close-up shot".to_owned(),
        "dynamic_multi" => "dynamic angle, several points of view".to_owned(),
        "medium_wide" => "medium wide shot".to_owned(),
        "wide_cinematic" => "wide cinematic shot, large sky, the subject small in the frame".to_owned(),
        other if other.trim().is_empty() => String::new(),
        other => format!("{} shot", other.replace('_', " ").trim().trim_end_matches("shot").trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn the_parts_stand_in_their_order() {
        let text = prompt(&sample::beat());
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("`{part}` is missing in `{text}`"));
        let places = [
            at("A steel watch on black stone"),
            at("#101820"),
            at("dramatic lighting"),
            at("timeless luxury aesthetic"),
            at("sharp focus"),
            at("close-up shot"),
        ];
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn empty_parts_leave_no_trace() {
        let mut work = sample::beat();
        work.style.lighting = " ".into();
        work.style.aesthetic = String::new();
        work.beat.shot_type = "over_the_shoulder".into();
        let text = prompt(&work);
        assert!(!text.contains("lighting") && !text.contains("aesthetic") && !text.contains(", ,"), "{text}");
        assert!(text.ends_with("over the shoulder shot"), "{text}");
    }

    #[test]
    fn what_must_not_be_seen_is_named() {
        for word in ["blurry", "watermark", "text", "crowd"] {
            assert!(NEGATIVE.contains(word), "{word}");
        }
    }
}
