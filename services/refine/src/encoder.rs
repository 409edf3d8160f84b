//! Runs the media tool: probes, decodes, measures, mixes and encodes inside a job's folder.
//!
//! Films and music may come from anybody, so their containers are named instead of guessed, only files and pipes may be
//! opened, and every file name is ours. Nothing is held in memory but blocks. Loudness is measured after encoding, not
//! believed.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use messages::artifact::MediaType;
use runtime::child::{Feed, MediaTool};
use runtime::job_error::JobError;
use runtime::worker::Task;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

use crate::looping;
use crate::thumbnail;
use crate::timeline::{self, Loudness, Master, Mix, PEAK_DBTP, TARGET_LUFS, TOLERANCE_LU};
use crate::upload;

/// Where the limiter holds at first, in dB: lossy encoding overshoots by a fraction of a dB.
const FIRST_CEILING_DB: f64 = -1.6;
/// How often levels are set anew before the result is taken for what it is.
const ROUNDS: usize = 4;
/// How far off the loudness of what is delivered may be, in LU.
const DELIVERED_LU: f64 = 1.0;
/// Bytes of a stereo float frame.
const FRAME: usize = 8;
/// Such frames a second.
const RATE: f64 = 48_000.0;
/// Seconds of music that may be missing before it is repeated.
const MOMENT_S: f64 = 0.05;
/// The least music that somebody may upload, in seconds.
const SHORTEST_UPLOAD_S: f64 = 1.0;
/// Seconds over which uploaded music begins and ends: too short to be heard, long enough not to click.
const CLICK_S: f64 = 0.01;
/// Music as it was decoded, a file of the job's folder.
const ONCE: &str = "once.f32";

/// The media tool at work on one job.
#[derive(Debug)]
pub struct Encoder<'a> {
    tool: &'a MediaTool,
    task: &'a Task,
}

/// What a film is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Film {
    /// Seconds of its pictures.
    pub seconds: f64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Whether it has sound of its own.
    pub has_sound: bool,
}

/// What is known of music that somebody uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedMusic {
    /// As the media tool calls it.
    pub codec: String,
    /// Whether the film is longer, so that it is repeated.
    pub is_looped: bool,
}

/// What comes out of a mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output<'a> {
    /// Music alone, as MP3.
    Music,
    /// The pictures of a film, untouched, with the mix as their sound, as MP4.
    Film(&'a str),
}

impl<'a> Encoder<'a> {
    /// A tool for a job.
    pub const fn new(tool: &'a MediaTool, task: &'a Task) -> Self {
        Self { tool, task }
    }

    /// What an MP4 file holds.
    pub async fn probe(&self, file: &str) -> Result<Film, JobError> {
        let probe = self.streams("mov", file).await.map_err(|error| explain("the film cannot be read", error))?;
        let picture = probe.of("video").ok_or_else(|| JobError::give_up("the film has no pictures"))?;
        let seconds = picture.duration.as_ref().or(probe.format.duration.as_ref()).and_then(|s| s.parse::<f64>().ok());
        Ok(Film {
            seconds: seconds.filter(|s| *s > 0.0).ok_or_else(|| JobError::give_up("the film has no length"))?,
            width: picture.width.unwrap_or(0),
            height: picture.height.unwrap_or(0),
            has_sound: probe.of("audio").is_some(),
        })
    }

    async fn streams(&self, container: &str, file: &str) -> Result<Probe, JobError> {
        let entries = "stream=codec_type,codec_name,width,height,duration:format=duration";
        let arguments = [strings(&["-show_entries", entries, "-of", "json"]), untrusted(container, file)].concat();
        let printed = self.tool.ffprobe(self.task.folder()?, &arguments, &self.task.cancelled).await?;
        serde_json::from_slice(&printed).map_err(|error| JobError::give_up(error.to_string()))
    }

    /// Writes stereo float samples at 48 kHz to a WAV file as they come.
    pub async fn record(&self, feed: Feed, file: &str) -> Result<(), JobError> {
        let arguments = [
            strings(&["-f", "f32le", "-ar", "48000", "-ac", "2", "-i", "pipe:0", "-c:a", "pcm_f32le", "-rf64", "auto"]),
            strings(&[file]),
        ];
        self.tool.ffmpeg(self.task.folder()?, &arguments.concat(), Some(feed), &self.task.cancelled).await.map(drop)
    }

    /// Brings the film's own sound into a WAV file of exactly `seconds`.
    pub async fn own_sound(&self, film: &str, seconds: f64, file: &str) -> Result<(), JobError> {
        let filters = format!("aresample=async=1:first_pts=0,{}", timeline::fitted(seconds));
        let arguments = [
            untrusted("mov", film),
            strings(&["-map", "0:a:0", "-af", &filters, "-c:a", "pcm_f32le", "-rf64", "auto", file]),
        ];
        self.run(&arguments.concat())
            .await
            .map_err(|error| explain("the film's own sound cannot be used", error))
            .map(drop)
    }

    /// Brings music into a WAV file of exactly `seconds`, faded: cut when it is longer, repeated on a bar when it is shorter.
    pub async fn bed(
        &self,
        music: (&str, MediaType),
        seconds: f64,
        fades_s: (f64, f64),
        file: &str,
    ) -> Result<(), JobError> {
        let container = music_container(music.1)
            .ok_or_else(|| JobError::give_up(format!("music cannot be {}", music.1.content_type())))?;
        let decoded = self.decode(container, music.0, seconds).await;
        decoded.map_err(|error| explain("the music cannot be used", error))?;
        self.fit(seconds, fades_s, file).await.map_err(|error| explain("the music cannot be used", error))
    }

    /// The same of music that somebody uploaded: what is no music, or too little of it, is refused in words about the upload.
    pub async fn uploaded_bed(
        &self,
        (file_name, media_type): (&str, MediaType),
        seconds: f64,
        file: &str,
    ) -> Result<UploadedMusic, JobError> {
        const UNUSABLE: &str = "the upload cannot be used as music";
        let container = music_container(media_type).ok_or_else(|| {
            let is = media_type.content_type();
            JobError::give_up(format!("the upload is {is}, not music: upload an MP3, WAV, FLAC, Ogg or M4A file"))
        })?;
        // Demuxers that are told what to expect find it in almost anything.
        let mut head = [0; upload::HEAD];
        let mut opened = tokio::fs::File::open(self.task.folder()?.join(file_name)).await.map_err(scratch)?;
        let read = opened.read(&mut head).await.map_err(scratch)?;
        if !upload::begins_like(media_type, &head[..read]) {
            let is = media_type.content_type();
            return Err(JobError::give_up(format!("{UNUSABLE}: it does not begin like {is}, export it anew")));
        }
        let probe = self.streams(container, file_name).await.map_err(|error| explain(UNUSABLE, error))?;
        let sound = probe.of("audio").ok_or_else(|| JobError::give_up("the upload has no sound: upload music"))?;
        let codec = sound.codec_name.clone().unwrap_or_default();
        let heard_s = self.decode(container, file_name, seconds).await.map_err(|error| explain(UNUSABLE, error))?;
        if heard_s < SHORTEST_UPLOAD_S {
            return Err(JobError::give_up(format!(
                "the upload has {heard_s:.1} s of sound: upload at least {SHORTEST_UPLOAD_S} s of music"
            )));
        }
        self.fit(seconds, (CLICK_S, CLICK_S), file).await.map_err(|error| explain(UNUSABLE, error))?;
        Ok(UploadedMusic { codec, is_looped: heard_s + MOMENT_S < seconds })
    }

    /// Decodes as much of some music as a film of `seconds` needs, and gives how many seconds came.
    async fn decode(&self, container: &str, music: &str, seconds: f64) -> Result<f64, JobError> {
        let length = format!("{:.6}", seconds + 1.0);
        let arguments = [
            untrusted(container, music),
            strings(&["-map", "0:a:0", "-t", &length, "-af", "aformat=sample_rates=48000:channel_layouts=stereo"]),
            strings(&["-f", "f32le", ONCE]),
        ];
        self.run(&arguments.concat()).await?;
        let bytes = tokio::fs::metadata(self.task.folder()?.join(ONCE)).await.map_err(scratch)?.len();
        Ok(bytes as f64 / (FRAME as f64 * RATE))
    }

    /// Makes decoded music exactly as long as the film.
    async fn fit(&self, seconds: f64, (fade_in_s, fade_out_s): (f64, f64), file: &str) -> Result<(), JobError> {
        let whole = "whole.f32";
        let (from, to) = (self.task.folder()?.join(ONCE), self.task.folder()?.join(whole));
        let frames = (seconds * RATE).round() as u64;
        let extended = tokio::task::spawn_blocking(move || extend(&from, &to, frames)).await;
        let extended = extended.map_err(|error| JobError::give_up(error.to_string()))??;
        let source = if extended { whole } else { ONCE };

        let filters = format!("{},{}", timeline::fitted(seconds), timeline::fades(seconds, fade_in_s, fade_out_s));
        let arguments = strings(&[
            "-f",
            "f32le",
            "-ar",
            "48000",
            "-ac",
            "2",
            "-i",
            source,
            "-af",
            &filters,
            "-c:a",
            "pcm_f32le",
            "-rf64",
            "auto",
            file,
        ]);
        self.run(&arguments).await.map(drop)
    }

    /// Measures a WAV file of ours.
    pub async fn measure_wav(&self, file: &str) -> Result<Loudness, JobError> {
        self.measure(&strings(&["-f", "wav", "-i", file]), "[0:a:0]anull[mix]").await
    }

    /// Finds the master gain that brings a mix at default levels to the target.
    pub async fn level(&self, mix: &Mix) -> Result<Master, JobError> {
        let mut master = Master { gain_db: 0.0, ceiling_db: FIRST_CEILING_DB };
        let mix = mix.at_default_levels();
        if mix.is_silent() {
            return Ok(master);
        }
        for _ in 0..ROUNDS {
            let heard = self.measure(&wavs(&mix), &mix.graph(master)).await?;
            // Gain and limiter pull against each other, so the last step is measured like the first.
            let off = TARGET_LUFS - heard.lufs;
            if heard.is_silent() || off.abs() <= TOLERANCE_LU / 3.0 {
                break;
            }
            master.gain_db += off;
        }
        Ok(master)
    }

    /// Encodes a mix at the levels asked for, and again with a lower ceiling while its peak is too high or, at default levels,
    /// with another gain while its loudness is off. What cannot be brought there is a failure that says how far it came: a
    /// film that is too loud or too quiet is never delivered as if it were right.
    pub async fn encode(&self, mix: &Mix, output: Output<'_>, file: &str) -> Result<Loudness, JobError> {
        let mut master = self.level(mix).await?;
        let is_default = *mix == mix.at_default_levels();
        let mut rounds = 0;
        loop {
            self.encode_once(mix, master, output, file).await?;
            let heard = self.measure(&encoded(output, file), "[0:a:0]anull[mix]").await?;
            rounds += 1;
            let over = heard.peak_dbtp - PEAK_DBTP;
            let off = if is_default && !heard.is_silent() { TARGET_LUFS - heard.lufs } else { 0.0 };
            let is_within = |tolerance_lu: f64| over <= 0.0 && off.abs() <= tolerance_lu;
            if is_within(TOLERANCE_LU) || (rounds >= ROUNDS && is_within(DELIVERED_LU)) {
                return Ok(heard);
            }
            if rounds >= ROUNDS {
                return Err(JobError::give_up(format!(
                    "the sound cannot be brought to {TARGET_LUFS} LUFS below {PEAK_DBTP} dBTP, it stays at {:.1} LUFS and \
                     {:.1} dBTP: choose other music or levels",
                    heard.lufs, heard.peak_dbtp
                )));
            }
            master.ceiling_db -= if over > 0.0 { over + 0.1 } else { 0.0 };
            master.gain_db += off;
        }
    }

    async fn encode_once(&self, mix: &Mix, master: Master, output: Output<'_>, file: &str) -> Result<(), JobError> {
        let stems = mix.inputs().len();
        let (film, codec) = match output {
            Output::Music => {
                (Vec::new(), strings(&["-map", "[mix]", "-c:a", "libmp3lame", "-b:a", "192k", "-f", "mp3"]))
            }
            Output::Film(film) => {
                let picture = format!("{stems}:v:0");
                let codec = [
                    // The pictures are copied, not judged: what was approved is what is delivered.
                    strings(&["-map", &picture, "-map", "[mix]", "-c:v", "copy", "-c:a", "aac", "-b:a", "192k"]),
                    strings(&["-movflags", "+faststart", "-f", "mp4"]),
                ];
                (untrusted("mov", film), codec.concat())
            }
        };
        let arguments = [
            wavs(mix),
            film,
            strings(&["-filter_complex", &mix.graph(master)]),
            codec,
            // Equal input gives equal bytes: no dates, no versions, no titles of others.
            strings(&[
                "-ar",
                "48000",
                "-ac",
                "2",
                "-map_metadata",
                "-1",
                "-map_chapters",
                "-1",
                "-fflags",
                "+bitexact",
            ]),
            strings(&["-flags:a", "+bitexact", file]),
        ];
        self.run(&arguments.concat()).await.map_err(|error| explain("the mix cannot be encoded", error)).map(drop)
    }

    async fn measure(&self, inputs: &[String], graph: &str) -> Result<Loudness, JobError> {
        let (loudness, peak) = ("loudness.txt", "peak.txt");
        let graph = format!("{graph};[mix]{}[out]", timeline::meter(loudness, peak));
        let arguments = [inputs.to_vec(), strings(&["-filter_complex", &graph, "-map", "[out]", "-f", "null", "-"])];
        self.run(&arguments.concat()).await?;
        let folder = self.task.folder()?;
        let read = async |file: &str| tokio::fs::read_to_string(folder.join(file)).await;
        let (loudness, peak) = (read(loudness).await, read(peak).await);
        // The meter writes no file about no sound at all.
        Ok(timeline::read_meter(&loudness.unwrap_or_default(), &peak.unwrap_or_default()))
    }

    /// The moment of a film, in seconds, whose frame stands for it best.
    pub async fn best_moment(&self, film: &str, seconds: f64) -> Result<f64, JobError> {
        let moments = thumbnail::candidates(seconds);
        let size = format!("scale={}:{}:flags=area,format=rgb24", thumbnail::WIDTH, thumbnail::HEIGHT);
        let mut best = (f64::MIN, moments.first().copied().unwrap_or(0.0));
        for at in &moments {
            let arguments = [
                strings(&["-ss", &format!("{at:.3}")]),
                untrusted("mov", film),
                strings(&["-map", "0:v:0", "-frames:v", "1", "-vf", &size, "-f", "rawvideo", "pipe:1"]),
            ];
            let frame =
                self.run(&arguments.concat()).await.map_err(|error| explain("the film cannot be read", error))?;
            let score = thumbnail::score(&frame, at / seconds);
            if score > best.0 {
                best = (score, *at);
            }
        }
        Ok(best.1)
    }

    /// Writes one frame of a film as a JPEG of high quality.
    pub async fn still(&self, film: &str, at_s: f64, file: &str) -> Result<(), JobError> {
        let arguments = [
            strings(&["-ss", &format!("{at_s:.3}")]),
            untrusted("mov", film),
            strings(&["-map", "0:v:0", "-frames:v", "1", "-vf", "scale=out_range=full,format=yuvj444p", "-q:v", "2"]),
            strings(&[
                "-map_metadata",
                "-1",
                "-fflags",
                "+bitexact",
                "-flags:v",
                "+bitexact",
                "-c:v",
                "mjpeg",
                "-f",
                "image2",
                file,
            ]),
        ];
        self.run(&arguments.concat()).await.map_err(|error| explain("no frame of the film can be read", error))?;
        match tokio::fs::metadata(self.task.folder()?.join(file)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(JobError::give_up("the film has no frame to show")),
        }
    }

    async fn run(&self, arguments: &[String]) -> Result<Vec<u8>, JobError> {
        self.tool.ffmpeg(self.task.folder()?, arguments, None, &self.task.cancelled).await
    }
}

#[derive(Debug, Deserialize)]
struct Probe {
    #[serde(default)]
    streams: Vec<ProbedStream>,
    #[serde(default)]
    format: ProbedFormat,
}

impl Probe {
    /// The first stream of a kind.
    fn of(&self, kind: &str) -> Option<&ProbedStream> {
        self.streams.iter().find(|stream| stream.codec_type.as_deref() == Some(kind))
    }
}

#[derive(Debug, Deserialize)]
struct ProbedStream {
    codec_type: Option<String>,
    codec_name: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    duration: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct ProbedFormat {
    duration: Option<String>,
}

/// Repeats the samples of one file into another until there are `frames`; false when that is not needed, because there are
/// enough but for a moment.
fn extend(from: &Path, to: &Path, frames: u64) -> Result<bool, JobError> {
    let mut source = std::io::BufReader::new(std::fs::File::open(from).map_err(scratch)?);
    let there = source.get_ref().metadata().map_err(scratch)?.len() / FRAME as u64;
    if there < 48_000 / 10 {
        return Err(JobError::give_up("it holds less than a tenth of a second of sound"));
    }
    if there + (MOMENT_S * RATE) as u64 >= frames {
        return Ok(false);
    }

    let mut power = Vec::new();
    let mut block = vec![0; looping::HOP * FRAME];
    for _ in 0..there / looping::HOP as u64 {
        source.read_exact(&mut block).map_err(scratch)?;
        let square: f32 = samples(&block).map(|sample| sample * sample).sum();
        power.push(square / (2 * looping::HOP) as f32);
    }
    let period = looping::length(&looping::onsets(&power), there as usize).max(1);

    // Past each end the music goes on for a moment under the beginning of its next round.
    let mut seam = vec![0; looping::SEAM * FRAME];
    source.seek(SeekFrom::Start((period * FRAME) as u64)).map_err(scratch)?;
    source.read_exact(&mut seam).map_err(scratch)?;
    let seam: Vec<f32> = samples(&seam).collect();

    let mut target = std::io::BufWriter::new(std::fs::File::create(to).map_err(scratch)?);
    let mut frame = [0; FRAME];
    for n in 0..frames as usize {
        let place = n % period;
        if place == 0 {
            source.seek(SeekFrom::Start(0)).map_err(scratch)?;
        }
        source.read_exact(&mut frame).map_err(scratch)?;
        if n >= period && place < looping::SEAM {
            let (gone, come) = looping::crossing(place);
            let mixed: Vec<f32> =
                samples(&frame).zip(&seam[2 * place..]).map(|(next, before)| next * come + before * gone).collect();
            for sample in mixed {
                target.write_all(&sample.to_le_bytes()).map_err(scratch)?;
            }
        } else {
            target.write_all(&frame).map_err(scratch)?;
        }
    }
    target.flush().map_err(scratch)?;
    Ok(true)
}

fn samples(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn scratch(error: std::io::Error) -> JobError {
    JobError::retry_later(format!("a scratch file cannot be used: {error}"))
}

/// What music of a type is read as; none when it is no music.
fn music_container(media_type: MediaType) -> Option<&'static str> {
    match media_type {
        MediaType::Mp3 => Some("mp3"),
        MediaType::Mp4 | MediaType::M4a => Some("mov"),
        MediaType::Wav => Some("wav"),
        MediaType::Flac => Some("flac"),
        MediaType::Ogg => Some("ogg"),
        MediaType::Png
        | MediaType::Jpeg
        | MediaType::Webp
        | MediaType::QuickTime
        | MediaType::Webm
        | MediaType::Json => None,
    }
}

/// Opens a file of others: as what it is said to be, and nothing but it.
fn untrusted(container: &str, file: &str) -> Vec<String> {
    strings(&["-protocol_whitelist", "file,pipe", "-f", container, "-i", file])
}

fn wavs(mix: &Mix) -> Vec<String> {
    mix.inputs().into_iter().flat_map(|file| strings(&["-f", "wav", "-i", file])).collect()
}

fn encoded(output: Output<'_>, file: &str) -> Vec<String> {
    let container = match output {
        Output::Music => "mp3",
        Output::Film(_) => "mov",
    };
    strings(&["-f", container, "-i", file])
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Says what a failed run was for.
fn explain(what: &str, error: JobError) -> JobError {
    match error {
        JobError::GiveUp { reason } => JobError::GiveUp { reason: format!("{what}: {reason}") },
        JobError::RetryLater { reason, after } => JobError::RetryLater { reason: format!("{what}: {reason}"), after },
        JobError::Cancelled => JobError::Cancelled,
    }
}
