//! PURE: the mix as a filter graph, and what the media tool's measurements say.
//!
//! A mix has at most two stems, the film's own sound and the music, as float WAV files that are already as long as the film.
//! Levels that a person asked for come after the normalisation; the ceiling comes last, at four times the rate, so that
//! peaks between samples stay under it too. Every number is formatted here, every file name is ours: nothing that came from
//! outside reaches a graph.

/// Loudness of a finished film, in LUFS.
pub const TARGET_LUFS: f64 = -14.0;
/// How far off it may be before the levels are set again, in LU.
pub const TOLERANCE_LU: f64 = 0.3;
/// The highest true peak of a finished film, in dBTP.
pub const PEAK_DBTP: f64 = -1.0;
/// Music under the film's own sound starts this much below it, in dB, before it is ducked.
const BED_DB: f64 = -4.0;
/// Quieter than this is silence, in LUFS; the meter itself ends at -70.
const SILENCE_LUFS: f64 = -65.0;
/// The most that a stem is turned up: more would only lift its noise. In dB.
const LIFT_DB: f64 = 36.0;
/// Samples a second of everything that leaves here.
const RATE: u32 = 48_000;

/// What a meter said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loudness {
    /// Integrated loudness in LUFS.
    pub lufs: f64,
    /// True peak in dBTP.
    pub peak_dbtp: f64,
}

impl Loudness {
    /// Whether there is anything to hear.
    pub fn is_silent(&self) -> bool {
        self.lufs < SILENCE_LUFS
    }
}

/// One of the sounds of a mix: a WAV file of the job's folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Stem {
    /// Its file, a name of ours.
    pub file: &'static str,
    /// What brings it to its place at default levels, in dB.
    pub normal_db: f64,
    /// What a person asked for on top, in dB.
    pub asked_db: f64,
}

/// What is mixed.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// Seconds.
    pub seconds: f64,
    /// The film's own sound.
    pub native: Option<Stem>,
    /// The music, already faded.
    pub music: Option<Stem>,
}

/// How a mix is brought to its level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Master {
    /// Gain over everything, in dB.
    pub gain_db: f64,
    /// Where the limiter holds, in dB of full scale.
    pub ceiling_db: f64,
}

impl Mix {
    /// A mix of stems that measure so; what is silent is left out.
    pub fn new(seconds: f64, native: Option<(Stem, Loudness)>, music: Option<(Stem, Loudness)>) -> Self {
        let place = |stem: Option<(Stem, Loudness)>, target: f64| {
            let (stem, loudness) = stem.filter(|(_, loudness)| !loudness.is_silent())?;
            Some(Stem { normal_db: (target - loudness.lufs).min(LIFT_DB), ..stem })
        };
        let native = place(native, TARGET_LUFS);
        let under = if native.is_some() { BED_DB } else { 0.0 };
        Self { seconds, native, music: place(music, TARGET_LUFS + under) }
    }

    /// The same mix at default levels: what the loudness target is about.
    pub fn at_default_levels(&self) -> Self {
        let plain = |stem: &Option<Stem>| stem.clone().map(|stem| Stem { asked_db: 0.0, ..stem });
        Self { seconds: self.seconds, native: plain(&self.native), music: plain(&self.music) }
    }

    /// Whether nothing can be heard.
    pub fn is_silent(&self) -> bool {
        self.native.is_none() && self.music.is_none()
    }

    /// The files that the graph reads, in the order of their numbers.
    pub fn inputs(&self) -> Vec<&'static str> {
        self.native.iter().chain(&self.music).map(|stem| stem.file).collect()
    }

    /// The filter graph; its only output is `[mix]`.
    pub fn graph(&self, master: Master) -> String {
        let (sources, mixed) = match (&self.native, &self.music) {
            (None, None) => (format!("anullsrc=r={RATE}:cl=stereo,atrim=end={:.6}[mixed]", self.seconds), "mixed"),
            (Some(stem), None) | (None, Some(stem)) => {
                (format!("[0:a:0]volume={:.3}dB[mixed]", stem.normal_db + stem.asked_db), "mixed")
            }
            (Some(native), Some(music)) => (ducked(native, music), "mixed"),
        };
        format!("{sources};[{mixed}]{},{}[mix]", limiter(master), fitted(self.seconds))
    }
}

/// Music under the film's own sound: it gives way while that can be heard. What a person turned down gives less way to;
/// what they turned up does not push more.
fn ducked(native: &Stem, music: &Stem) -> String {
    format!(
        "[0:a:0]volume={:.3}dB,asplit[own][heard];[heard]volume={:.3}dB[key];[1:a:0]volume={:.3}dB[bed];\
         [bed][key]sidechaincompress=threshold=0.025:ratio=5:attack=15:release=350:detection=rms,volume={:.3}dB[under];\
         [own]volume={:.3}dB[over];[over][under]amix=inputs=2:normalize=0:dropout_transition=0[mixed]",
        native.normal_db,
        native.asked_db.min(0.0),
        music.normal_db,
        music.asked_db,
        native.asked_db,
    )
}

fn limiter(master: Master) -> String {
    let limit = 10f64.powf(master.ceiling_db / 20.0).clamp(0.0626, 1.0);
    format!(
        "volume={:.3}dB,aresample={},alimiter=limit={limit:.5}:attack=4:release=60:level=disabled:latency=1,aresample={RATE}",
        master.gain_db,
        4 * RATE
    )
}

/// Stereo at our rate, padded with silence or cut to exactly so many seconds.
pub fn fitted(seconds: f64) -> String {
    format!(
        "aformat=sample_rates={RATE}:channel_layouts=stereo,apad=whole_dur={seconds:.6},atrim=end={seconds:.6},asetpts=N/SR/TB"
    )
}

/// Fades of a piece of `seconds`; where both do not fit, they share it in proportion.
pub fn fades(seconds: f64, fade_in_s: f64, fade_out_s: f64) -> String {
    let (start, end) = (fade_in_s.max(0.0), fade_out_s.max(0.0));
    let share = if start + end > seconds { seconds / (start + end) } else { 1.0 };
    let (start, end) = (start * share, end * share);
    let mut filters = Vec::new();
    if start > 0.0 {
        filters.push(format!("afade=t=in:st=0:d={start:.6}"));
    }
    if end > 0.0 {
        filters.push(format!("afade=t=out:st={:.6}:d={end:.6}", seconds - end));
    }
    if filters.is_empty() { "anull".to_owned() } else { filters.join(",") }
}

/// Filters that measure what passes and write it to two files of the job's folder. In floating point, which is not what the
/// tool chooses by itself: whole numbers end at full scale, and say nothing of how far a peak is over.
pub fn meter(loudness_file: &str, peak_file: &str) -> String {
    format!(
        "aformat=sample_rates={RATE}:channel_layouts=stereo,ebur128=metadata=1,\
         ametadata=print:key=lavfi.r128.I:file={loudness_file},aresample={}:osf=dbl,\
         astats=metadata=1:measure_perchannel=none:measure_overall=Peak_level,\
         ametadata=print:key=lavfi.astats.Overall.Peak_level:file={peak_file}",
        4 * RATE
    )
}

/// What the meter's two files say: their last figures. Silence measures as minus infinity.
pub fn read_meter(loudness: &str, peak: &str) -> Loudness {
    let last = |text: &str, key: &str| {
        let line = text.lines().rev().find_map(|line| line.strip_prefix(key));
        line.and_then(|value| value.parse::<f64>().ok()).filter(|value| !value.is_nan()).unwrap_or(f64::NEG_INFINITY)
    };
    Loudness { lufs: last(loudness, "lavfi.r128.I="), peak_dbtp: last(peak, "lavfi.astats.Overall.Peak_level=") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stem(file: &'static str, asked_db: f64) -> Stem {
        Stem { file, normal_db: 0.0, asked_db }
    }

    const QUIET: Loudness = Loudness { lufs: -24.0, peak_dbtp: -10.0 };
    const SILENT: Loudness = Loudness { lufs: f64::NEG_INFINITY, peak_dbtp: f64::NEG_INFINITY };
    const MASTER: Master = Master { gain_db: 0.0, ceiling_db: -1.5 };

    #[test]
    fn a_silent_stem_is_not_turned_up() {
        let mix = Mix::new(5.0, Some((stem("native.wav", 0.0), SILENT)), Some((stem("music.wav", 0.0), QUIET)));
        assert_eq!(mix.native, None);
        assert_eq!(mix.music.map(|music| music.normal_db), Some(10.0));
    }

    #[test]
    fn music_under_own_sound_is_ducked_and_alone_it_is_not() {
        let both = Mix::new(5.0, Some((stem("native.wav", 0.0), QUIET)), Some((stem("music.wav", 0.0), QUIET)));
        assert!(both.graph(MASTER).contains("sidechaincompress"));
        assert_eq!(both.inputs(), ["native.wav", "music.wav"]);
        let alone = Mix::new(5.0, None, Some((stem("music.wav", 0.0), QUIET)));
        assert!(!alone.graph(MASTER).contains("sidechaincompress"));
    }

    #[test]
    fn asked_levels_are_left_out_of_the_normalisation() {
        let mix = Mix::new(5.0, None, Some((stem("music.wav", -6.0), QUIET)));
        assert!(mix.graph(MASTER).contains("volume=4.000dB"));
        assert!(mix.at_default_levels().graph(MASTER).contains("volume=10.000dB"));
    }

    #[test]
    fn nothing_to_hear_is_a_silent_track() {
        let mix = Mix::new(5.0, None, None);
        assert!(mix.is_silent());
        assert!(mix.graph(MASTER).starts_with("anullsrc"));
    }

    #[test]
    fn fades_that_do_not_fit_share_the_film() {
        assert_eq!(fades(6.0, 6.0, 12.0), "afade=t=in:st=0:d=2.000000,afade=t=out:st=2.000000:d=4.000000");
        assert_eq!(fades(6.0, 0.0, 0.0), "anull");
    }

    #[test]
    fn the_meter_gives_its_last_word() {
        let loudness = "frame:0\nlavfi.r128.I=-70.000\nframe:1\nlavfi.r128.I=-13.900\n";
        let read = read_meter(loudness, "frame:9\nlavfi.astats.Overall.Peak_level=-1.25\n");
        assert_eq!(read, Loudness { lufs: -13.9, peak_dbtp: -1.25 });
        assert!(read_meter("", "lavfi.astats.Overall.Peak_level=-inf").is_silent());
    }
}
