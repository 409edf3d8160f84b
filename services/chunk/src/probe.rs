//! What a clip is: the questions to `ffprobe` and the reading of its answers. Pure.

use messages::spec::Size;
use serde::Deserialize;

use crate::encoder::{clip_input, strings};

/// The most pixels of a frame: what cinemas call 4K, with room for odd shapes.
pub const MAX_FRAME_PIXELS: u64 = 4096 * 2304;

/// A clip, as far as joining it needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    /// Its picture.
    pub video: Video,
    /// Whether it has sound.
    pub has_sound: bool,
    /// How many streams it has, of any kind.
    pub streams: usize,
}

/// A clip's picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Video {
    /// `h264`.
    pub codec: String,
    /// `yuv420p`.
    pub pixel_format: String,
    /// Pixels as stored.
    pub size: Size,
    /// The width and height of one pixel as it is shown; squares where nothing is said.
    pub pixel: (u32, u32),
    /// Frames a second; none when it varies or is no whole number.
    pub fps: Option<u32>,
    /// How many frames the container lists.
    pub frames: Option<u32>,
    /// Whether it says by what matrix its colours were made.
    pub names_colours: bool,
    /// Hash of the decoder's parameter sets: equal means that one decoder reads both.
    pub parameters: Option<String>,
}

/// The question about a clip in the job's folder.
pub fn arguments(file: &str) -> Vec<String> {
    question(clip_input(file))
}

/// The same about whatever those arguments open.
pub fn question(input: Vec<String>) -> Vec<String> {
    let mut arguments = strings(&[
        "-show_entries",
        "stream=codec_type,codec_name,pix_fmt,width,height,sample_aspect_ratio,avg_frame_rate,r_frame_rate,nb_frames,\
         color_space,extradata_hash\
         :stream_disposition=attached_pic",
        "-show_data_hash",
        "SHA256",
        "-of",
        "json",
    ]);
    arguments.extend(input);
    arguments
}

/// Reads the answer, or says why the file is no clip.
pub fn read(answer: &[u8]) -> Result<Clip, String> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| format!("it cannot be probed ({error})"))?;
    // A song's cover is a video stream of one frame: no film.
    let playing = || answer.streams.iter().filter(|stream| stream.disposition.attached_pic == 0);
    let of_kind = |kind: &str| playing().find(|stream| stream.codec_type.as_deref() == Some(kind));
    let video = of_kind("video").ok_or("it has no picture")?;
    let (Some(width), Some(height)) = (video.width.filter(|w| *w > 0), video.height.filter(|h| *h > 0)) else {
        return Err("its picture has no size".to_owned());
    };
    let rates = (rate(video.avg_frame_rate.as_deref()), rate(video.r_frame_rate.as_deref()));
    Ok(Clip {
        video: Video {
            codec: video.codec_name.clone().unwrap_or_default(),
            pixel_format: video.pix_fmt.clone().unwrap_or_default(),
            size: Size { width, height },
            pixel: shape(video.sample_aspect_ratio.as_deref()).unwrap_or((1, 1)),
            fps: rates.0.filter(|_| rates.0 == rates.1),
            frames: video.nb_frames.as_deref().and_then(|frames| frames.parse().ok()),
            names_colours: video.color_space.as_deref().is_some_and(|space| space != "unknown"),
            parameters: video.extradata_hash.clone(),
        },
        has_sound: of_kind("audio").is_some(),
        streams: answer.streams.len(),
    })
}

/// `30/1` as 30.
fn rate(fraction: Option<&str>) -> Option<u32> {
    let (over, under) = fraction?.split_once('/')?;
    let (over, under): (u32, u32) = (over.parse().ok()?, under.parse().ok()?);
    (under > 0 && over % under == 0).then(|| over / under)
}

/// `4:3` as such; none for `0:1`, which means that it is not known.
fn shape(ratio: Option<&str>) -> Option<(u32, u32)> {
    let (width, height) = ratio?.split_once(':')?;
    let (width, height): (u32, u32) = (width.parse().ok()?, height.parse().ok()?);
    (width > 0 && height > 0).then_some((width, height))
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    codec_type: Option<String>,
    codec_name: Option<String>,
    pix_fmt: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    sample_aspect_ratio: Option<String>,
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
    nb_frames: Option<String>,
    color_space: Option<String>,
    extradata_hash: Option<String>,
    #[serde(default)]
    disposition: Disposition,
}

#[derive(Default, Deserialize)]
struct Disposition {
    #[serde(default)]
    attached_pic: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varying_rate_is_no_rate() {
        let answer = |average: &str| {
            format!(
                r#"{{"streams":[{{"codec_type":"video","width":16,"height":16,"avg_frame_rate":"{average}","r_frame_rate":"30/1"}}]}}"#
            )
        };
        assert_eq!(read(answer("30/1").as_bytes()).expect("a clip").video.fps, Some(30));
        assert_eq!(read(answer("30000/1001").as_bytes()).expect("a clip").video.fps, None);
        assert_eq!(read(answer("0/0").as_bytes()).expect("a clip").video.fps, None);
    }

    #[test]
    fn pixels_are_square_unless_something_else_is_said() {
        let answer = |ratio: &str| format!(r#"{{"streams":[{{"codec_type":"video","width":16,"height":16{ratio}}}]}}"#);
        for (ratio, pixel) in [("", (1, 1)), ("0:1", (1, 1)), ("N/A", (1, 1)), ("4:3", (4, 3)), ("200:1", (200, 1))] {
            let field = if ratio.is_empty() { String::new() } else { format!(r#","sample_aspect_ratio":"{ratio}""#) };
            assert_eq!(read(answer(&field).as_bytes()).expect("a clip").video.pixel, pixel, "{ratio}");
        }
    }

    #[test]
    fn a_clip_without_a_picture_is_refused_with_a_reason() {
        assert_eq!(read(br#"{"streams":[{"codec_type":"audio"}]}"#), Err("it has no picture".to_owned()));
        assert_eq!(read(b"{}"), Err("it has no picture".to_owned()));
    }
}
