//! Whether a film is what the spec says and plays everywhere: looked at with `ffprobe`, listened to with `ffmpeg`.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{System, text};

/// Downloads a film and checks codec, size, rate, length, layout, that it moves, and loudness.
pub async fn assert_plays(system: &System, link: &str, spec: &Value) {
    let (kind, bytes) = system.download(link).await;
    assert_eq!(kind, "video/mp4");
    assert_starts_before_it_is_loaded(&bytes);
    let file = system.scratch().join("final.mp4");
    std::fs::write(&file, &bytes).expect("writable");
    assert_pictures(&file, spec);
    assert_moves(&file, spec);
    assert_loudness(&file);
}

/// It is black only where it fades through black, and stands still only while a fixed camera looks on.
fn assert_moves(file: &Path, spec: &Value) {
    let detectors = "blackdetect=d=0:pic_th=0.98:pix_th=0.06,freezedetect=n=-60dB:d=0.5";
    let seen =
        tool("ffmpeg", &["-hide_banner", "-nostats", "-i"], file, &["-an", "-vf", detectors, "-f", "null", "-"]).1;
    let frame = 1.0 / spec["fps"].as_f64().expect("a number");
    let seconds = |value: &Value| value.as_f64().expect("seconds");
    let length = seconds(&spec["duration"]);
    let beats = spec["beats"].as_array().expect("beats");
    let span = |beat: &Value| (seconds(&beat["start"]), seconds(&beat["start"]) + seconds(&beat["duration"]));

    let transitions = spec["transitions"].as_array().expect("a list");
    let fades = transitions.iter().filter(|transition| transition["type"] == "fade").map(|fade| {
        let join = span(&beats[fade["after_beat"].as_u64().expect("a beat") as usize]).1;
        let half = seconds(&fade["duration"]) / 2.0;
        (join - half, join + half)
    });
    assert_inside("black", &spans(&seen, ("black_start:", "black_end:"), length), &fades.collect::<Vec<_>>(), frame);

    let fixed = |beat: &&Value| text(&beat["camera_movement"]).contains("static");
    let fixed: Vec<_> = beats.iter().filter(fixed).map(span).collect();
    assert_inside("frozen", &spans(&seen, ("freeze_start: ", "freeze_end: "), length), &fixed, frame);
}

/// What a detector found, from and to in seconds. What it saw no end of lasts to the end of the film.
fn spans(seen: &str, (start, end): (&str, &str), length: f64) -> Vec<(f64, f64)> {
    let figures = |label: &str| -> Vec<f64> {
        let after = seen.match_indices(label).map(|(at, _)| &seen[at + label.len()..]);
        after.map(|text| text.split_whitespace().next().and_then(|s| s.parse().ok()).expect("seconds")).collect()
    };
    let ends = figures(end).into_iter().chain([length]);
    figures(start).into_iter().zip(ends).collect()
}

/// Allowed stretches that meet count as one.
fn assert_inside(what: &str, found: &[(f64, f64)], allowed: &[(f64, f64)], frame: f64) {
    let mut joined: Vec<(f64, f64)> = Vec::new();
    for (start, end) in allowed {
        match joined.last_mut() {
            Some(last) if last.1 >= *start => last.1 = *end,
            Some(_) | None => joined.push((*start, *end)),
        }
    }
    for (from, to) in found {
        let is_inside = joined.iter().any(|(start, end)| *from >= start - frame && *to <= end + frame);
        assert!(is_inside, "{what} from {from} to {to} s; it may be in {joined:?}");
    }
}

fn assert_pictures(file: &Path, spec: &Value) {
    let probe = tool("ffprobe", &["-v", "error", "-show_streams", "-show_format", "-of", "json"], file, &[]).0;
    let probe: Value = serde_json::from_str(&probe).expect("ffprobe writes JSON");
    let streams = probe["streams"].as_array().expect("streams");
    let of = |kind: &str| streams.iter().find(|stream| stream["codec_type"] == kind).expect("a stream of each kind");

    let (pictures, sound) = (of("video"), of("audio"));
    let told = ["codec_name", "pix_fmt", "r_frame_rate"].map(|field| &pictures[field]);
    assert_eq!(json!(told), json!(["h264", "yuv420p", format!("{}/1", spec["fps"])]));
    assert_eq!(format!("{}x{}", pictures["width"], pictures["height"]), text(&spec["resolution"]));
    assert_eq!(sound["codec_name"], "aac");

    let fps = spec["fps"].as_f64().expect("a number");
    let wanted = spec["duration"].as_f64().expect("seconds");
    for length in [&pictures["duration"], &sound["duration"], &probe["format"]["duration"]] {
        let seconds: f64 = text(length).parse().expect("seconds");
        assert!((seconds - wanted).abs() <= 1.0 / fps + 1e-6, "{seconds} s instead of {wanted} s");
    }
}

/// -14 LUFS within 1, true peak at most -1 dB.
fn assert_loudness(file: &Path) {
    let heard =
        tool("ffmpeg", &["-hide_banner", "-nostats", "-i"], file, &["-af", "ebur128=peak=true", "-f", "null", "-"]);
    let summary = heard.1.rsplit("Summary:").next().unwrap_or_default().to_owned();
    let figure = |label: &str| -> f64 {
        let line = summary.lines().find_map(|line| line.trim().strip_prefix(label)).expect("in the summary");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    let (loudness, peak) = (figure("I:"), figure("Peak:"));
    assert!((loudness + 14.0).abs() <= 1.0, "{loudness} LUFS");
    assert!(peak <= -1.0, "peak {peak} dBTP");
}

/// The index stands before the pictures, so that players start at once.
fn assert_starts_before_it_is_loaded(bytes: &[u8]) {
    let (mut boxes, mut at) = (Vec::new(), 0);
    while let Some(header) = bytes.get(at..at + 8) {
        let size = u32::from_be_bytes(header[..4].try_into().expect("four bytes")) as usize;
        boxes.push(String::from_utf8_lossy(&header[4..]).into_owned());
        if size < 8 {
            break;
        }
        at += size;
    }
    let place = |name: &str| boxes.iter().position(|found| found == name);
    assert!(place("moov").is_some() && place("moov") < place("mdat"), "{boxes:?}");
}

/// What a tool of ffmpeg says about a file, on standard output and standard error.
fn tool(name: &str, before: &[&str], file: &Path, after: &[&str]) -> (String, String) {
    let said = Command::new(name).args(before).arg(file).args(after).stdin(Stdio::null()).output();
    let said = said.expect("ffmpeg is installed");
    assert!(said.status.success(), "{name}: {}", String::from_utf8_lossy(&said.stderr));
    (String::from_utf8_lossy(&said.stdout).into_owned(), String::from_utf8_lossy(&said.stderr).into_owned())
}
