//! A job in, its artifacts out: music, film, thumbnail.

use async_trait::async_trait;
use messages::artifact::{ArtifactKey, Made, MediaType};
use messages::import::{ImportMusic, ImportWork};
use messages::job::Work;
use messages::refine::{ComposeMusic, MakeThumbnail, MixFilm, RefineWork};
use messages::spec::Audio;
use runtime::child::MediaTool;
use runtime::job_error::JobError;
use runtime::worker::{Handler, Outcome, Task};
use serde_json::{Map, Value, json};

use crate::encoder::{Encoder, Film, Output};
use crate::music_model;
use crate::timeline::{Loudness, Mix, Stem};

/// The longest piece that is made, in seconds: far beyond any film, so that a wrong number fails instead of filling a disk.
const LONGEST_S: f64 = 3_600.0;

/// What music is called in the job's folder.
const BACKGROUND: &str = "background.mp3";

/// What the refine service does with jobs. It needs a media tool that has the encoders `aac`, `libmp3lame` and `mjpeg`.
pub fn handler(tool: MediaTool) -> impl Handler {
    Refine { tool }
}

#[derive(Debug)]
struct Refine {
    tool: MediaTool,
}

#[async_trait]
impl Handler for Refine {
    async fn handle(&self, task: &Task) -> Result<Outcome, JobError> {
        let made = match &task.job.work {
            Work::Refine(work) => match work.as_ref() {
                RefineWork::Compose(order) => vec![self.compose(task, order).await?],
                RefineWork::Mix(order) => self.mix(task, order).await?,
                RefineWork::Thumbnail(order) => vec![self.thumbnail(task, order).await?],
            },
            Work::Import(work) => match work.as_ref() {
                ImportWork::Music(order) => vec![self.import(task, order).await?],
                ImportWork::Picture(_) | ImportWork::Clip(_) => return Err(not_ours()),
            },
            Work::Plan(_) | Work::Draw(_) | Work::Chunk(_) => return Err(not_ours()),
        };
        task.progress(1.0);
        Ok(made.into())
    }
}

fn not_ours() -> JobError {
    JobError::give_up("this job is not for the refine service")
}

impl Refine {
    async fn compose(&self, task: &Task, order: &ComposeMusic) -> Result<Made, JobError> {
        let seconds = checked_length(order.duration_s)?;
        let piece = music_model::choose(&order.model, &self.tool)?.compose(task, order).await?;
        task.progress(0.5);

        let encoder = Encoder::new(&self.tool, task);
        let loudness = encoder.measure_wav(piece.file).await?;
        let stem = Stem { file: piece.file, normal_db: 0.0, asked_db: 0.0 };
        let mix = Mix::new(seconds, None, Some((stem, loudness)));
        if mix.is_silent() {
            return Err(JobError::give_up(format!("the music model `{}` made silence", order.model.name)));
        }
        let heard = encoder.encode(&mix, Output::Music, BACKGROUND).await?;
        let mut metadata = facts(seconds, heard);
        metadata.extend(fields(json!({
            "bpm": rounded(piece.bpm),
            "key": piece.key,
            "music_style": order.audio.music_style,
            "tempo": order.audio.tempo,
            "mood": order.audio.mood,
            "seed": order.seed,
            "model": order.model.name,
        })));
        task.store(ArtifactKey::Background, &task.folder()?.join(BACKGROUND), MediaType::Mp3, metadata).await
    }

    async fn import(&self, task: &Task, order: &ImportMusic) -> Result<Made, JobError> {
        let seconds = checked_length(order.duration_s)?;
        task.fetch(&order.upload, "upload").await?;
        let encoder = Encoder::new(&self.tool, task);
        let upload = encoder.uploaded_bed(("upload", order.upload.media_type), seconds, "uploaded.wav").await?;
        task.progress(0.5);

        let loudness = encoder.measure_wav("uploaded.wav").await?;
        let stem = Stem { file: "uploaded.wav", normal_db: 0.0, asked_db: 0.0 };
        let mix = Mix::new(seconds, None, Some((stem, loudness)));
        if mix.is_silent() {
            return Err(JobError::give_up("the upload is silent: upload music that can be heard"));
        }
        let heard = encoder.encode(&mix, Output::Music, BACKGROUND).await?;
        let mut metadata = facts(seconds, heard);
        metadata.extend(fields(json!({
            "imported": true,
            "looped": upload.is_looped,
            "source_content_type": order.upload.media_type.content_type(),
            "source_codec": upload.codec,
        })));
        task.store(ArtifactKey::Background, &task.folder()?.join(BACKGROUND), MediaType::Mp3, metadata).await
    }

    async fn mix(&self, task: &Task, order: &MixFilm) -> Result<Vec<Made>, JobError> {
        task.fetch(&order.film, "film.mp4").await?;
        let encoder = Encoder::new(&self.tool, task);
        let film = encoder.probe("film.mp4").await?;
        let seconds = checked_length(film.seconds)?;
        task.progress(0.1);

        let Audio { music_gain_db, native_gain_db, fade_in_s, fade_out_s, .. } = order.audio;
        let native = if film.has_sound {
            encoder.own_sound("film.mp4", seconds, "native.wav").await?;
            let stem = Stem { file: "native.wav", normal_db: 0.0, asked_db: checked_gain(native_gain_db)? };
            Some((stem, encoder.measure_wav("native.wav").await?))
        } else {
            None
        };
        task.progress(0.25);
        let music = match &order.music {
            Some(music) => {
                task.fetch(music, "music").await?;
                encoder.bed(("music", music.media_type), seconds, (fade_in_s, fade_out_s), "bed.wav").await?;
                let stem = Stem { file: "bed.wav", normal_db: 0.0, asked_db: checked_gain(music_gain_db)? };
                Some((stem, encoder.measure_wav("bed.wav").await?))
            }
            None => None,
        };
        task.progress(0.5);

        let mix = Mix::new(seconds, native, music);
        let heard = encoder.encode(&mix, Output::Film("film.mp4"), "final.mp4").await?;
        let mut metadata = facts(seconds, heard);
        metadata.extend(fields(json!({
            "width": film.width,
            "height": film.height,
            "music": mix.music.is_some(),
            "native_sound": mix.native.is_some(),
            "music_gain_db": music_gain_db,
            "native_gain_db": native_gain_db,
            "fade_in_s": fade_in_s,
            "fade_out_s": fade_out_s,
        })));
        let mut made =
            vec![task.store(ArtifactKey::Final, &task.folder()?.join("final.mp4"), MediaType::Mp4, metadata).await?];
        if order.thumbnail {
            task.progress(0.9);
            made.push(still_of(task, &encoder, &film).await?);
        }
        Ok(made)
    }

    async fn thumbnail(&self, task: &Task, order: &MakeThumbnail) -> Result<Made, JobError> {
        task.fetch(&order.film, "film.mp4").await?;
        let encoder = Encoder::new(&self.tool, task);
        let film = encoder.probe("film.mp4").await?;
        task.progress(0.2);
        still_of(task, &encoder, &film).await
    }
}

/// The picture that stands for the film in `film.mp4`.
async fn still_of(task: &Task, encoder: &Encoder<'_>, film: &Film) -> Result<Made, JobError> {
    let at_s = encoder.best_moment("film.mp4", film.seconds).await?;
    encoder.still("film.mp4", at_s, "thumbnail.jpg").await?;
    let metadata = fields(json!({ "at_s": rounded(at_s), "width": film.width, "height": film.height }));
    task.store(ArtifactKey::Thumbnail, &task.folder()?.join("thumbnail.jpg"), MediaType::Jpeg, metadata).await
}

fn checked_length(seconds: f64) -> Result<f64, JobError> {
    if (0.1..=LONGEST_S).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(JobError::give_up(format!("a film of {seconds} s cannot be scored: 0.1 to {LONGEST_S} s can")))
    }
}

fn checked_gain(decibels: f64) -> Result<f64, JobError> {
    if (-60.0..=12.0).contains(&decibels) {
        Ok(decibels)
    } else {
        Err(JobError::give_up(format!("a level of {decibels} dB cannot be set: -60 to 12 dB can")))
    }
}

fn facts(seconds: f64, heard: Loudness) -> Map<String, Value> {
    // Silence has no loudness; JSON has no minus infinity.
    let figure = |value: f64| value.is_finite().then(|| rounded(value));
    fields(json!({
        "seconds": seconds,
        "loudness_lufs": figure(heard.lufs).filter(|_| !heard.is_silent()),
        "true_peak_dbtp": figure(heard.peak_dbtp),
    }))
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
