//! An uploaded video becomes a chunk: the questions about it, the verdict, and the run that encodes it anew. Pure.
//!
//! A stranger made it: it is read as what it is said to be and nothing else, its lengths and sizes are believed only where
//! too much would do harm, and how long it lasts is counted in the frames that came out.

use messages::artifact::MediaType;
use messages::import::ImportClip;

use crate::encoder::{self, strings};
use crate::frames;
use crate::probe::{Clip, MAX_FRAME_PIXELS, Video};
use crate::sound;
use crate::stitch::Target;

/// What an upload has to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import {
    /// What the file is read as.
    pub container: &'static str,
    /// How many frames the chunk has.
    pub frames: u32,
}

impl Import {
    /// What a job asks for, or why nobody can do that.
    pub fn of(job: &ImportClip) -> Result<Self, String> {
        let container = match job.upload.media_type {
            MediaType::Mp4 | MediaType::QuickTime => "mov",
            MediaType::Webm => "matroska",
            MediaType::Png
            | MediaType::Jpeg
            | MediaType::Webp
            | MediaType::Mp3
            | MediaType::Wav
            | MediaType::Flac
            | MediaType::Ogg
            | MediaType::M4a
            | MediaType::Json => {
                let is = job.upload.media_type.content_type();
                return Err(format!("the upload is {is}, not a video: upload an MP4, QuickTime or WebM file"));
            }
        };
        if !encoder::is_encodable(job.size, job.fps) {
            return Err(format!("a chunk of {} at {} frames a second cannot be encoded", job.size, job.fps));
        }
        let frames = frames::of_planned(&job.chunk, job.fps).ok_or_else(|| {
            let chunk = &job.chunk;
            format!(
                "chunk {} has an impossible place in its film: {} s from {} s",
                chunk.index, chunk.duration_s, chunk.start_s
            )
        })?;
        Ok(Self { container, frames })
    }

    /// The upload as it is looked at. Frames of any real camera pass, so that [`check_size`] can say what is wrong with them.
    pub fn first_look(&self, file: &str) -> Vec<String> {
        self.input(8 * MAX_FRAME_PIXELS, file)
    }

    /// More pixels than that are an error of the decoder itself, whatever the container says.
    fn input(&self, max_pixels: u64, file: &str) -> Vec<String> {
        let mut input = strings(&["-max_pixels", &max_pixels.to_string()]);
        input.extend(encoder::input(self.container, file));
        input
    }

    /// Encodes the upload as the chunk: every picture fitted into the frame, as many as the chunk has, with the sound
    /// under them where there is some.
    ///
    /// An upload that is short by a frame holds its last picture for that frame; one that is shorter comes out short.
    pub fn encode(&self, target: &Target, clip: &Clip, file: &str, output: &str) -> Vec<String> {
        let frames = self.frames;
        let mut graph = format!(
            "[0:V:0]{},tpad=stop=1:stop_mode=clone,trim=end_frame={frames},setpts=PTS-STARTPTS,format=yuv420p,setsar=1[film]",
            target.fit(clip)
        );
        if clip.has_sound {
            graph.push_str(&format!(";[0:a:0]{}[sound]", sound::lasting(sound::moment_at(frames.into(), target.fps))));
        }
        let mut arguments = self.input(MAX_FRAME_PIXELS, file);
        arguments.extend(strings(&["-xerror", "-filter_complex", &graph, "-map", "[film]"]));
        if clip.has_sound {
            arguments.extend(strings(&["-map", "[sound]", "-c:a", "aac", "-b:a", "192k", "-flags:a", "+bitexact"]));
        }
        // The graph counts the frames. A limit that the output reached would end the sound with the last picture.
        arguments.extend(encoder::video_output(target.fps, frames + 1, target.threads));
        arguments.extend(strings(&["-map_chapters", "-1"]));
        arguments.extend(encoder::mp4_output(output));
        arguments
    }

    /// Whether enough came out, or why not.
    pub fn check(&self, came_out: &Clip, fps: u32) -> Result<(), String> {
        let seconds = |frames: u32| (f64::from(frames) * 100.0 / f64::from(fps)).round() / 100.0;
        match came_out.video.frames {
            Some(frames) if frames == self.frames => Ok(()),
            frames => {
                // The last of them may have been held for a frame.
                let has = seconds(frames.unwrap_or(0).saturating_sub(1));
                let needs = seconds(self.frames);
                Err(format!("the upload lasts {has} s, its chunk {needs} s: upload a video that is as long or longer"))
            }
        }
    }
}

/// Whether an upload's frames are small enough to be decoded and to be made of square pixels, or why not.
pub fn check_size(video: &Video) -> Result<(), String> {
    let (size, (width, height)) = (video.size, video.pixel);
    let stored = u64::from(size.width) * u64::from(size.height);
    if stored > MAX_FRAME_PIXELS {
        return Err(format!("the upload has {size} pixels, a video may have 4096x2304: scale it down"));
    }
    // Pixels that stand become pixels that lie when the video is turned, so the longer side counts either way.
    let shown = stored.saturating_mul(width.max(height).into()) / u64::from(width.min(height));
    if shown > MAX_FRAME_PIXELS {
        return Err(format!(
            "the upload has {size} pixels of the shape {width}:{height}, which is more than 4096x2304 square ones: \
             scale it down, or encode it with square pixels"
        ));
    }
    Ok(())
}
