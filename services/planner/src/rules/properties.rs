//! What holds for every spec that the rules write, whatever is asked.

use std::collections::HashSet;

use messages::catalogue::{Catalogue, Position};
use messages::spec::{AspectRatio, MAX_DURATION_S, MIN_DURATION_S};

use super::*;
use crate::handler::tests::plan_of;

#[test]
fn every_length_archetype_and_prompt_gives_a_valid_spec() {
    let prompts = ["A mechanical watch, elegant", "Laufschuhe für alle", "Реклама нашего банка", "抹茶", "!!!"];
    let mut plan = plan_of("");
    let archetypes: Vec<_> = plan.library.archetypes.iter().map(|archetype| archetype.id.clone()).collect();
    for seconds in MIN_DURATION_S..=MAX_DURATION_S {
        for (i, template) in archetypes.iter().enumerate() {
            plan.prompt = prompts[(seconds as usize + i) % prompts.len()].to_owned();
            plan.duration = Some(seconds);
            plan.template = Some(template.clone());
            plan.seed = u64::from(seconds);
            plan.creativity = f64::from(seconds % 11) / 10.0;
            check(&plan, seconds);
        }
    }
}

fn check(plan: &PlanSpec, seconds: u32) -> Spec {
    let spec = super::plan(plan).unwrap_or_else(|e| panic!("{} at {seconds} s: {e}", plan.prompt));
    let context = format!("{:?} at {seconds} s as {}", plan.prompt, spec.template);
    assert_eq!(spec.violations(&plan.library, Some(seconds)), [], "{context}");
    assert_eq!((spec.duration, spec.fps), (rounded_duration(seconds), 30), "{context}");
    if spec.beats.len() > 1 {
        assert_eq!(spec.warnings(), [""; 0], "{context}");
    }
    assert!(spec.beats.windows(2).all(|pair| pair[0].beat_id != pair[1].beat_id), "{context}: a beat beside itself");
    let scenes: HashSet<_> = spec.beats.iter().map(|beat| &beat.prompt).collect();
    assert_eq!(scenes.len(), spec.beats.len(), "{context}: a scene is told twice");
    let colors: HashSet<_> = spec.style.color_palette.iter().collect();
    assert_eq!(colors.len(), spec.style.color_palette.len(), "{context}");
    for beat in &spec.beats {
        let named = beat.prompt.to_lowercase().contains(&spec.product.name.to_lowercase());
        assert!(named && !beat.prompt.contains('{'), "{context}: {}", beat.prompt);
    }
    assert!(!spec.reasoning.archetype.is_empty() && !spec.reasoning.beats.is_empty(), "{context}");
    assert!(!spec.style.aesthetic.is_empty() && !spec.style.lighting.is_empty(), "{context}");
    spec
}

#[test]
fn a_library_of_ones_own_is_planned_with_or_refused_with_a_reason() {
    let shipped = plan_of("A lamp").library;
    let keep = |keep: &dyn Fn(&LibraryBeat) -> bool| {
        let mut library = shipped.clone();
        library.beats.retain(|beat| keep(beat));
        library
    };
    let slow = |position| {
        shipped
            .beats
            .iter()
            .find(|beat| beat.position == position)
            .cloned()
            .map(|beat| LibraryBeat { duration: 15, ..beat })
    };
    let only_long = Catalogue {
        beats: [Position::Opening, Position::Middle, Position::Closing].into_iter().filter_map(slow).collect(),
        ..shipped.clone()
    };
    for library in [
        keep(&|beat| beat.position != Position::Middle || beat.duration == 10),
        keep(&|beat| beat.beat_id == "hero_shot" || beat.duration == 10),
        keep(&|beat| ["hero_shot", "benefit_showcase", "call_to_action"].contains(&beat.beat_id.as_str())),
        keep(&|beat| beat.beat_id == "usage_scenario"),
        only_long,
    ] {
        for seconds in (5..=180).step_by(5) {
            let lengths: Vec<_> = library.beats.iter().map(|beat| beat.duration).collect();
            let mut plan = plan_of("A lamp");
            plan.duration = Some(seconds);
            plan.library = library.clone();
            match super::plan(&plan) {
                Ok(spec) => assert_eq!(spec.violations(&library, Some(seconds)), [], "{seconds} s of {lengths:?}"),
                Err(reason) => {
                    let divisor = if lengths.iter().all(|length| length % 15 == 0) { 15 } else { 10 };
                    assert!(
                        lengths.iter().all(|length| length % divisor == 0) && seconds % divisor != 0,
                        "{seconds} s of {lengths:?}"
                    );
                    assert!(reason.contains(&format!("{seconds} s")), "{reason}");
                }
            }
        }
    }
}

#[test]
fn strange_prompts_still_make_a_film_about_something() {
    let long_word = "x".repeat(1000);
    let long_prompt = "very ".repeat(5000);
    for (prompt, name) in [
        ("", "the product"),
        ("?!... --- ;;;", "the product"),
        ("🎬🔥🔥", "the product"),
        ("\u{0}\u{7}\u{1b}[31m", "the product"),
        (long_word.as_str(), "the product"),
        ("123 456", "the product"),
        ("「」、。", "the product"),
        ("我们的", "产品"),
        ("の", "商品"),
        ("{product} {studio}", "product"),
        ("🚲 ad for a bike 🚲", "bike"),
        ("e\u{301}\u{301}tui", "e\u{301}\u{301}tui"),
    ] {
        let plan = plan_of(prompt);
        let spec = super::plan(&plan).expect("planned");
        assert_eq!(spec.violations(&plan.library, Some(30)), [], "{prompt:?}");
        assert_eq!(spec.product.name, name, "{prompt:?}");
    }
    let plan = plan_of(&long_prompt);
    assert_eq!(super::plan(&plan).expect("planned").violations(&plan.library, Some(30)), []);
}

#[test]
fn the_same_seed_gives_the_same_spec_and_another_other_scenes() {
    let with_seed = |seed| {
        let mut plan = plan_of("An ad for running shoes");
        plan.seed = seed;
        super::plan(&plan).expect("planned")
    };
    assert_eq!(with_seed(1), with_seed(1));
    let scenes = |seed| with_seed(seed).beats.into_iter().map(|beat| beat.prompt).collect::<Vec<_>>();
    assert!((2..8).all(|seed| scenes(seed) != scenes(1)));
}

#[test]
fn notes_move_the_film_and_the_latest_counts_most() {
    let after = |notes: &[&str]| {
        let mut plan = plan_of("A 30 second ad for a mechanical watch, elegant, in gold");
        plan.notes = notes.iter().map(|note| (*note).to_owned()).collect();
        super::plan(&plan).expect("planned")
    };
    let plain = after(&[]);
    assert_eq!(after(&["make it shorter"]).duration, 20);
    assert_eq!(after(&["länger bitte"]).duration, 45);
    assert_eq!(after(&["make it shorter", "make it 60 seconds"]).duration, 60);
    assert_eq!(after(&["more energetic"]).style.mood, Mood::Energetic);
    assert_eq!(after(&["more energetic", "no, calmer"]).style.mood, Mood::Minimalist);
    let blue = after(&["use blue"]).style.color_palette;
    assert_eq!(blue[0].to_string(), "#2459c9");
    assert!(blue.contains(&plain.style.color_palette[0]), "gold stays");
    assert!(!after(&["no gold"]).style.color_palette.contains(&plain.style.color_palette[0]));
    assert_eq!(after(&["make it vertical"]).aspect_ratio, AspectRatio::Portrait);
    assert!(!after(&["without music"]).audio.music);
    assert_ne!(after(&["hm, not sure"]).beats, plain.beats);
    assert_eq!(after(&["more energetic"]).product, plain.product);
}

#[test]
fn a_length_in_the_request_binds_and_a_note_against_it_is_a_warning() {
    let mut plan = plan_of("A 60 second ad for a lamp");
    plan.duration = Some(20);
    plan.notes = vec!["much longer".into()];
    assert_eq!(super::plan(&plan).expect("planned").duration, 20);
    assert!(requested(&plan).expect("read").warning.is_some_and(|warning| warning.contains("20 s")));
}

#[test]
fn w35_clips_with_sound_of_their_own_get_no_music_unless_it_is_asked_for() {
    let music = |prompt: &str| {
        let mut plan = plan_of(prompt);
        plan.video_model.own_sound = true;
        super::plan(&plan).expect("planned").audio.music
    };
    assert!(!music("A car on a coastal road"));
    assert!(music("A car on a coastal road, with epic music"));
    assert!(!music("A car on a coastal road, no music"));
}

#[test]
fn nobody_is_seen_when_the_prompt_wants_no_people() {
    let mut plan = plan_of("A 60 second ad for a coffee machine, no people");
    for seed in 0..10 {
        plan.seed = seed;
        for beat in super::plan(&plan).expect("planned").beats {
            assert!(!["person", "woman", " man "].iter().any(|who| beat.prompt.contains(who)), "{}", beat.prompt);
        }
    }
}

#[test]
fn what_the_request_says_outweighs_the_prompt() {
    let mut plan = plan_of("A 60 second vertical ad for a mechanical watch");
    plan.duration = Some(10);
    plan.aspect_ratio = Some(AspectRatio::Square);
    plan.template = Some("feature_demo".into());
    let spec = super::plan(&plan).expect("planned");
    assert_eq!((spec.duration, spec.aspect_ratio, spec.template.as_str()), (10, AspectRatio::Square, "feature_demo"));
    plan.template = Some("soap_opera".into());
    assert!(super::plan(&plan).expect_err("unknown").contains("luxury_showcase"));
}

#[test]
fn lively_films_are_cut_and_elegant_ones_flow() {
    let kinds = |prompt: &str| super::plan(&plan_of(prompt)).expect("planned").transitions;
    let energetic = kinds("Energetic 20 second ad for sneakers");
    let (last, others) = energetic.split_last().expect("more than one beat");
    assert!(last.kind == TransitionKind::Fade && others.iter().all(|t| t.kind == TransitionKind::Cut), "{energetic:?}");
    let elegant = kinds("Elegant 25 second ad for a mechanical watch");
    assert!(
        elegant.iter().any(|t| t.kind == TransitionKind::Crossfade && (0.5..=1.0).contains(&t.duration)),
        "{elegant:?}"
    );
}

#[test]
fn a_library_may_know_products_and_archetypes_of_its_own() {
    let mut plan = plan_of("An ad for our bagpipes");
    plan.library.beats[5].products.push("bagpipes".into());
    plan.library.archetypes.push(Archetype {
        id: "highland".into(),
        meant_for: vec!["bagpipes".into()],
        ..plan.library.archetypes[2].clone()
    });
    let spec = super::plan(&plan).expect("planned");
    assert_eq!((spec.template.as_str(), spec.product.category.as_str()), ("highland", "bagpipes"));
}
