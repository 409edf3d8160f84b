//! Makes a film of chunks: runs what `stitch` and `sound` have worked out.
//!
//! Works through one chunk after the other and keeps nothing but their files; the film is never in memory.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use messages::chunk::StitchFilm;
use runtime::child::MediaTool;
use runtime::job_error::JobError;
use runtime::worker::Task;
use tokio::fs::{File, OpenOptions};

use crate::probe::{self, Clip};
use crate::sound;
use crate::stitch::{self, Piece, Target};

/// A stitched film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Film {
    /// The MP4.
    pub file: PathBuf,
    /// How many frames it has.
    pub frames: u32,
    /// Whether it has sound.
    pub has_sound: bool,
    /// How many chunks were used as they stood, without encoding them again.
    pub untouched: usize,
}

/// Joins chunks.
#[derive(Debug, Clone)]
pub struct Assembly {
    tool: MediaTool,
    threads: NonZeroUsize,
}

impl Assembly {
    /// Encodes with `threads`.
    pub fn new(tool: MediaTool, threads: NonZeroUsize) -> Self {
        Self { tool, threads }
    }

    /// Stitches the film in the job's folder.
    pub async fn stitch(&self, task: &Task, film: &StitchFilm) -> Result<Film, JobError> {
        let pieces = stitch::pieces(film).map_err(JobError::give_up)?;
        let clips = self.fetch(task, film).await?;
        let target = self.target(task, film).await?;
        task.progress(0.2);

        let (mut files, mut untouched) = (Vec::with_capacity(pieces.len()), 0);
        for (done, piece) in (1u32..).zip(&pieces) {
            let meets = clips.get(piece.index).is_some_and(|clip| target.is_met_by(clip, piece));
            untouched += usize::from(meets);
            let file =
                if meets { chunk_file(piece.index) } else { self.piece(task, &target, piece, &pieces, &clips).await? };
            files.push(file);
            task.progress(0.2 + 0.7 * f64::from(done) / pieces.len() as f64);
        }

        let has_sound = clips.iter().any(|clip| clip.has_sound);
        let sound = if has_sound { Some(self.sound(task, &pieces, &clips, film.fps).await?) } else { None };
        const LIST: &str = "pieces.ffconcat";
        const FILM: &str = "film.mp4";
        tokio::fs::write(task.folder()?.join(LIST), stitch::list(&files)).await.map_err(scratch)?;
        let arguments = stitch::joined(LIST, sound.as_deref(), FILM);
        self.tool.ffmpeg(task.folder()?, &arguments, None, &task.cancelled).await?;

        let frames = pieces.iter().map(|piece| piece.frames).sum();
        let joined = self.probe(task, FILM).await.map_err(|reason| reason.about("the film"))?;
        if joined.video.frames != Some(frames) {
            let has = joined.video.frames.unwrap_or(0);
            return Err(JobError::give_up(format!("the stitched film has {has} frames instead of {frames}")));
        }
        task.progress(1.0);
        Ok(Film { file: task.folder()?.join(FILM), frames, has_sound, untouched })
    }

    /// Brings the chunks into the folder and looks at each.
    async fn fetch(&self, task: &Task, film: &StitchFilm) -> Result<Vec<Clip>, JobError> {
        let mut clips = Vec::with_capacity(film.chunks.len());
        for (index, chunk) in film.chunks.iter().enumerate() {
            if task.cancelled.is_cancelled() {
                return Err(JobError::Cancelled);
            }
            let file = chunk_file(index);
            task.fetch(&chunk.object, &file).await?;
            let clip = self.probe(task, &file).await.map_err(|reason| reason.about(&format!("chunk {index}")))?;
            clips.push(clip);
            task.progress(0.2 * (index + 1) as f64 / film.chunks.len() as f64);
        }
        Ok(clips)
    }

    async fn probe(&self, task: &Task, file: &str) -> Result<Clip, Unprobed> {
        let folder = task.folder().map_err(Unprobed::Tool)?;
        let answer = self.tool.ffprobe(folder, &probe::arguments(file), &task.cancelled).await;
        probe::read(&answer.map_err(Unprobed::Tool)?).map_err(Unprobed::NoClip)
    }

    /// What every piece has to be, parameter sets included.
    async fn target(&self, task: &Task, film: &StitchFilm) -> Result<Target, JobError> {
        const SPECIMEN: &str = "specimen.mp4";
        let mut target = Target { size: film.size, fps: film.fps, threads: self.threads, parameters: None };
        self.tool.ffmpeg(task.folder()?, &target.specimen(SPECIMEN), None, &task.cancelled).await?;
        let specimen = self.probe(task, SPECIMEN).await.map_err(|reason| reason.about("the encoder's specimen"))?;
        target.parameters = specimen.video.parameters;
        Ok(target)
    }

    /// Encodes the piece of a chunk that is not yet what it should be.
    async fn piece(
        &self,
        task: &Task,
        target: &Target,
        piece: &Piece,
        pieces: &[Piece],
        clips: &[Clip],
    ) -> Result<String, JobError> {
        let (index, output) = (piece.index, format!("piece-{:03}.mp4", piece.index));
        let arguments = target
            .piece(index, pieces, clips, chunk_file, &output)
            .ok_or_else(|| JobError::give_up(format!("chunk {index} has no neighbour to pass into")))?;
        let ran = self.tool.ffmpeg(task.folder()?, &arguments, None, &task.cancelled).await;
        ran.map_err(|error| about(&format!("chunk {index}"), error))?;
        Ok(output)
    }

    /// Gathers the film's sound and gives the arguments that read it.
    async fn sound(&self, task: &Task, pieces: &[Piece], clips: &[Clip], fps: u32) -> Result<Vec<String>, JobError> {
        const SOUND: &str = "sound.pcm";
        const TAKEN: &str = "taken.pcm";
        let (whole, taken) = (task.folder()?.join(SOUND), task.folder()?.join(TAKEN));
        let mut length = 0;
        File::create(&whole).await.map_err(scratch)?;
        for ((piece, clip), moments) in pieces.iter().zip(clips).zip(sound::moments(pieces, fps)) {
            if clip.has_sound {
                let arguments = sound::taken(&chunk_file(piece.index), piece, moments, fps, TAKEN);
                let ran = self.tool.ffmpeg(task.folder()?, &arguments, None, &task.cancelled).await;
                ran.map_err(|error| about(&format!("the sound of chunk {}", piece.index), error))?;
                append(&taken, &whole).await.map_err(scratch)?;
            }
            // Growing a file fills it with zeros, which is silence; cutting it takes off what a chunk had too much.
            length += moments * sound::MOMENT;
            OpenOptions::new()
                .write(true)
                .open(&whole)
                .await
                .map_err(scratch)?
                .set_len(length)
                .await
                .map_err(scratch)?;
        }
        Ok(sound::input(SOUND))
    }
}

/// Why a file is not known to be a clip.
enum Unprobed {
    Tool(JobError),
    NoClip(String),
}

impl Unprobed {
    fn about(self, subject: &str) -> JobError {
        match self {
            Self::Tool(error) => about(subject, error),
            Self::NoClip(reason) => JobError::give_up(format!("{subject} is not a usable clip: {reason}")),
        }
    }
}

/// A failure with what it is about; what happens next stays the same.
pub(crate) fn about(subject: &str, error: JobError) -> JobError {
    match error {
        JobError::GiveUp { reason } => JobError::give_up(format!("{subject}: {reason}")),
        JobError::RetryLater { reason, after } => {
            JobError::RetryLater { reason: format!("{subject}: {reason}"), after }
        }
        JobError::Cancelled => JobError::Cancelled,
    }
}

/// What a chunk is called in the job's folder.
fn chunk_file(index: usize) -> String {
    format!("chunk-{index:03}.mp4")
}

async fn append(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut from = File::open(from).await?;
    let mut to = OpenOptions::new().append(true).open(to).await?;
    tokio::io::copy(&mut from, &mut to).await?;
    tokio::io::AsyncWriteExt::flush(&mut to).await
}

fn scratch(error: std::io::Error) -> JobError {
    runtime::artifacts::ObjectError::Scratch(error).into()
}
