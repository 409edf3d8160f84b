//! Who composes. Only this file knows music providers; `local` is the built-in [`crate::band`].
//!
//! A provider that cannot compose is a failed job with a reason, never a silent film.

use std::path::PathBuf;

use async_trait::async_trait;
use messages::catalogue::Model;
use messages::refine::ComposeMusic;
use runtime::child::MediaTool;
use runtime::job_error::JobError;
use runtime::worker::Task;

use crate::band::{Band, Brief, RATE};
use crate::encoder::Encoder;

/// A composer.
#[async_trait]
pub trait MusicModel: Send + Sync + std::fmt::Debug {
    /// Makes music exactly as long as the film, as a WAV file in the job's folder. Its loudness is anybody's guess.
    async fn compose(&self, task: &Task, order: &ComposeMusic) -> Result<Piece, JobError>;
}

/// Music that was made.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The WAV file's name in the job's folder.
    pub file: &'static str,
    /// Where it lies.
    pub path: PathBuf,
    /// Beats a minute.
    pub bpm: f64,
    /// The key's name.
    pub key: String,
}

/// The composer that a model's provider stands for.
pub fn choose(model: &Model, tool: &MediaTool) -> Result<Box<dyn MusicModel>, JobError> {
    match model.provider.as_str() {
        "local" => Ok(Box::new(LocalBand { tool: tool.clone() })),
        other => {
            let provider: String = other.chars().take(80).collect();
            Err(JobError::give_up(format!(
                "this worker has no music provider `{provider}`: choose a model of provider `local`, or upload music"
            )))
        }
    }
}

/// The built-in band.
#[derive(Debug)]
struct LocalBand {
    tool: MediaTool,
}

#[async_trait]
impl MusicModel for LocalBand {
    async fn compose(&self, task: &Task, order: &ComposeMusic) -> Result<Piece, JobError> {
        let mut band = Band::new(&Brief {
            style: order.audio.music_style,
            tempo: order.audio.tempo,
            mood: order.audio.mood,
            frames: (order.duration_s * f64::from(RATE)).round() as u64,
            sections: order.sections.clone(),
            seed: order.seed,
        });
        let (bpm, key) = (band.bpm(), band.key());
        let (sender, feed) = tokio::sync::mpsc::channel(16);
        // Whoever stops listening (a failed tool, a cancelled job) ends the playing at the next block.
        let playing = tokio::task::spawn_blocking(move || {
            let mut block = Vec::new();
            while band.play(&mut block) {
                let bytes = block.iter().flat_map(|sample| sample.to_le_bytes()).collect();
                if sender.blocking_send(bytes).is_err() {
                    break;
                }
            }
        });
        let file = "played.wav";
        Encoder::new(&self.tool, task).record(feed, file).await?;
        playing.await.map_err(|error| JobError::give_up(format!("the band stopped playing: {error}")))?;
        Ok(Piece { file, path: task.folder()?.join(file), bpm, key })
    }
}
