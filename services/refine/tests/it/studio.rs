//! A place to refine in: small films, an object store in memory, and meters.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use messages::artifact::{ArtifactKey, Content, Digest, Made, MediaType, ObjectRef};
use messages::catalogue::{Energy, Model, ModelKind, Price};
use messages::id::{BranchName, CheckpointId, JobId, UserId, VideoId};
use messages::import::{ImportMusic, ImportWork};
use messages::job::{Job, Work};
use messages::money::Usd;
use messages::phase::Phase;
use messages::refine::{ComposeMusic, MixFilm, MusicSection, RefineWork};
use messages::spec::{Audio, Mood, MusicStyle, Tempo};
use messages::subject::Partition;
use runtime::artifacts::{ObjectError, ObjectMeta, ObjectStore, PutOnce};
use runtime::child::MediaTool;
use runtime::job_error::JobError;
use runtime::worker::{Handler as _, Task};
use tempfile::TempDir;

/// Objects in memory.
#[derive(Debug, Default)]
pub struct Shelf(Mutex<HashMap<String, Vec<u8>>>);

impl Shelf {
    fn put(&self, key: &str, bytes: Vec<u8>) {
        self.0.lock().expect("no test panics while holding it").insert(key.to_owned(), bytes);
    }
}

#[async_trait]
impl ObjectStore for Shelf {
    async fn put_file(&self, key: &str, file: &Path, _: &ObjectMeta) -> Result<(), ObjectError> {
        self.put(key, std::fs::read(file).map_err(ObjectError::Scratch)?);
        Ok(())
    }

    async fn put_once(&self, key: &str, bytes: Vec<u8>, _: &ObjectMeta) -> Result<PutOnce, ObjectError> {
        self.put(key, bytes);
        Ok(PutOnce::Stored)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        Ok(self.0.lock().expect("no test panics while holding it").get(key).cloned())
    }

    async fn get_file(&self, key: &str, file: &Path) -> Result<Digest, ObjectError> {
        let bytes = self.get(key).await?.ok_or_else(|| ObjectError::NotFound(key.to_owned()))?;
        std::fs::write(file, &bytes).map_err(ObjectError::Scratch)?;
        Ok(Digest::of(&bytes))
    }

    async fn link(&self, key: &str, _: Duration) -> Result<String, ObjectError> {
        Ok(key.to_owned())
    }

    async fn delete(&self, _: &str) -> Result<(), ObjectError> {
        Ok(())
    }

    async fn delete_prefix(&self, _: &str) -> Result<u64, ObjectError> {
        Ok(0)
    }
}

/// Everything one test needs.
pub struct Studio {
    folder: TempDir,
    shelf: Arc<Shelf>,
    made: Mutex<u32>,
}

impl Studio {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), shelf: Arc::default(), made: Mutex::new(0) }
    }

    fn fresh(&self, extension: &str) -> PathBuf {
        let mut made = self.made.lock().expect("no test panics while holding it");
        *made += 1;
        self.folder.path().join(format!("{made}.{extension}"))
    }

    /// Runs the media tool; gives what it printed.
    fn tool(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new(program).args(arguments).output().expect("the media tool is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// A film of a test picture; `sound` is an audio source of the media tool, or none for a film without a sound track.
    pub fn film(&self, seconds: f64, sound: Option<&str>) -> ObjectRef {
        let picture = format!("testsrc2=size=160x90:rate=30:duration={seconds}");
        self.film_of(&picture, seconds, sound)
    }

    pub fn film_of(&self, picture: &str, seconds: f64, sound: Option<&str>) -> ObjectRef {
        let (file, length) = (self.fresh("mp4"), seconds.to_string());
        let mut arguments = vec!["-loglevel", "error", "-f", "lavfi", "-i", picture];
        if let Some(sound) = sound {
            arguments.extend(["-f", "lavfi", "-i", sound, "-c:a", "aac"]);
        }
        let file_name = file.to_str().expect("a plain path");
        arguments.extend(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-t", &length, file_name]);
        self.tool("ffmpeg", &arguments);
        self.shelve(&std::fs::read(&file).expect("a film"), MediaType::Mp4)
    }

    /// Music from an audio source of the media tool.
    pub fn music(&self, source: &str) -> ObjectRef {
        let file = self.fresh("mp3");
        let name = file.to_str().expect("a plain path");
        self.tool("ffmpeg", &["-loglevel", "error", "-f", "lavfi", "-i", source, "-ac", "2", "-b:a", "192k", name]);
        self.shelve(&std::fs::read(&file).expect("music"), MediaType::Mp3)
    }

    /// Any file that the media tool makes of an audio source with these arguments, said to be of that type.
    pub fn media(&self, source: &str, arguments: &str, extension: &str, media_type: MediaType) -> ObjectRef {
        let file = self.fresh(extension);
        let name = file.to_str().expect("a plain path");
        let mut all = vec!["-loglevel", "error", "-f", "lavfi", "-i", source];
        all.extend(arguments.split_whitespace().chain([name]));
        self.tool("ffmpeg", &all);
        self.shelve(&std::fs::read(&file).expect("a file"), media_type)
    }

    /// Puts bytes on the shelf.
    pub fn shelve(&self, bytes: &[u8], media_type: MediaType) -> ObjectRef {
        let sha256 = Digest::of(bytes);
        let key = format!("given/{}.{}", sha256.short(), media_type.extension());
        self.shelf.put(&key, bytes.to_vec());
        ObjectRef { key, sha256, size: bytes.len() as u64, media_type }
    }

    /// Does a job.
    pub async fn work(&self, work: RefineWork) -> Result<Made, JobError> {
        self.run(Work::Refine(Box::new(work))).await
    }

    /// Brings uploaded music into its place.
    pub async fn import(&self, upload: ObjectRef, duration_s: f64) -> Result<Made, JobError> {
        self.run(Work::Import(Box::new(ImportWork::Music(ImportMusic { upload, duration_s })))).await
    }

    async fn run(&self, work: Work) -> Result<Made, JobError> {
        let mut made = self.run_all(work).await?;
        assert_eq!(made.len(), 1);
        Ok(made.remove(0))
    }

    /// Does a job that makes more than one thing.
    pub async fn run_all(&self, work: Work) -> Result<Vec<Made>, JobError> {
        let task = Task::new(job(work), self.shelf.clone(), Default::default());
        let outcome = refine::handler(MediaTool::default()).handle(&task).await?;
        assert!(outcome.spent.is_empty());
        Ok(outcome.made)
    }

    pub async fn mixed(&self, order: MixFilm) -> Heard {
        let made = self.work(RefineWork::Mix(order)).await.expect("a mix");
        assert_eq!(made.key, ArtifactKey::Final);
        Heard { file: self.file(&made), made }
    }

    /// A local file with what was made.
    pub fn file(&self, made: &Made) -> PathBuf {
        self.local(object(made))
    }

    /// A local file with an object's bytes.
    pub fn local(&self, object: &ObjectRef) -> PathBuf {
        let bytes = self.shelf.0.lock().expect("no test panics while holding it")[&object.key].clone();
        let file = self.fresh(object.media_type.extension());
        std::fs::write(&file, bytes).expect("a local file");
        file
    }

    /// Integrated loudness (LUFS) and true peak (dBTP) by the tool's own EBU R 128 meter, optionally of a stretch.
    pub fn meter(&self, file: &Path, stretch: Option<(f64, f64)>) -> (f64, f64) {
        let file = file.to_str().expect("a plain path");
        let (from, length) = stretch.unwrap_or((0.0, 10_000.0));
        let cut = format!("atrim=start={from}:duration={length},ebur128=peak=true:framelog=verbose");
        let arguments = ["-hide_banner", "-nostats", "-i", file, "-map", "0:a:0", "-af", &cut, "-f", "null", "-"];
        let output = Command::new("ffmpeg").args(arguments).output().expect("the media tool is installed");
        let report = String::from_utf8_lossy(&output.stderr).into_owned();
        let summary = report.rsplit("Summary:").next().expect("a summary");
        let figure = |name: &str| -> f64 {
            let line = summary.lines().find_map(|line| line.trim().strip_prefix(name)).expect("a figure");
            line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(f64::NEG_INFINITY)
        };
        (figure("I:"), figure("Peak:"))
    }

    /// A field of the probe: `stream=codec_name`, of `v:0` or `a:0`.
    pub fn probe(&self, file: &Path, stream: &str, entry: &str) -> String {
        let file = file.to_str().expect("a plain path");
        let arguments = ["-v", "error", "-select_streams", stream, "-show_entries", entry, "-of", "csv=p=0", file];
        String::from_utf8_lossy(&self.tool("ffprobe", &arguments)).trim().trim_end_matches(',').to_owned()
    }

    /// A hash over the packets of the pictures, untouched by containers.
    pub fn picture_hash(&self, file: &Path) -> Vec<u8> {
        let file = file.to_str().expect("a plain path");
        self.tool("ffmpeg", &["-loglevel", "error", "-i", file, "-map", "0:v:0", "-c", "copy", "-f", "md5", "-"])
    }

    /// The sound as mono float samples at 48 kHz.
    pub fn samples(&self, file: &Path) -> Vec<f32> {
        let file = file.to_str().expect("a plain path");
        let arguments =
            ["-loglevel", "error", "-i", file, "-map", "0:a:0", "-ac", "1", "-ar", "48000", "-f", "f32le", "-"];
        let bytes = self.tool("ffmpeg", &arguments);
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }
}

/// A finished mix.
pub struct Heard {
    pub made: Made,
    pub file: PathBuf,
}

pub fn object(made: &Made) -> &ObjectRef {
    match &made.content {
        Content::Object(object) => object,
        Content::Spec(_) => panic!("refine makes objects"),
    }
}

/// Root mean square in dB.
pub fn level_db(samples: &[f32]) -> f64 {
    let square: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    10.0 * (square / samples.len() as f64).log10()
}

pub fn audio() -> Audio {
    Audio {
        music_style: MusicStyle::Corporate,
        tempo: Tempo::Medium,
        mood: Mood::Informative,
        music: true,
        music_gain_db: 0.0,
        native_gain_db: 0.0,
        fade_in_s: 1.0,
        fade_out_s: 2.0,
    }
}

pub fn compose(seconds: f64, music_style: MusicStyle, seed: u64) -> ComposeMusic {
    let energies = [Energy::Low, Energy::Medium, Energy::High];
    let sections = (0..(seconds / 5.0) as usize)
        .map(|n| MusicSection { start_s: 5.0 * n as f64, energy: energies[n.min(2)] })
        .collect();
    ComposeMusic { audio: Audio { music_style, ..audio() }, duration_s: seconds, sections, seed, model: model("local") }
}

pub fn model(provider: &str) -> Model {
    Model {
        name: format!("{provider}_music"),
        kind: ModelKind::Music,
        provider: provider.to_owned(),
        provider_model: "band".to_owned(),
        price: Price::Free,
        clip_s: None,
        fps: None,
        size: None,
        start_image_parameter: None,
        own_sound: false,
        continues: true,
    }
}

fn job(work: Work) -> Job {
    let video: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid");
    let checkpoint = CheckpointId::derived(video, &BranchName::main(), Phase::Refine, 1);
    let artifact = match &work {
        Work::Refine(work) => match work.as_ref() {
            RefineWork::Compose(_) => ArtifactKey::Background,
            RefineWork::Mix(_) => ArtifactKey::Final,
            RefineWork::Thumbnail(_) => ArtifactKey::Thumbnail,
        },
        _ => ArtifactKey::Background,
    };
    Job {
        id: JobId { checkpoint, artifact, version: 1 },
        attempt: 1,
        send: 1,
        user: UserId::local(),
        video,
        partition: Partition::of(video),
        prefix: "local/videos/test/".to_owned(),
        deadline_s: 600,
        price: Usd::ZERO,
        trace: None,
        planned_at: None,
        work,
    }
}
