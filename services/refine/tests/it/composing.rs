//! Music as it is delivered: length, loudness, and who can make it.

use messages::artifact::{ArtifactKey, MediaType};
use messages::refine::{ComposeMusic, MixFilm, RefineWork};
use messages::spec::{Mood, MusicStyle, Tempo};
use runtime::job_error::JobError;

use crate::studio::{Studio, compose, model, object};

#[tokio::test]
async fn music_is_as_long_as_the_film_and_as_loud_as_it_should_be() {
    let studio = Studio::new();
    for (seconds, style) in [(5.0, MusicStyle::Advertising), (12.5, MusicStyle::Calm)] {
        let made = studio.work(RefineWork::Compose(compose(seconds, style, 3))).await.expect("music");
        assert_eq!(made.key, ArtifactKey::Background);
        assert_eq!(object(&made).media_type, MediaType::Mp3);
        let file = studio.file(&made);
        let length = studio.samples(&file).len() as f64 / 48_000.0;
        assert!((length - seconds).abs() < 0.05, "{length} s");
        let (lufs, peak) = studio.meter(&file, None);
        assert!((lufs + 14.0).abs() <= 1.0 && peak <= -1.0, "{style:?}: {lufs} LUFS, {peak} dBTP");
        for fact in ["seconds", "bpm", "key", "music_style", "seed", "loudness_lufs", "true_peak_dbtp", "model"] {
            assert!(!made.metadata[fact].is_null(), "{fact}");
        }
    }
}

#[tokio::test]
async fn every_style_at_every_tempo_is_on_target_alone_and_under_a_film() {
    const STYLES: [MusicStyle; 6] = [
        MusicStyle::Upbeat,
        MusicStyle::Cinematic,
        MusicStyle::Corporate,
        MusicStyle::Calm,
        MusicStyle::Energetic,
        MusicStyle::Advertising,
    ];
    const MOODS: [Mood; 5] = [Mood::Energetic, Mood::Elegant, Mood::Minimalist, Mood::Emotional, Mood::Informative];
    let studio = Studio::new();
    // Every style meets every length, and every tempo does.
    let lengths = [5.0, 8.5, 20.0];
    let films = lengths.map(|seconds| studio.film(seconds, None));
    for (s, music_style) in STYLES.into_iter().enumerate() {
        for (t, tempo) in [Tempo::Slow, Tempo::Medium, Tempo::Fast].into_iter().enumerate() {
            let at = (s + t) % lengths.len();
            let mut order = compose(lengths[at], music_style, (3 * s + t) as u64);
            (order.audio.tempo, order.audio.mood) = (tempo, MOODS[(3 * s + t) % MOODS.len()]);
            let audio = order.audio.clone();
            let music = studio.work(RefineWork::Compose(order)).await.expect("music");
            let (film, duration_s) = (films[at].clone(), lengths[at]);
            let bed = Some(object(&music).clone());
            let mix = MixFilm { film, music: bed, audio, duration_s, thumbnail: false };
            let mut heard = vec![music];
            // Fades and another encoder change little: once a style is enough.
            if t == s % 3 {
                heard.push(studio.work(RefineWork::Mix(mix)).await.expect("a mix"));
            }
            for made in heard {
                let (lufs, peak) = studio.meter(&studio.file(&made), None);
                let what = format!("{:?} of {music_style:?}, {tempo:?}, {duration_s} s", made.key);
                assert!((lufs + 14.0).abs() <= 1.0 && peak <= -1.0, "{what}: {lufs} LUFS, {peak} dBTP");
            }
        }
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_file_and_another_one_does_not() {
    let studio = Studio::new();
    let mut digests = Vec::new();
    for seed in [1, 1, 2] {
        let made = studio.work(RefineWork::Compose(compose(5.0, MusicStyle::Upbeat, seed))).await.expect("music");
        digests.push(object(&made).sha256);
    }
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[0], digests[2]);
}

#[tokio::test]
async fn an_unknown_music_provider_is_named_and_given_up() {
    let order = ComposeMusic { model: model("orchestra9"), ..compose(5.0, MusicStyle::Upbeat, 1) };
    let error = Studio::new().work(RefineWork::Compose(order)).await.expect_err("nobody plays");
    assert!(matches!(&error, JobError::GiveUp { reason } if reason.contains("orchestra9")), "{error}");
}

#[tokio::test]
async fn a_length_that_no_film_has_is_given_up() {
    for seconds in [0.0, -1.0, f64::NAN, 1e9] {
        let order = ComposeMusic { duration_s: seconds, ..compose(5.0, MusicStyle::Upbeat, 1) };
        let error = Studio::new().work(RefineWork::Compose(order)).await.expect_err("no such film");
        assert!(matches!(error, JobError::GiveUp { .. }), "{error}");
    }
}
