//! Uploaded music: what becomes of good music, and what is said about anything else.

use messages::artifact::{ArtifactKey, MediaType, ObjectRef};
use messages::refine::{MixFilm, RefineWork};
use runtime::job_error::JobError;

use crate::studio::{Studio, audio, level_db, object};

/// Beats at 120 a minute, far from our loudness.
fn beats(seconds: f64) -> String {
    format!("aevalsrc='0.05*sin(2*PI*220*t)*exp(-6*mod(t,0.5))':s=44100:d={seconds}")
}

async fn refused(studio: &Studio, upload: ObjectRef) -> String {
    let outcome = studio.import(upload, 5.0).await;
    let Err(JobError::GiveUp { reason }) = outcome else { panic!("not refused: {outcome:?}") };
    assert!(reason.starts_with("the upload"), "{reason}");
    reason
}

#[tokio::test]
async fn every_type_of_music_becomes_the_films_music() {
    let studio = Studio::new();
    for (extension, arguments, media_type, codec) in [
        ("mp3", "-b:a 128k", MediaType::Mp3, "mp3"),
        ("wav", "-c:a pcm_s24le -ac 1", MediaType::Wav, "pcm_s24le"),
        ("flac", "-ac 2", MediaType::Flac, "flac"),
        ("ogg", "-c:a libvorbis -ac 2", MediaType::Ogg, "vorbis"),
        ("ogg", "-c:a libopus -ac 2", MediaType::Ogg, "opus"),
        ("m4a", "-c:a aac -ac 2", MediaType::M4a, "aac"),
    ] {
        let upload = studio.media(&beats(9.0), arguments, extension, media_type);
        let made = studio.import(upload, 6.5).await.expect("imported");
        assert_eq!((made.key, object(&made).media_type), (ArtifactKey::Background, MediaType::Mp3));
        let file = studio.file(&made);
        let length = studio.samples(&file).len() as f64 / 48_000.0;
        assert!((length - 6.5).abs() < 0.05, "{codec}: {length} s");
        let (lufs, peak) = studio.meter(&file, None);
        assert!((lufs + 14.0).abs() <= 1.0 && peak <= -1.0, "{codec}: {lufs} LUFS, {peak} dBTP");
        let metadata = &made.metadata;
        assert_eq!((&metadata["imported"], &metadata["looped"]), (&true.into(), &false.into()));
        assert_eq!((&metadata["source_codec"], &metadata["seconds"]), (&codec.into(), &6.5.into()));
        assert_eq!(metadata["source_content_type"], media_type.content_type());
        let told = metadata["loudness_lufs"].as_f64().expect("a loudness");
        assert!((told - lufs).abs() <= 0.2, "told {told}, measured {lufs}");
    }
}

#[tokio::test]
async fn music_that_is_too_short_goes_round_on_the_beat_until_the_film_is_over() {
    let studio = Studio::new();
    let made = studio.import(studio.media(&beats(5.3), "", "wav", MediaType::Wav), 12.0).await.expect("imported");
    assert_eq!(made.metadata["looped"], true);
    let sound = studio.samples(&studio.file(&made));
    assert!((sound.len() as f64 / 48_000.0 - 12.0).abs() < 0.05);
    for beat in 1..24 {
        let at = beat * 24_000;
        let onset = level_db(&sound[at + 480..at + 2_400]) - level_db(&sound[at - 2_400..at - 480]);
        assert!(onset > 10.0, "beat {beat}: {onset} dB");
    }
}

#[tokio::test]
async fn a_song_with_a_cover_is_music() {
    let studio = Studio::new();
    let cover = "-f lavfi -i color=red:s=64x64:r=25:d=0.04 -map 0 -map 1 -c:v mjpeg -disposition:v attached_pic \
                 -metadata title=SECRET";
    for (extension, media_type) in [("mp3", MediaType::Mp3), ("m4a", MediaType::M4a)] {
        let made = studio.import(studio.media(&beats(6.0), cover, extension, media_type), 5.0).await.expect("imported");
        let file = studio.file(&made);
        assert_eq!(studio.probe(&file, "v", "stream=codec_name"), "", "no picture goes on");
        let bytes = std::fs::read(file).expect("music");
        assert!(!bytes.windows(6).any(|window| window == b"SECRET"));
    }
}

#[tokio::test]
async fn imported_music_is_mixed_like_composed_music() {
    let studio = Studio::new();
    let music = studio.import(studio.media(&beats(4.0), "", "flac", MediaType::Flac), 6.0).await.expect("imported");
    let (film, music) = (studio.film(6.0, None), Some(object(&music).clone()));
    let order = MixFilm { film, music, audio: audio(), duration_s: 6.0, thumbnail: false };
    let made = studio.work(RefineWork::Mix(order)).await.expect("mixed");
    let (lufs, peak) = studio.meter(&studio.file(&made), None);
    assert!((lufs + 14.0).abs() <= 1.0 && peak <= -1.0, "{lufs} LUFS, {peak} dBTP");
}

#[tokio::test]
async fn the_same_upload_gives_the_same_bytes() {
    let studio = Studio::new();
    let upload = studio.media(&beats(3.0), "", "ogg", MediaType::Ogg);
    let (first, second) = (studio.import(upload.clone(), 5.0).await, studio.import(upload, 5.0).await);
    assert_eq!(object(&first.expect("imported")).sha256, object(&second.expect("imported")).sha256);
}

#[tokio::test]
async fn what_is_no_music_is_refused_in_words_about_the_upload() {
    let studio = Studio::new();
    let silent = studio.media("anullsrc=r=48000:cl=stereo:d=6", "", "wav", MediaType::Wav);
    assert!(refused(&studio, silent).await.contains("silent"));
    let short = studio.media(&beats(0.7), "", "wav", MediaType::Wav);
    let reason = refused(&studio, short).await;
    assert!(reason.contains("0.7 s") && reason.contains("at least 1 s"), "{reason}");
    let film = studio.film(5.0, None);
    let reason = refused(&studio, ObjectRef { media_type: MediaType::M4a, ..film }).await;
    assert!(reason.contains("no sound"), "{reason}");
    let picture = ObjectRef { media_type: MediaType::Png, ..studio.music(&beats(3.0)) };
    assert!(refused(&studio, picture).await.contains("image/png, not music"));
    for media_type in [MediaType::Mp3, MediaType::Wav, MediaType::Flac, MediaType::Ogg, MediaType::M4a] {
        for bytes in [&b""[..], &[7; 9_000], b"#EXTM3U\n#EXTINF:5,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"] {
            let reason = refused(&studio, studio.shelve(bytes, media_type)).await;
            assert!(reason.contains("cannot be used as music"), "{reason}");
        }
    }
}

#[tokio::test]
async fn music_of_another_type_than_it_says_is_refused() {
    let studio = Studio::new();
    let real = [
        studio.media(&beats(6.0), "", "mp3", MediaType::Mp3),
        studio.media(&beats(6.0), "", "wav", MediaType::Wav),
        studio.media(&beats(6.0), "", "flac", MediaType::Flac),
        studio.media(&beats(6.0), "", "ogg", MediaType::Ogg),
        studio.media(&beats(6.0), "", "m4a", MediaType::M4a),
    ];
    for music in &real {
        for other in real.iter().filter(|other| other.media_type != music.media_type) {
            let reason = refused(&studio, ObjectRef { media_type: other.media_type, ..music.clone() }).await;
            assert!(
                reason.contains("cannot be used as music"),
                "{:?} as {:?}: {reason}",
                music.media_type,
                other.media_type
            );
        }
    }
}
