//! Which chunks a film has, and how many frames each.

use chunk::frames::Span;
use messages::catalogue::Energy;
use messages::chunk::{PlannedChunk, plan};
use messages::spec::{AspectRatio, Audio, Mood, MusicStyle, Product, Reasoning, Spec, Style, Tempo};

use crate::harness::beat;

/// A spec with beats of these lengths.
fn spec(durations: &[u32], fps: u32) -> Spec {
    let mut start = 0;
    let beats = durations.iter().map(|duration| {
        let mut beat = beat("static", *duration);
        beat.start = start;
        beat.energy_level = Energy::Low;
        start += duration;
        beat
    });
    Spec {
        template: "minimalist_reveal".to_owned(),
        beats: beats.collect(),
        duration: start,
        fps,
        resolution: AspectRatio::Landscape.size(),
        aspect_ratio: AspectRatio::Landscape,
        product: Product { name: "watch".to_owned(), category: "luxury".to_owned() },
        style: Style {
            aesthetic: String::new(),
            color_palette: Vec::new(),
            mood: Mood::Elegant,
            lighting: String::new(),
        },
        audio: Audio {
            music_style: MusicStyle::Calm,
            tempo: Tempo::Slow,
            mood: Mood::Elegant,
            music: true,
            music_gain_db: 0.0,
            native_gain_db: 0.0,
            fade_in_s: 1.0,
            fade_out_s: 2.0,
        },
        transitions: Vec::new(),
        reasoning: Reasoning::default(),
    }
}

/// Beat, start, duration, offset and whether it is chained.
fn rows(chunks: &[PlannedChunk]) -> Vec<(u32, f64, f64, f64, bool)> {
    chunks
        .iter()
        .map(|chunk| (chunk.beat_index, chunk.start_s, chunk.duration_s, chunk.offset_in_beat_s, chunk.chained))
        .collect()
}

#[test]
fn beat_boundaries_are_chunk_boundaries_w32() {
    let chunks = plan(&spec(&[5, 10, 15], 30), Some(6.0), true);
    let expected = [
        (0, 0.0, 5.0, 0.0, false),
        (1, 5.0, 6.0, 0.0, false),
        (1, 11.0, 4.0, 6.0, true),
        (2, 15.0, 6.0, 0.0, false),
        (2, 21.0, 6.0, 6.0, true),
        (2, 27.0, 3.0, 12.0, true),
    ];
    assert_eq!(rows(&chunks), expected);
}

#[test]
fn every_beat_begins_with_its_own_picture_also_the_last_w32() {
    for clip_s in [None, Some(5.0), Some(6.0), Some(7.5)] {
        let chunks = plan(&spec(&[5, 5, 10, 5], 30), clip_s, true);
        for beat in 0..4 {
            let first = chunks.iter().find(|chunk| chunk.beat_index == beat).expect("every beat has a chunk");
            assert!(!first.chained && first.offset_in_beat_s == 0.0, "{first:?}");
        }
    }
}

#[test]
fn every_later_chunk_of_a_beat_continues_from_its_neighbour_w33() {
    let chunks = plan(&spec(&[15, 15], 30), Some(4.0), true);
    assert_eq!(chunks.len(), 8);
    for pair in chunks.windows(2) {
        let same_beat = pair[0].beat_index == pair[1].beat_index;
        assert_eq!(pair[1].chained, same_beat, "{pair:?}");
        if same_beat {
            assert_eq!(pair[1].offset_in_beat_s, pair[0].offset_in_beat_s + pair[0].duration_s);
        }
    }
}

#[test]
fn chunks_have_as_many_frames_together_as_the_film_w32() {
    for fps in [24, 25, 30, 60] {
        for clip_s in [None, Some(4.7), Some(5.0), Some(5.33), Some(6.0), Some(8.0 / 3.0)] {
            let spec = spec(&[5, 10, 15, 5], fps);
            let mut next = 0;
            for chunk in plan(&spec, clip_s, true) {
                let beat = &spec.beats[chunk.beat_index as usize];
                let span = Span::of(&chunk, beat, fps).expect("a planned chunk has frames");
                assert_eq!(span.start, next, "{fps} {clip_s:?} {chunk:?}");
                assert_eq!(span.beat_start, beat.start * fps);
                next = span.end;
            }
            assert_eq!(next, 35 * fps, "{fps} {clip_s:?}");
        }
    }
}

#[test]
fn chunks_of_a_model_that_cannot_go_on_from_a_frame_wait_for_none() {
    let chunks = plan(&spec(&[15], 30), Some(2.5), false);
    assert_eq!(chunks.len(), 6);
    assert!(chunks.iter().all(|chunk| !chunk.chained), "{chunks:?}");
}

#[test]
fn a_place_outside_of_its_beat_is_no_plan() {
    let chunk =
        PlannedChunk { index: 0, beat_index: 0, start_s: 0.0, duration_s: 5.0, offset_in_beat_s: 0.0, chained: false };
    let beat = beat("static", 5);
    assert!(Span::of(&chunk, &beat, 30).is_some());
    for broken in [
        PlannedChunk { duration_s: 7.0, ..chunk.clone() },
        PlannedChunk { duration_s: 0.0, ..chunk.clone() },
        PlannedChunk { duration_s: f64::NAN, ..chunk.clone() },
        PlannedChunk { start_s: f64::INFINITY, ..chunk.clone() },
        PlannedChunk { start_s: -3.0, ..chunk.clone() },
        PlannedChunk { offset_in_beat_s: 2.0, ..chunk.clone() },
        PlannedChunk { duration_s: 0.001, ..chunk.clone() },
    ] {
        assert_eq!(Span::of(&broken, &beat, 30), None, "{broken:?}");
    }
}
