//! A job, a folder and an object store in memory; and what the real tools say about what came out.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use messages::artifact::{ArtifactKey, Content, Digest, Made, MediaType, ObjectRef};
use messages::catalogue::{Energy, Model, ModelKind, Position, Price};
use messages::chunk::{ChunkWork, PlannedChunk, RenderChunk, StitchChunk, StitchFilm};
use messages::id::{BranchName, CheckpointId, JobId, UserId, VideoId};
use messages::import::{ImportClip, ImportWork};
use messages::job::{Job, Work};
use messages::money::Usd;
use messages::phase::Phase;
use messages::spec::{Beat, Mood, Size, Style};
use messages::subject::Partition;
use runtime::artifacts::{ObjectError, ObjectMeta, ObjectStore, PutOnce};
use runtime::child::MediaTool;
use runtime::job_error::JobError;
use runtime::worker::{Handler, Task};
use tokio_util::sync::CancellationToken;

/// Small, so that tests are quick, and of the shape of a film.
pub const SMALL: Size = Size { width: 160, height: 90 };

/// Objects in memory.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

#[async_trait]
impl ObjectStore for Memory {
    async fn put_file(&self, key: &str, file: &Path, _: &ObjectMeta) -> Result<(), ObjectError> {
        let bytes = std::fs::read(file).map_err(ObjectError::Scratch)?;
        self.0.lock().expect("not poisoned").insert(key.to_owned(), bytes);
        Ok(())
    }

    async fn put_once(&self, key: &str, bytes: Vec<u8>, _: &ObjectMeta) -> Result<PutOnce, ObjectError> {
        self.0.lock().expect("not poisoned").insert(key.to_owned(), bytes);
        Ok(PutOnce::Stored)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        Ok(self.0.lock().expect("not poisoned").get(key).cloned())
    }

    async fn get_file(&self, key: &str, file: &Path) -> Result<Digest, ObjectError> {
        let bytes = self.get(key).await?.ok_or_else(|| ObjectError::NotFound(key.to_owned()))?;
        std::fs::write(file, &bytes).map_err(ObjectError::Scratch)?;
        Ok(Digest::of(&bytes))
    }

    async fn link(&self, key: &str, _: Duration) -> Result<String, ObjectError> {
        Err(ObjectError::NotFound(key.to_owned()))
    }

    async fn delete(&self, _: &str) -> Result<(), ObjectError> {
        Ok(())
    }

    async fn delete_prefix(&self, _: &str) -> Result<u64, ObjectError> {
        Ok(0)
    }
}

/// The service with its store, for one test.
pub struct Studio {
    /// What was stored.
    pub store: Arc<Memory>,
    /// The tools that the service runs.
    pub tool: MediaTool,
    /// Fires to stop the job at hand.
    pub cancelled: CancellationToken,
    folder: tempfile::TempDir,
}

impl Studio {
    pub fn new() -> Self {
        Self {
            store: Arc::default(),
            tool: MediaTool::default(),
            cancelled: CancellationToken::new(),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stores bytes as an object.
    pub fn put(&self, name: &str, bytes: Vec<u8>, media_type: MediaType) -> ObjectRef {
        let object =
            ObjectRef { key: name.to_owned(), sha256: Digest::of(&bytes), size: bytes.len() as u64, media_type };
        self.store.0.lock().expect("not poisoned").insert(name.to_owned(), bytes);
        object
    }

    /// Stores a picture that has detail everywhere.
    pub fn put_picture(&self, size: Size) -> ObjectRef {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture(size).write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
        self.put(&format!("picture-{size}.png"), bytes.into_inner(), MediaType::Png)
    }

    /// Stores a clip that ffmpeg makes of these arguments.
    pub fn put_clip(&self, name: &str, arguments: &str) -> ObjectRef {
        self.put_media(name, arguments, MediaType::Mp4)
    }

    /// Stores any file that ffmpeg makes of these arguments, said to be of that type.
    pub fn put_media(&self, name: &str, arguments: &str, media_type: MediaType) -> ObjectRef {
        let file = self.folder().join(name);
        let status = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-y"])
            .args(arguments.split_whitespace())
            .arg(&file)
            .status()
            .expect("ffmpeg starts");
        assert!(status.success(), "{arguments}");
        self.put(name, std::fs::read(file).expect("a clip"), media_type)
    }

    /// The handler under test.
    pub fn handler(&self) -> impl Handler {
        chunk::handler(self.tool.clone(), NonZeroUsize::new(2).expect("not zero"))
    }

    /// A job.
    pub fn task(&self, work: ChunkWork) -> Task {
        self.task_for(Work::Chunk(Box::new(work)))
    }

    fn task_for(&self, work: Work) -> Task {
        Task::new(job(work), self.store.clone(), self.cancelled.clone())
    }

    /// Does a job and gives what it made.
    async fn run(&self, work: Work) -> Result<Vec<Made>, JobError> {
        let outcome = self.handler().handle(&self.task_for(work)).await?;
        assert!(outcome.spent.is_empty(), "local work costs nothing");
        Ok(outcome.made)
    }

    pub async fn render(&self, job: RenderChunk) -> Result<Vec<Made>, JobError> {
        self.run(Work::Chunk(Box::new(ChunkWork::Render(job)))).await
    }

    pub async fn stitch(&self, film: StitchFilm) -> Result<Vec<Made>, JobError> {
        self.run(Work::Chunk(Box::new(ChunkWork::Stitch(film)))).await
    }

    pub async fn import(&self, job: ImportClip) -> Result<Vec<Made>, JobError> {
        self.run(Work::Import(Box::new(ImportWork::Clip(job)))).await
    }

    /// A made artifact as a file.
    pub fn file(&self, made: &[Made], key: ArtifactKey) -> PathBuf {
        let object = object(made, key);
        let bytes = self.store.0.lock().expect("not poisoned").get(&object.key).cloned().expect("stored");
        let file = self.folder().join(object.key.replace('/', "-"));
        std::fs::write(&file, bytes).expect("written");
        file
    }
}

/// The stored object of a made artifact.
pub fn object(made: &[Made], key: ArtifactKey) -> ObjectRef {
    match &made.iter().find(|made| made.key == key).expect("made").content {
        Content::Object(object) => object.clone(),
        Content::Spec(_) => panic!("a chunk is an object"),
    }
}

/// A test card: gradients, a grid and a lettering-like pattern, without symmetry.
pub fn picture(size: Size) -> image::RgbImage {
    image::RgbImage::from_fn(size.width, size.height, |x, y| {
        let (u, v) = (f64::from(x) / f64::from(size.width), f64::from(y) / f64::from(size.height));
        let cell = ((u * 16.0) as u32 * 7 + (v * 9.0) as u32 * 13) % 5;
        let mark = ((u * 64.0) as u32 ^ (v * 36.0) as u32).is_multiple_of(7);
        let shade = if mark { 40.0 } else { 0.0 };
        image::Rgb([
            (60.0 + 120.0 * u + shade) as u8,
            (50.0 + 30.0 * f64::from(cell)) as u8,
            (180.0 - 120.0 * v + shade) as u8,
        ])
    })
}

/// A five-second beat with a camera movement.
pub fn beat(camera_movement: &str, duration: u32) -> Beat {
    Beat {
        beat_id: "hero_shot".to_owned(),
        start: 0,
        duration,
        shot_type: "close_up".to_owned(),
        action: "product_reveal".to_owned(),
        camera_movement: camera_movement.to_owned(),
        typical_position: Position::Opening,
        energy_level: Energy::Medium,
        prompt: "A watch rests on dark stone.".to_owned(),
    }
}

/// The render of a whole beat that opens a film.
pub fn render_job(camera_movement: &str, duration: u32, start_image: ObjectRef) -> RenderChunk {
    RenderChunk {
        chunk: PlannedChunk {
            index: 0,
            beat_index: 0,
            start_s: 0.0,
            duration_s: f64::from(duration),
            offset_in_beat_s: 0.0,
            chained: false,
        },
        beat: beat(camera_movement, duration),
        style: Style {
            aesthetic: "clean and modern".to_owned(),
            color_palette: ["#102030", "#405060", "#f0e0d0"].map(|color| color.parse().expect("a colour")).to_vec(),
            mood: Mood::Elegant,
            lighting: "soft window light".to_owned(),
        },
        start_image,
        size: SMALL,
        fps: 30,
        seed: 7,
        model: model("local"),
    }
}

/// A video model of a provider.
pub fn model(provider: &str) -> Model {
    Model {
        name: "some_model".to_owned(),
        kind: ModelKind::Video,
        provider: provider.to_owned(),
        provider_model: "animatic".to_owned(),
        price: Price::Free,
        clip_s: None,
        fps: None,
        size: None,
        start_image_parameter: None,
        own_sound: false,
        continues: true,
    }
}

/// A film of small clips, each of its own beat, cut.
pub fn film(chunks: Vec<(ObjectRef, f64)>) -> StitchFilm {
    let duration_s = chunks.iter().map(|(_, seconds)| seconds).sum();
    let chunks = (0u32..)
        .zip(chunks)
        .map(|(beat_index, (object, duration_s))| StitchChunk { beat_index, duration_s, object })
        .collect();
    StitchFilm { chunks, transitions: Vec::new(), size: SMALL, fps: 30, duration_s }
}

fn job(work: Work) -> Job {
    let video: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid");
    let artifact = match &work {
        Work::Chunk(work) => match work.as_ref() {
            ChunkWork::Render(job) => ArtifactKey::Chunk(job.chunk.index),
            ChunkWork::Stitch(_) => ArtifactKey::Stitched,
        },
        _ => ArtifactKey::Chunk(0),
    };
    let checkpoint = CheckpointId::derived(video, &BranchName::main(), Phase::Chunks, 1);
    Job {
        id: JobId { checkpoint, artifact, version: 1 },
        attempt: 1,
        send: 1,
        user: UserId::local(),
        video,
        partition: Partition::of(video),
        prefix: "local/videos/main/".to_owned(),
        deadline_s: 600,
        price: Usd::ZERO,
        trace: None,
        planned_at: None,
        work,
    }
}

/// What ffprobe says about one entry of a file's first stream of a kind (`v` or `a`), or nothing.
pub fn probed(file: &Path, kind: &str, entry: &str) -> String {
    let output = std::process::Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-select_streams", kind, "-of", "csv=p=0", "-show_entries"])
        .arg(format!("stream={entry}"))
        .arg(file)
        .output()
        .expect("ffprobe starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().trim_end_matches(',').to_owned()
}

/// How many frames decode.
pub fn frames(file: &Path) -> u32 {
    probed(file, "v:0", "nb_read_frames").parse().expect("a number")
}

/// When each frame is shown, in frames.
pub fn shown_at(file: &Path, fps: u32) -> Vec<f64> {
    let output = std::process::Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-of", "csv=p=0", "-show_entries", "packet=pts_time"])
        .arg(file)
        .output()
        .expect("ffprobe starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| line.trim_end_matches(',').parse::<f64>().expect("a time") * f64::from(fps)).collect()
}

/// The brightness of every frame of a clip of [`SMALL`] size.
pub fn gray_frames(file: &Path) -> Vec<Vec<u8>> {
    decoded(file, &["-map", "0:v:0", "-f", "rawvideo", "-pix_fmt", "gray"])
        .chunks_exact((SMALL.width * SMALL.height) as usize)
        .map(<[u8]>::to_vec)
        .collect()
}

/// Every frame of a clip of [`SMALL`] size in colour.
pub fn colour_frames(file: &Path) -> Vec<Vec<u8>> {
    decoded(
        file,
        &["-map", "0:v:0", "-sws_flags", "accurate_rnd+full_chroma_int+bicubic", "-f", "rawvideo", "-pix_fmt", "rgb24"],
    )
    .chunks_exact(3 * (SMALL.width * SMALL.height) as usize)
    .map(<[u8]>::to_vec)
    .collect()
}

/// The sound of a clip at 48 kHz, mono.
pub fn samples(file: &Path) -> Vec<i16> {
    decoded(file, &["-map", "0:a:0", "-f", "s16le", "-ar", "48000", "-ac", "1"])
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

fn decoded(file: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(arguments)
        .arg("-")
        .output()
        .expect("ffmpeg starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The mean difference between two frames, in levels of 255.
pub fn difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

/// The mean brightness of a frame.
pub fn brightness(frame: &[u8]) -> f64 {
    frame.iter().map(|value| f64::from(*value)).sum::<f64>() / frame.len() as f64
}
