//! The finished film: loudness, levels, fades, ducking, length, and pictures that nobody touched.

use messages::artifact::{MediaType, ObjectRef};
use messages::catalogue::Energy;
use messages::refine::{MixFilm, RefineWork};
use messages::spec::{Audio, Mood, MusicStyle};
use runtime::job_error::JobError;

use crate::studio::{Studio, audio, compose, level_db, object};

const TONE: &str = "sine=frequency=330:sample_rate=48000:duration=60";
/// Speech-like: a second of tone, two of silence.
const PHRASES: &str = "aevalsrc='0.3*sin(2*PI*700*t)*lt(mod(t,3),1)':s=48000:d=12";

fn order(film: ObjectRef, music: Option<ObjectRef>, duration_s: f64) -> MixFilm {
    MixFilm { film, music, audio: audio(), duration_s, thumbnail: false }
}

async fn composed(studio: &Studio, seconds: f64, style: MusicStyle) -> ObjectRef {
    let made = studio.work(RefineWork::Compose(compose(seconds, style, 7))).await.expect("music");
    object(&made).clone()
}

fn assert_on_target(studio: &Studio, heard: &crate::studio::Heard) {
    let (lufs, peak) = studio.meter(&heard.file, None);
    assert!((lufs + 14.0).abs() <= 1.0, "{lufs} LUFS");
    assert!(peak <= -1.0, "{peak} dBTP");
    let told = heard.made.metadata["loudness_lufs"].as_f64().expect("a loudness");
    assert!((told - lufs).abs() <= 0.2, "told {told}, measured {lufs}");
}

#[tokio::test]
async fn a_short_and_a_long_film_are_equally_loud() {
    let studio = Studio::new();
    for (seconds, style) in [(5.0, MusicStyle::Cinematic), (40.0, MusicStyle::Energetic)] {
        let music = composed(&studio, seconds, style).await;
        let heard = studio.mixed(order(studio.film(seconds, None), Some(music), seconds)).await;
        assert_on_target(&studio, &heard);
    }
}

#[tokio::test]
async fn music_that_the_encoder_makes_much_louder_at_its_peaks_is_brought_below_the_limit() {
    let studio = Studio::new();
    let film = studio.film(5.0, None);
    // As a film had it that could not be finished: encoded, its peaks are 4 dB above where the limiter holds.
    for energy in [Energy::Low, Energy::Medium, Energy::High] {
        let mut music = compose(5.0, MusicStyle::Cinematic, 5_436_904_507_885_839);
        music.audio.mood = Mood::Emotional;
        music.sections.iter_mut().for_each(|section| section.energy = energy);
        let music = object(&studio.work(RefineWork::Compose(music)).await.expect("music")).clone();
        let heard = studio.mixed(order(film.clone(), Some(music), 5.0)).await;
        assert_on_target(&studio, &heard);
    }
}

#[tokio::test]
async fn the_film_keeps_its_pictures_and_its_length() {
    let studio = Studio::new();
    let film = studio.film(7.0, None);
    let heard = studio.mixed(order(film.clone(), Some(studio.music(TONE)), 7.0)).await;
    assert_eq!(studio.picture_hash(&heard.file), studio.picture_hash(&studio.local(&film)));
    let length: f64 = studio.probe(&heard.file, "v:0", "format=duration").parse().expect("seconds");
    assert!((length - 7.0).abs() < 1.0 / 30.0, "{length} s");
    let sound = studio.samples(&heard.file).len() as f64 / 48_000.0;
    assert!((sound - 7.0).abs() < 1.0 / 30.0, "{sound} s of sound");
    let stream = studio.probe(&heard.file, "a:0", "stream=codec_name,sample_rate,channels");
    assert_eq!(stream, "aac,48000,2");

    let bytes = std::fs::read(&heard.file).expect("a film");
    let place = |atom: &[u8]| bytes.windows(4).position(|window| window == atom).expect("an atom");
    assert!(place(b"moov") < place(b"mdat"), "the film cannot start before it is loaded whole");
}

#[tokio::test]
async fn mixing_twice_gives_the_same_film() {
    let studio = Studio::new();
    let job = order(studio.film(5.0, None), Some(studio.music(TONE)), 5.0);
    let (first, second) = (studio.mixed(job.clone()).await, studio.mixed(job).await);
    assert_eq!(object(&first.made).sha256, object(&second.made).sha256);
}

#[tokio::test]
async fn music_fades_in_and_out() {
    let studio = Studio::new();
    let mut job = order(studio.film(8.0, None), Some(studio.music(TONE)), 8.0);
    job.audio = Audio { fade_in_s: 2.0, fade_out_s: 3.0, ..audio() };
    let heard = studio.mixed(job).await;
    let sound = studio.samples(&heard.file);
    let at = |s: f64| level_db(&sound[(s * 48_000.0) as usize..((s + 0.1) * 48_000.0) as usize]);
    let middle = at(3.5);
    assert!(at(0.05) < middle - 20.0 && (at(1.0) - middle + 6.0).abs() < 1.5, "{} {} {middle}", at(0.05), at(1.0));
    assert!(at(7.85) < middle - 20.0 && (at(6.5) - middle + 6.0).abs() < 1.5, "{} {} {middle}", at(7.85), at(6.5));
}

#[tokio::test]
async fn a_level_that_was_asked_for_is_heard_as_that_many_decibels() {
    let studio = Studio::new();
    let (film, music) = (studio.film(6.0, None), studio.music(TONE));
    for gain in [-9.0, 4.0] {
        let mut job = order(film.clone(), Some(music.clone()), 6.0);
        job.audio.music_gain_db = gain;
        let heard = studio.mixed(job).await;
        let (lufs, peak) = studio.meter(&heard.file, None);
        assert!((lufs - (-14.0 + gain)).abs() < 1.0, "{gain} dB: {lufs} LUFS");
        assert!(peak <= -1.0, "{gain} dB: {peak} dBTP");
    }
}

#[tokio::test]
async fn a_level_that_is_too_high_is_held_below_the_ceiling() {
    let studio = Studio::new();
    let music = composed(&studio, 6.0, MusicStyle::Energetic).await;
    let mut job = order(studio.film(6.0, None), Some(music), 6.0);
    job.audio.music_gain_db = 12.0;
    let heard = studio.mixed(job).await;
    let (lufs, peak) = studio.meter(&heard.file, None);
    assert!(lufs > -11.0 && peak <= -1.0, "{lufs} LUFS, {peak} dBTP");
}

#[tokio::test]
async fn what_cannot_be_brought_to_the_target_is_a_failure_that_says_how_far_it_came() {
    let studio = Studio::new();
    // A millisecond of full scale has no loudness to bring up.
    let click = "aevalsrc='0.9*lt(abs(t-2),0.0005)':s=48000:d=5";
    let error =
        studio.work(RefineWork::Mix(order(studio.film(5.0, Some(click)), None, 5.0))).await.expect_err("a click");
    assert!(matches!(&error, JobError::GiveUp { reason } if reason.contains("LUFS")), "{error}");
}

#[tokio::test]
async fn music_gives_way_to_the_films_own_sound() {
    let studio = Studio::new();
    let heard = studio
        .mixed(order(studio.film(12.0, Some(PHRASES)), Some(studio.music("sine=frequency=2500:duration=20")), 12.0))
        .await;
    assert_on_target(&studio, &heard);
    // Only the music is left above 2 kHz.
    let sound = studio.samples(&heard.file);
    let music_at = |s: f64| tone_db(&sound[(s * 48_000.0) as usize..((s + 0.4) * 48_000.0) as usize], 2500.0);
    let (under, alone) = (music_at(3.4), music_at(5.3));
    assert!(alone - under > 4.0, "music is at {under} dB under sound and at {alone} dB alone");
}

#[tokio::test]
async fn own_sound_is_kept_when_music_is_off() {
    let studio = Studio::new();
    let heard =
        studio.mixed(order(studio.film(6.0, Some("sine=frequency=330:duration=6,volume=-12dB")), None, 6.0)).await;
    assert_on_target(&studio, &heard);
    let sound = studio.samples(&heard.file);
    assert!(tone_db(&sound[96_000..144_000], 330.0) > tone_db(&sound[96_000..144_000], 500.0) + 40.0);
    assert_eq!(heard.made.metadata["native_sound"], true);
    assert_eq!(heard.made.metadata["music"], false);
}

#[tokio::test]
async fn a_film_without_any_sound_gets_a_silent_track() {
    let studio = Studio::new();
    for sound in [None, Some("anullsrc=r=48000:cl=stereo")] {
        let heard = studio.mixed(order(studio.film(5.0, sound), None, 5.0)).await;
        assert_eq!(studio.probe(&heard.file, "a:0", "stream=codec_name,channels"), "aac,2");
        assert!(studio.samples(&heard.file).iter().all(|sample| sample.abs() < 1e-4));
        assert!(heard.made.metadata["loudness_lufs"].is_null());
    }
}

#[tokio::test]
async fn short_music_goes_round_until_the_film_is_over() {
    let studio = Studio::new();
    // Beats at 120 a minute for 5.3 seconds: the loop is two bars, 4 seconds.
    let beats = "aevalsrc='0.5*sin(2*PI*220*t)*exp(-12*mod(t,0.5))':s=48000:d=5.3";
    let mut job = order(studio.film(12.0, None), Some(studio.music(beats)), 12.0);
    job.audio = Audio { fade_in_s: 0.0, fade_out_s: 0.0, ..audio() };
    let sound = studio.samples(&studio.mixed(job).await.file);
    let onset = |s: f64| {
        let at = (s * 48_000.0) as usize;
        level_db(&sound[at + 480..at + 2_400]) - level_db(&sound[at - 2_400..at - 480])
    };
    for beat in 1..24 {
        assert!(onset(f64::from(beat) * 0.5) > 10.0, "beat {beat}: {} dB", onset(f64::from(beat) * 0.5));
    }
}

#[tokio::test]
async fn broken_music_is_a_failure_with_a_reason() {
    let studio = Studio::new();
    let noise: Vec<u8> = (0u32..20_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x7f).collect();
    let broken = studio.shelve(&noise, MediaType::Mp3);
    let error =
        studio.work(RefineWork::Mix(order(studio.film(5.0, None), Some(broken), 5.0))).await.expect_err("broken");
    assert!(matches!(&error, JobError::GiveUp { reason } if reason.contains("the music cannot be used")), "{error}");
}

#[tokio::test]
async fn a_film_that_is_a_playlist_opens_nothing() {
    let studio = Studio::new();
    let playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n";
    let film = studio.shelve(playlist, MediaType::Mp4);
    let error = studio.work(RefineWork::Mix(order(film, None, 5.0))).await.expect_err("no film");
    assert!(matches!(&error, JobError::GiveUp { reason } if reason.contains("the film cannot be read")), "{error}");
}

/// How loud one frequency is, in dB.
fn tone_db(samples: &[f32], frequency: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let angle = std::f64::consts::TAU * frequency * n as f64 / 48_000.0;
        // A Hann window keeps neighbours out.
        let window = 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / samples.len() as f64).cos();
        re += f64::from(*sample) * window * angle.cos();
        im += f64::from(*sample) * window * angle.sin();
    }
    20.0 * ((re * re + im * im).sqrt() / samples.len() as f64).max(1e-9).log10()
}
