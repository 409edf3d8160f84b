//! The model that is built in: the beat's camera movement over its picture, without keys, network or cost.
//!
//! It shows structure, timing and camera before anybody pays for a model. Frames are drawn one by one and handed to the
//! encoder while it works, so a clip is never whole in memory. The same request gives the same bytes.

use std::num::NonZeroUsize;
use std::path::Path;

use async_trait::async_trait;
use runtime::child::MediaTool;
use runtime::job_error::JobError;
use runtime::worker::Task;
use tokio::sync::{mpsc, watch};

use crate::animatic::camera::Camera;
use crate::animatic::entrance::Entrance;
use crate::animatic::projection::{Pose, Projection};
use crate::animatic::sampler::View;
use crate::animatic::source::Source;
use crate::encoder;
use crate::request::ClipRequest;
use crate::video_model::VideoModel;

pub mod camera;
pub mod entrance;
pub mod projection;
pub mod sampler;
pub mod source;

/// Frames that may be drawn ahead of the encoder.
const AHEAD: usize = 3;

/// Draws animatics.
#[derive(Debug, Clone)]
pub struct Animatic {
    tool: MediaTool,
    threads: NonZeroUsize,
}

impl Animatic {
    /// Draws with one thread and encodes with `threads`.
    pub fn new(tool: MediaTool, threads: NonZeroUsize) -> Self {
        Self { tool, threads }
    }
}

#[async_trait]
impl VideoModel for Animatic {
    async fn render(&self, task: &Task, request: &ClipRequest, start_image: &Path, clip: &str) -> Result<(), JobError> {
        let (file, size) = (start_image.to_owned(), request.size);
        let loaded = tokio::select! {
            loaded = on_own_thread(move || Source::load(&file, size)) => loaded?,
            () = task.cancelled.cancelled() => return Err(JobError::Cancelled),
        };
        let source = loaded.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            JobError::give_up(format!("{error}: {cause}"))
        })?;

        let (frames, feed) = mpsc::channel(AHEAD);
        let (drawn, mut drawn_so_far) = watch::channel(0);
        let (total, fps) = (request.span.frames(), request.span.fps);
        let take = Take::of(request);
        let drawing = on_own_thread(move || {
            for n in 0..total {
                // Nobody reads any more: the encoder was stopped or has failed, and says so itself.
                if frames.blocking_send(take.frame(&source, n)).is_err() {
                    break;
                }
                drawn.send_replace(n + 1);
            }
        });
        let watching = async {
            while drawn_so_far.changed().await.is_ok() {
                task.progress(f64::from(*drawn_so_far.borrow_and_update()) / f64::from(total));
            }
        };

        let arguments = [
            encoder::frames_input(size, fps),
            encoder::video_output(fps, total, self.threads),
            encoder::mp4_output(clip),
        ]
        .concat();
        let encoding = self.tool.ffmpeg(task.folder()?, &arguments, Some(feed), &task.cancelled);
        let (encoded, drawn, ()) = tokio::join!(encoding, drawing, watching);
        encoded?;
        drawn
    }
}

/// Runs what takes long and never waits, away from the threads that serve everything else.
async fn on_own_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JobError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| JobError::retry_later(format!("drawing the chunk stopped half way: {error}")))
}

/// A chunk's camera with everything that stays the same from frame to frame.
#[derive(Debug)]
pub struct Take {
    request: ClipRequest,
    camera: Camera,
    aspect: f64,
    entrance: Option<Entrance>,
    joint: Option<Joint>,
}

/// Where a chained chunk takes over: its start image is the picture as it was seen then.
#[derive(Debug)]
struct Joint {
    time: f64,
    pose: Pose,
    back: Projection,
}

impl Take {
    /// The take that a request asks for.
    pub fn of(request: &ClipRequest) -> Self {
        let aspect = f64::from(request.size.width) / f64::from(request.size.height);
        let camera = Camera::new(&request.camera_movement, request.beat_s, request.seed);
        let joint = request.chained.then(|| {
            let time = request.span.time_in_beat(0) - 1.0 / f64::from(request.span.fps);
            let pose = camera.pose(time);
            Joint { time, pose, back: Projection::of(&pose, aspect).inverse() }
        });
        let entrance = match joint {
            Some(_) => None,
            None => Entrance::of(&camera, request.span.seconds()),
        };
        Self { request: request.clone(), camera, aspect, entrance, joint }
    }

    /// Draws the `n`-th frame of the chunk, from 0: planar 4:2:0, BT.709, as the encoder takes it.
    pub fn frame(&self, source: &Source, n: u32) -> Vec<u8> {
        let time = self.request.span.time_in_beat(n);
        let mut frame = vec![0; sampler::frame_bytes(source.size.width as usize, source.size.height as usize)];
        sampler::draw(source, &self.view(time), &mut frame);
        if let Some(entrance) = self.entrance {
            entrance.shade(time, source.size, &mut frame);
        }
        frame
    }

    /// What is seen `time` seconds into the beat.
    fn view(&self, time: f64) -> View {
        let pose = self.camera.pose(time);
        let absolute = Projection::of(&pose, self.aspect);
        let smear = self.entrance.and_then(|entrance| entrance.smear(time, 1.0 / f64::from(self.request.span.fps)));
        match &self.joint {
            // The start image already is what the camera saw at the joint. What it saw then is taken back, so that the
            // first frame follows on the neighbour's last one; a cut is a new framing of whatever the image shows.
            Some(joint) if self.camera.shot(joint.time) == self.camera.shot(time) => {
                let into = ((time - joint.time) / 1.5).clamp(0.0, 1.0);
                let closer = 1.0 - self.camera.sway_room() * into * into * (3.0 - 2.0 * into);
                let closer = Projection::of(&Pose { span: closer, ..Pose::WHOLE }, self.aspect);
                let relative = joint.back.after(&absolute).after(&closer);
                View { projection: relative.inside(self.aspect), light: pose.light / joint.pose.light, smear }
            }
            Some(_) | None => View { projection: absolute.inside(self.aspect), light: pose.light, smear },
        }
    }
}
