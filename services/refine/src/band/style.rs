//! The six styles, as data: who plays, what they play at which liveliness, and in which harmony.
//!
//! Rhythms are drawn, one character a sixteenth: `X` accented, `x` normal, `o` soft, `.` rest. Three drawings stand for low,
//! medium and high energy; an empty one is silence. A shorter bar plays as much of the drawing as fits.

use messages::spec::MusicStyle;

use super::drums::Drum;
use super::harmony::{Colour, Mode};
use super::instruments::*;

/// A way of playing.
#[derive(Debug)]
pub struct Style {
    /// Major or minor.
    pub mode: Mode,
    /// Keys that suit the instruments, C = 0.
    pub tonics: &'static [i32],
    /// What is added to triads.
    pub colour: Colour,
    /// Four bars of harmony, in scale degrees.
    pub progressions: &'static [[i32; 4]],
    /// The degree before the last dominant.
    pub predominant: i32,
    /// Who plays pitches.
    pub players: &'static [Player],
    /// Who plays drums.
    pub drums: &'static [DrumLine],
    /// Two bars of melody: `n` a note, `-` held, `.` rest.
    pub phrases: &'static [&'static str],
    /// A beat of drumming that leads into what is new.
    pub fill: Option<(Drum, &'static str)>,
    /// Noise that rises into a livelier part.
    pub riser: bool,
    /// What falls on the start of a livelier part, and on the last chord.
    pub accent: &'static [Drum],
    /// Seconds of reverb.
    pub room_s: f32,
    /// Beats between echoes.
    pub echo_beats: f64,
    /// How much the kick presses everything else down, 0 to 1.
    pub pump: f32,
    /// How late every second sixteenth is, as a share of a sixteenth.
    pub swing: f64,
}

/// Somebody who plays pitches.
#[derive(Debug)]
pub struct Player {
    /// On what.
    pub sound: Sound,
    /// What.
    pub part: Part,
    /// Where the pitches lie.
    pub centre: i32,
    /// How loud.
    pub gain: f32,
    /// -1 left to 1 right.
    pub pan: f32,
    /// How much goes to the room.
    pub room: f32,
    /// How much goes to the echo.
    pub echo: f32,
}

/// What a player does.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// Holds each chord; how loud at each energy.
    Pad([f32; 3]),
    /// Strikes chords in a rhythm, each held for so many sixteenths, strings apart by so many seconds.
    Chords {
        /// The rhythm.
        rhythm: [&'static str; 3],
        /// Sixteenths.
        hold: f64,
        /// Seconds from string to string.
        strum_s: f64,
    },
    /// Plays chord tones one by one: a digit is a tone, counted from the lowest and going on an octave higher.
    Arpeggio {
        /// The tones.
        tones: [&'static str; 3],
        /// Sixteenths.
        hold: f64,
    },
    /// Plays the bass: `R` and `r` root, `f` fifth, `o` octave, `a` a step towards the next root, `-` held.
    Bass([&'static str; 3]),
    /// Plays the melody; how loud at each energy, and how many octaves away. At low energy only its long points.
    Lead {
        /// Loudness at each energy.
        loudness: [f32; 3],
        /// Octaves.
        octave: i32,
    },
}

/// A drum and its rhythm.
#[derive(Debug)]
pub struct DrumLine {
    /// Which drum.
    pub drum: Drum,
    /// How loud.
    pub gain: f32,
    /// -1 left to 1 right.
    pub pan: f32,
    /// How much goes to the room.
    pub room: f32,
    /// The rhythm.
    pub rhythm: [&'static str; 3],
}

/// The data of a style.
pub fn style(style: MusicStyle) -> &'static Style {
    match style {
        MusicStyle::Upbeat => &UPBEAT,
        MusicStyle::Cinematic => &CINEMATIC,
        MusicStyle::Corporate => &CORPORATE,
        MusicStyle::Calm => &CALM,
        MusicStyle::Energetic => &ENERGETIC,
        MusicStyle::Advertising => &ADVERTISING,
    }
}

/// Ukulele, glockenspiel, hands.
static UPBEAT: Style = Style {
    mode: Mode::Major,
    tonics: &[0, 2, 5, 7],
    colour: Colour::Plain,
    progressions: &[[0, 4, 5, 3], [0, 3, 5, 4], [0, 5, 3, 4], [0, 2, 3, 4]],
    predominant: 3,
    players: &[
        Player {
            sound: Sound::Struck(&UKULELE),
            part: Part::Chords {
                rhythm: ["X.....x.....x...", "X...x.x...x.x.x.", "X.oxx.x.o.xxx.xo"],
                hold: 1.7,
                strum_s: 0.007,
            },
            centre: 67,
            gain: 0.11,
            pan: -0.25,
            room: 0.12,
            echo: 0.0,
        },
        Player {
            sound: Sound::Struck(&GLOCKENSPIEL),
            part: Part::Lead { loudness: [0.7, 1.0, 1.0], octave: 1 },
            centre: 76,
            gain: 0.17,
            pan: 0.2,
            room: 0.25,
            echo: 0.12,
        },
        Player {
            sound: Sound::Sustained(&WHISTLE),
            part: Part::Lead { loudness: [0.0, 0.0, 0.8], octave: 0 },
            centre: 76,
            gain: 0.14,
            pan: 0.05,
            room: 0.25,
            echo: 0.1,
        },
        Player {
            sound: Sound::Struck(&PICK_BASS),
            part: Part::Bass(["R-------r---....", "R-----r-R---f-a-", "R--rR-f-R--rf-a-"]),
            centre: 38,
            gain: 0.17,
            pan: 0.0,
            room: 0.02,
            echo: 0.0,
        },
        Player {
            sound: Sound::Sustained(&WARM_PAD),
            part: Part::Pad([0.7, 0.6, 0.7]),
            centre: 60,
            gain: 0.07,
            pan: 0.0,
            room: 0.2,
            echo: 0.0,
        },
    ],
    drums: &[
        DrumLine {
            drum: Drum::SoftKick,
            gain: 0.5,
            pan: 0.0,
            room: 0.02,
            rhythm: ["", "X.....x.X.......", "X...X...X...X..."],
        },
        DrumLine {
            drum: Drum::Clap,
            gain: 0.3,
            pan: 0.05,
            room: 0.15,
            rhythm: ["", "....X.......X...", "....X.......X..x"],
        },
        DrumLine {
            drum: Drum::Tambourine,
            gain: 0.16,
            pan: 0.35,
            room: 0.08,
            rhythm: ["", "o.x.o.x.o.x.o.x.", "xoXoxoXoxoXoxoXo"],
        },
        DrumLine {
            drum: Drum::Shaker,
            gain: 0.12,
            pan: -0.4,
            room: 0.05,
            rhythm: ["o...o...o...o...", "o.x.o.x.o.x.o.x.", "xoxoxoxoxoxoxoxo"],
        },
    ],
    phrases: &[
        "n---n-n-n---....n---n-n-n-------",
        "n-n-n---n-n-....n-n-n-n-n-------",
        "n---..n-n-n-....n---..n-n-------",
        "n-n-..n---n-n---n-n-..n-n-------",
    ],
    fill: Some((Drum::Clap, "xxXX")),
    riser: false,
    accent: &[Drum::Crash],
    room_s: 1.1,
    echo_beats: 0.75,
    pump: 0.12,
    swing: 0.08,
};

/// Strings, horns, drums from afar.
static CINEMATIC: Style = Style {
    mode: Mode::Minor,
    tonics: &[0, 2, 4, 9, 11],
    colour: Colour::Plain,
    progressions: &[[0, 5, 2, 6], [0, 3, 5, 4], [0, 5, 3, 6], [0, 2, 5, 6]],
    predominant: 3,
    players: &[
        Player {
            sound: Sound::Sustained(&STRINGS),
            part: Part::Pad([0.45, 0.75, 1.0]),
            centre: 65,
            gain: 0.075,
            pan: 0.0,
            room: 0.35,
            echo: 0.0,
        },
        Player {
            sound: Sound::Sustained(&SPICCATO),
            part: Part::Arpeggio { tones: ["", "0.0.1.0.2.0.1.0.", "0010201030102010"], hold: 0.9 },
            centre: 57,
            gain: 0.24,
            pan: -0.3,
            room: 0.25,
            echo: 0.05,
        },
        Player {
            sound: Sound::Struck(&PIANO),
            part: Part::Arpeggio { tones: ["0...2...3...2...", "3.......2.......", "3..............."], hold: 6.0 },
            centre: 67,
            gain: 0.08,
            pan: 0.2,
            room: 0.35,
            echo: 0.15,
        },
        Player {
            sound: Sound::Sustained(&HORN),
            part: Part::Lead { loudness: [0.0, 0.9, 1.0], octave: 0 },
            centre: 64,
            gain: 0.17,
            pan: 0.15,
            room: 0.35,
            echo: 0.0,
        },
        Player {
            sound: Sound::Sustained(&STRINGS),
            part: Part::Lead { loudness: [0.0, 0.0, 0.8], octave: 1 },
            centre: 64,
            gain: 0.15,
            pan: -0.15,
            room: 0.35,
            echo: 0.0,
        },
        Player {
            sound: Sound::Sustained(&LOW_STRINGS),
            part: Part::Bass(["R---------------", "R---------------", "R-----r-----r---"]),
            centre: 37,
            gain: 0.22,
            pan: 0.0,
            room: 0.12,
            echo: 0.0,
        },
    ],
    drums: &[
        DrumLine {
            drum: Drum::Taiko,
            gain: 0.55,
            pan: -0.15,
            room: 0.35,
            rhythm: ["", "X.........x.x...", "X..x..x.X..x..xx"],
        },
        DrumLine { drum: Drum::Taiko, gain: 0.4, pan: 0.3, room: 0.4, rhythm: ["", "", "..o...o...o.x.x."] },
        DrumLine {
            drum: Drum::Boom,
            gain: 0.4,
            pan: 0.0,
            room: 0.2,
            rhythm: ["o...............", "x...............", "X.......x......."],
        },
    ],
    phrases: &[
        "n-------n---n---n-----------n---",
        "n-----n-n-------n-----n-n-------",
        "n-----------n---n-------n-------",
        "n---n---n-------n---n---n-------",
    ],
    fill: Some((Drum::Taiko, "xxXX")),
    riser: true,
    accent: &[Drum::Boom, Drum::Crash],
    room_s: 2.6,
    echo_beats: 0.75,
    pump: 0.0,
    swing: 0.0,
};

/// Palm-muted guitar, piano, a steady pulse.
static CORPORATE: Style = Style {
    mode: Mode::Major,
    tonics: &[0, 2, 4, 7, 9],
    colour: Colour::Ninth,
    progressions: &[[0, 4, 5, 3], [3, 0, 4, 5], [0, 5, 3, 4], [5, 3, 0, 4]],
    predominant: 3,
    players: &[
        Player {
            sound: Sound::Struck(&MUTED_GUITAR),
            part: Part::Arpeggio { tones: ["0...2...1...2...", "0.2.1.2.0.2.1.2.", "0.2.1.2.3.2.1.22"], hold: 1.6 },
            centre: 62,
            gain: 0.18,
            pan: -0.35,
            room: 0.12,
            echo: 0.4,
        },
        Player {
            sound: Sound::Struck(&PIANO),
            part: Part::Chords {
                rhythm: ["X...............", "X.....x.........", "X..x..x...x.x..."],
                hold: 5.0,
                strum_s: 0.0,
            },
            centre: 62,
            gain: 0.1,
            pan: 0.15,
            room: 0.22,
            echo: 0.0,
        },
        Player {
            sound: Sound::Struck(&PIANO),
            part: Part::Lead { loudness: [0.7, 0.9, 1.0], octave: 0 },
            centre: 76,
            gain: 0.2,
            pan: 0.05,
            room: 0.3,
            echo: 0.2,
        },
        Player {
            sound: Sound::Struck(&GLOCKENSPIEL),
            part: Part::Lead { loudness: [0.0, 0.0, 0.6], octave: 1 },
            centre: 76,
            gain: 0.14,
            pan: 0.3,
            room: 0.3,
            echo: 0.2,
        },
        Player {
            sound: Sound::Sustained(&WARM_PAD),
            part: Part::Pad([0.8, 0.8, 0.9]),
            centre: 60,
            gain: 0.075,
            pan: 0.0,
            room: 0.25,
            echo: 0.0,
        },
        Player {
            sound: Sound::Sustained(&FINGER_BASS),
            part: Part::Bass(["R-----------....", "R-r-r-r-R-r-r-r-", "RrrrrrrrRrrrrrfa"]),
            centre: 37,
            gain: 0.3,
            pan: 0.0,
            room: 0.02,
            echo: 0.0,
        },
    ],
    drums: &[
        DrumLine {
            drum: Drum::SoftKick,
            gain: 0.5,
            pan: 0.0,
            room: 0.02,
            rhythm: ["", "X.......X.x.....", "X...X...X...X..."],
        },
        DrumLine {
            drum: Drum::Clap,
            gain: 0.24,
            pan: 0.0,
            room: 0.18,
            rhythm: ["", "....o.......o...", "....X.......X..."],
        },
        DrumLine {
            drum: Drum::Hat,
            gain: 0.13,
            pan: 0.25,
            room: 0.04,
            rhythm: ["", "..x...x...x...x.", "o.X.o.X.o.X.o.Xo"],
        },
        DrumLine {
            drum: Drum::Shaker,
            gain: 0.1,
            pan: -0.3,
            room: 0.04,
            rhythm: ["", "xoxoxoxoxoxoxoxo", "xoxoxoxoxoxoxoxo"],
        },
    ],
    phrases: &[
        "n-------n---n---n---------------",
        "..n-n---n-------..n-n---n-------",
        "n---n-----------n---n---n-------",
        "n-------....n-n-n-----------....",
    ],
    fill: Some((Drum::Snare, "..ox")),
    riser: true,
    accent: &[Drum::Crash],
    room_s: 1.5,
    echo_beats: 0.75,
    pump: 0.2,
    swing: 0.0,
};

/// Electric piano, harp, a flute, no hurry.
static CALM: Style = Style {
    mode: Mode::Major,
    tonics: &[0, 3, 5, 7, 10],
    colour: Colour::Seventh,
    progressions: &[[0, 3, 0, 3], [0, 2, 3, 4], [3, 0, 1, 5], [0, 5, 3, 1]],
    predominant: 1,
    players: &[
        Player {
            sound: Sound::Struck(&ELECTRIC_PIANO),
            part: Part::Chords {
                rhythm: ["X...............", "X.......o.......", "X.....x...o....."],
                hold: 12.0,
                strum_s: 0.012,
            },
            centre: 62,
            gain: 0.12,
            pan: 0.1,
            room: 0.28,
            echo: 0.0,
        },
        Player {
            sound: Sound::Struck(&HARP),
            part: Part::Arpeggio { tones: ["0...1...2...3...", "0.1.2.3.4.3.2.1.", "0.1.2.3.4.3.2.1."], hold: 6.0 },
            centre: 67,
            gain: 0.12,
            pan: -0.3,
            room: 0.35,
            echo: 0.3,
        },
        Player {
            sound: Sound::Sustained(&FLUTE),
            part: Part::Lead { loudness: [0.6, 0.9, 1.0], octave: 0 },
            centre: 74,
            gain: 0.15,
            pan: 0.15,
            room: 0.45,
            echo: 0.2,
        },
        Player {
            sound: Sound::Sustained(&WARM_PAD),
            part: Part::Pad([0.9, 0.9, 1.0]),
            centre: 58,
            gain: 0.085,
            pan: 0.0,
            room: 0.35,
            echo: 0.0,
        },
        Player {
            sound: Sound::Sustained(&SUB_BASS),
            part: Part::Bass(["R---------------", "R-----------f---", "R-------r---f---"]),
            centre: 38,
            gain: 0.2,
            pan: 0.0,
            room: 0.02,
            echo: 0.0,
        },
    ],
    drums: &[
        DrumLine { drum: Drum::SoftKick, gain: 0.3, pan: 0.0, room: 0.08, rhythm: ["", "", "X.........o....."] },
        DrumLine {
            drum: Drum::Shaker,
            gain: 0.08,
            pan: 0.3,
            room: 0.15,
            rhythm: ["", "..o...o...o...o.", "o.x.o.x.o.x.o.x."],
        },
        DrumLine { drum: Drum::Rim, gain: 0.14, pan: -0.2, room: 0.35, rhythm: ["", "", "........x......."] },
    ],
    phrases: &[
        "n-----------....n-------n-------",
        "....n-------n---n---------------",
        "n-------n-------n-----------....",
        "n---n-----------....n---n-------",
    ],
    fill: None,
    riser: false,
    accent: &[],
    room_s: 2.8,
    echo_beats: 1.5,
    pump: 0.0,
    swing: 0.0,
};

/// Saws over a kick on every beat.
static ENERGETIC: Style = Style {
    mode: Mode::Minor,
    tonics: &[0, 4, 5, 7, 9],
    colour: Colour::Plain,
    progressions: &[[0, 5, 2, 6], [5, 6, 0, 0], [0, 2, 5, 6], [0, 5, 3, 6]],
    predominant: 3,
    players: &[
        Player {
            sound: Sound::Sustained(&SUPER_SAW),
            part: Part::Chords {
                rhythm: ["X...............", "X..x..x.X..x..x.", "X..x..x.X..x..xx"],
                hold: 2.2,
                strum_s: 0.0,
            },
            centre: 64,
            gain: 0.12,
            pan: 0.0,
            room: 0.2,
            echo: 0.08,
        },
        Player {
            sound: Sound::Sustained(&WARM_PAD),
            part: Part::Pad([1.0, 0.6, 0.6]),
            centre: 60,
            gain: 0.08,
            pan: 0.0,
            room: 0.2,
            echo: 0.0,
        },
        Player {
            sound: Sound::Sustained(&PLUCK),
            part: Part::Arpeggio { tones: ["0...2...1...2...", "0.2.1.3.0.2.1.3.", "0213021302130213"], hold: 0.9 },
            centre: 69,
            gain: 0.2,
            pan: 0.3,
            room: 0.15,
            echo: 0.3,
        },
        Player {
            sound: Sound::Sustained(&SAW_LEAD),
            part: Part::Lead { loudness: [0.0, 0.75, 1.0], octave: 0 },
            centre: 74,
            gain: 0.18,
            pan: -0.1,
            room: 0.2,
            echo: 0.25,
        },
        Player {
            sound: Sound::Sustained(&SAW_BASS),
            part: Part::Bass(["R---------------", "..r-..r-..r-..r-", ".rrr.rrr.rrr.rro"]),
            centre: 36,
            gain: 0.22,
            pan: 0.0,
            room: 0.0,
            echo: 0.0,
        },
    ],
    drums: &[
        DrumLine {
            drum: Drum::HardKick,
            gain: 0.55,
            pan: 0.0,
            room: 0.0,
            rhythm: ["", "X...X...X...X...", "X...X...X...X..x"],
        },
        DrumLine {
            drum: Drum::Clap,
            gain: 0.3,
            pan: 0.0,
            room: 0.15,
            rhythm: ["", "....X.......X...", "....X.......X..o"],
        },
        DrumLine { drum: Drum::Snare, gain: 0.22, pan: 0.0, room: 0.1, rhythm: ["", "", "....X..o....X..."] },
        DrumLine {
            drum: Drum::OpenHat,
            gain: 0.15,
            pan: -0.2,
            room: 0.05,
            rhythm: ["", "..x...x...x...x.", "..X...X...X...X."],
        },
        DrumLine {
            drum: Drum::Hat,
            gain: 0.11,
            pan: 0.25,
            room: 0.03,
            rhythm: ["..o...o...o...o.", "x.o.x.o.x.o.x.o.", "xoxoxoxoxoxoxoxo"],
        },
    ],
    phrases: &[
        "n--n--n-n--n--n-n--n--n-n-------",
        "n-n-..n-..n-n---n-n-..n-..n-n---",
        "n--n--n---------n--n--n-n-------",
        "n-nn..n-n-......n-nn..n-n-------",
    ],
    fill: Some((Drum::Snare, "xxXX")),
    riser: true,
    accent: &[Drum::Crash, Drum::Boom],
    room_s: 1.2,
    echo_beats: 0.75,
    pump: 0.5,
    swing: 0.0,
};

/// Marimba, organ on the off-beat, fingers, a bass that walks.
static ADVERTISING: Style = Style {
    mode: Mode::Major,
    tonics: &[0, 3, 5, 8, 10],
    colour: Colour::Seventh,
    progressions: &[[0, 5, 1, 4], [0, 3, 1, 4], [0, 1, 3, 4], [0, 5, 3, 4]],
    predominant: 1,
    players: &[
        Player {
            sound: Sound::Sustained(&WARM_PAD),
            part: Part::Pad([1.0, 0.6, 0.6]),
            centre: 62,
            gain: 0.07,
            pan: 0.0,
            room: 0.2,
            echo: 0.0,
        },
        Player {
            sound: Sound::Sustained(&ORGAN),
            part: Part::Chords {
                rhythm: ["..x.......x.....", "..x...x...x...x.", "..x...x...x..xx."],
                hold: 1.0,
                strum_s: 0.0,
            },
            centre: 65,
            gain: 0.11,
            pan: -0.3,
            room: 0.1,
            echo: 0.0,
        },
        Player {
            sound: Sound::Struck(&MARIMBA),
            part: Part::Lead { loudness: [0.8, 1.0, 1.0], octave: 0 },
            centre: 76,
            gain: 0.26,
            pan: 0.2,
            room: 0.18,
            echo: 0.1,
        },
        Player {
            sound: Sound::Struck(&MARIMBA),
            part: Part::Arpeggio { tones: ["", "..1...2...1...3.", "0.12..20.1.2..31"], hold: 2.0 },
            centre: 64,
            gain: 0.16,
            pan: 0.4,
            room: 0.15,
            echo: 0.0,
        },
        Player {
            sound: Sound::Sustained(&BRASS),
            part: Part::Chords { rhythm: ["", "", "X..x............"], hold: 1.4, strum_s: 0.0 },
            centre: 64,
            gain: 0.13,
            pan: 0.0,
            room: 0.2,
            echo: 0.05,
        },
        Player {
            sound: Sound::Struck(&PICK_BASS),
            part: Part::Bass(["R---....r---....", "R--r..f-R--r..fa", "R--r.of-R-r-f-oa"]),
            centre: 38,
            gain: 0.2,
            pan: 0.0,
            room: 0.02,
            echo: 0.0,
        },
    ],
    drums: &[
        DrumLine {
            drum: Drum::SoftKick,
            gain: 0.5,
            pan: 0.0,
            room: 0.02,
            rhythm: ["", "X.....x.x.......", "X..x..x.X...x..."],
        },
        DrumLine {
            drum: Drum::Snap,
            gain: 0.34,
            pan: 0.1,
            room: 0.2,
            rhythm: ["....x.......x...", "....X.......X...", "....X.......X..."],
        },
        DrumLine { drum: Drum::Snare, gain: 0.22, pan: 0.0, room: 0.1, rhythm: ["", "", "....X..o.o..X..."] },
        DrumLine {
            drum: Drum::Hat,
            gain: 0.12,
            pan: 0.3,
            room: 0.03,
            rhythm: ["", "x.oxx.oxx.oxx.ox", "x.oxx.oxx.oxx.ox"],
        },
    ],
    phrases: &[
        "n-n-n-..n-n-n-..n-n-n-n-n-------",
        "n--n--n-....n-n-n--n--n-n-------",
        "n-nn-n--n-......n-nn-n--n-------",
        "..n-n-n-n---......n-n-n-n-------",
    ],
    fill: Some((Drum::Snare, "x.xX")),
    riser: false,
    accent: &[Drum::Crash],
    room_s: 0.9,
    echo_beats: 0.75,
    pump: 0.1,
    swing: 0.22,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_drawing_fills_its_bars() {
        for style in [&UPBEAT, &CINEMATIC, &CORPORATE, &CALM, &ENERGETIC, &ADVERTISING] {
            let players = style.players.iter().flat_map(|player| match player.part {
                Part::Chords { rhythm, .. } => rhythm.to_vec(),
                Part::Arpeggio { tones, .. } => tones.to_vec(),
                Part::Bass(rhythm) => rhythm.to_vec(),
                Part::Pad(_) | Part::Lead { .. } => Vec::new(),
            });
            for drawing in players.chain(style.drums.iter().flat_map(|line| line.rhythm.to_vec())) {
                assert!(drawing.is_empty() || drawing.len() == 16, "{drawing:?}");
            }
            assert!(style.phrases.iter().all(|phrase| phrase.len() == 32), "{:?}", style.phrases);
        }
    }
}
