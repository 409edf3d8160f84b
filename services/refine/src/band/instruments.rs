//! The instruments, as data: what each sounds like.

use super::drums::Drum;
use super::struck::StruckSound;
use super::sustained::{SustainedSound, Wave};

/// Anything that can play a note.
#[derive(Debug, Clone, Copy)]
pub enum Sound {
    /// Strings, bars and tines.
    Struck(&'static StruckSound),
    /// Bowed, blown and synthetic tones.
    Sustained(&'static SustainedSound),
    /// A drum; its pitch does not matter.
    Drum(Drum),
}

/// Nylon strings, short and warm.
pub static UKULELE: StruckSound = StruckSound {
    partials: &[
        (1.0, 1.0, 1.5),
        (2.0, 0.55, 1.1),
        (3.0, 0.3, 0.8),
        (4.0, 0.16, 0.55),
        (5.0, 0.1, 0.4),
        (6.0, 0.06, 0.3),
        (7.0, 0.03, 0.25),
        (8.0, 0.02, 0.2),
    ],
    touch: 0.18,
    damp_s: 0.12,
    velocity_tone: 0.5,
};

/// Small steel bars: bright, with overtones that are gone at once.
pub static GLOCKENSPIEL: StruckSound = StruckSound {
    partials: &[(1.0, 1.0, 2.6), (2.0, 0.05, 1.2), (2.756, 0.22, 0.35), (5.404, 0.1, 0.12)],
    touch: 0.05,
    damp_s: 1.2,
    velocity_tone: 0.3,
};

/// A grand piano seen from the third row.
pub static PIANO: StruckSound = StruckSound {
    partials: &[
        (1.0, 1.0, 4.2),
        (2.000_4, 0.55, 3.2),
        (3.001, 0.34, 2.4),
        (4.002, 0.2, 1.8),
        (5.003, 0.12, 1.3),
        (6.005, 0.09, 1.0),
        (7.008, 0.05, 0.8),
        (8.011, 0.04, 0.6),
        (9.015, 0.025, 0.5),
        (10.02, 0.02, 0.4),
    ],
    touch: 0.12,
    damp_s: 0.25,
    velocity_tone: 0.7,
};

/// A guitar under the palm: a dot rather than a line.
pub static MUTED_GUITAR: StruckSound = StruckSound {
    partials: &[
        (1.0, 1.0, 0.55),
        (2.0, 0.7, 0.42),
        (3.0, 0.5, 0.3),
        (4.0, 0.26, 0.22),
        (5.0, 0.16, 0.18),
        (6.0, 0.1, 0.14),
        (7.0, 0.06, 0.1),
    ],
    touch: 0.22,
    damp_s: 0.08,
    velocity_tone: 0.6,
};

/// An electric piano: a round tine with a short bell on top.
pub static ELECTRIC_PIANO: StruckSound = StruckSound {
    partials: &[
        (1.0, 1.0, 3.6),
        (2.0, 0.28, 2.2),
        (3.0, 0.12, 1.2),
        (4.0, 0.05, 0.7),
        (7.0, 0.06, 0.22),
        (14.0, 0.05, 0.12),
    ],
    touch: 0.04,
    damp_s: 0.3,
    velocity_tone: 0.9,
};

/// Rosewood bars, tuned to their double octave.
pub static MARIMBA: StruckSound = StruckSound {
    partials: &[(1.0, 1.0, 0.9), (4.0, 0.3, 0.28), (10.0, 0.08, 0.08)],
    touch: 0.1,
    damp_s: 0.4,
    velocity_tone: 0.4,
};

/// Gut strings.
pub static HARP: StruckSound = StruckSound {
    partials: &[
        (1.0, 1.0, 2.6),
        (2.0, 0.4, 1.8),
        (3.0, 0.18, 1.2),
        (4.0, 0.08, 0.8),
        (5.0, 0.04, 0.5),
        (6.0, 0.02, 0.4),
    ],
    touch: 0.06,
    damp_s: 0.9,
    velocity_tone: 0.5,
};

/// An electric bass with a pick.
pub static PICK_BASS: StruckSound = StruckSound {
    partials: &[
        (1.0, 1.0, 1.6),
        (2.0, 0.75, 1.2),
        (3.0, 0.45, 0.9),
        (4.0, 0.28, 0.65),
        (5.0, 0.16, 0.5),
        (6.0, 0.1, 0.4),
        (8.0, 0.06, 0.25),
        (10.0, 0.04, 0.2),
    ],
    touch: 0.25,
    damp_s: 0.07,
    velocity_tone: 0.3,
};

const PLAIN: SustainedSound = SustainedSound {
    wave: Wave::Saw,
    detune: &[0.0],
    sub: 0.0,
    cutoff: 1000.0,
    track: 1.0,
    bite: 0.0,
    bite_s: 0.1,
    damping: 1.4,
    attack_s: 0.01,
    decay_s: 0.5,
    sustain: 1.0,
    release_s: 0.2,
    vibrato: 0.0,
    breath: 0.0,
};

/// A soft bed.
pub static WARM_PAD: SustainedSound = SustainedSound {
    detune: &[-6.0, 4.0, 0.0, -4.0, 6.0],
    cutoff: 520.0,
    track: 1.2,
    attack_s: 0.25,
    decay_s: 1.0,
    sustain: 0.85,
    release_s: 0.8,
    ..PLAIN
};

/// Violins and violas, many of them.
pub static STRINGS: SustainedSound = SustainedSound {
    detune: &[-7.0, 3.0, 0.0, -3.0, 7.0],
    cutoff: 1900.0,
    track: 1.8,
    attack_s: 0.22,
    decay_s: 1.5,
    sustain: 0.9,
    release_s: 0.7,
    vibrato: 3.0,
    ..PLAIN
};

/// The same players with short bows.
pub static SPICCATO: SustainedSound = SustainedSound {
    detune: &[-6.0, 0.0, 6.0],
    cutoff: 1700.0,
    track: 1.8,
    bite: 1.2,
    bite_s: 0.03,
    attack_s: 0.008,
    decay_s: 0.16,
    sustain: 0.12,
    release_s: 0.16,
    ..PLAIN
};

/// French horns, from afar.
pub static HORN: SustainedSound = SustainedSound {
    detune: &[-4.0, 0.0, 4.0],
    cutoff: 420.0,
    track: 1.3,
    bite: 0.5,
    bite_s: 0.2,
    attack_s: 0.07,
    decay_s: 0.8,
    sustain: 0.85,
    release_s: 0.35,
    vibrato: 4.0,
    ..PLAIN
};

/// Cellos and basses.
pub static LOW_STRINGS: SustainedSound = SustainedSound {
    detune: &[-5.0, 0.0, 5.0],
    sub: 0.35,
    cutoff: 170.0,
    track: 1.4,
    attack_s: 0.12,
    decay_s: 1.0,
    sustain: 0.9,
    release_s: 0.5,
    ..PLAIN
};

/// A wall of saws.
pub static SUPER_SAW: SustainedSound = SustainedSound {
    detune: &[-9.0, 5.0, 0.0, -5.0, 9.0],
    cutoff: 2400.0,
    track: 2.0,
    bite: 0.8,
    bite_s: 0.12,
    damping: 1.2,
    attack_s: 0.006,
    decay_s: 0.4,
    sustain: 0.8,
    release_s: 0.18,
    ..PLAIN
};

/// A saw under a filter that snaps shut.
pub static SAW_BASS: SustainedSound = SustainedSound {
    detune: &[-4.0, 4.0],
    sub: 0.5,
    cutoff: 260.0,
    track: 2.0,
    bite: 3.0,
    bite_s: 0.05,
    damping: 1.0,
    attack_s: 0.004,
    decay_s: 0.3,
    sustain: 0.65,
    release_s: 0.06,
    ..PLAIN
};

/// What is felt rather than heard.
pub static SUB_BASS: SustainedSound = SustainedSound {
    wave: Wave::Sine,
    cutoff: 600.0,
    attack_s: 0.03,
    decay_s: 1.2,
    sustain: 0.75,
    release_s: 0.3,
    ..PLAIN
};

/// A round finger bass.
pub static FINGER_BASS: SustainedSound = SustainedSound {
    cutoff: 240.0,
    track: 1.6,
    bite: 2.0,
    bite_s: 0.06,
    sub: 0.0,
    attack_s: 0.005,
    decay_s: 0.5,
    sustain: 0.5,
    release_s: 0.08,
    ..PLAIN
};

/// A wooden flute.
pub static FLUTE: SustainedSound = SustainedSound {
    wave: Wave::Sine,
    cutoff: 2600.0,
    track: 1.0,
    attack_s: 0.06,
    decay_s: 0.4,
    sustain: 0.85,
    release_s: 0.25,
    vibrato: 7.0,
    breath: 0.03,
    ..PLAIN
};

/// Somebody whistling who can.
pub static WHISTLE: SustainedSound = SustainedSound {
    wave: Wave::Sine,
    cutoff: 4000.0,
    attack_s: 0.03,
    decay_s: 0.3,
    sustain: 0.9,
    release_s: 0.1,
    vibrato: 8.0,
    breath: 0.02,
    ..PLAIN
};

/// Trumpets and trombones, short.
pub static BRASS: SustainedSound = SustainedSound {
    detune: &[-5.0, 0.0, 5.0],
    cutoff: 500.0,
    track: 1.8,
    bite: 2.2,
    bite_s: 0.14,
    damping: 1.2,
    attack_s: 0.02,
    decay_s: 0.35,
    sustain: 0.6,
    release_s: 0.1,
    ..PLAIN
};

/// A transistor organ.
pub static ORGAN: SustainedSound = SustainedSound {
    wave: Wave::Square,
    detune: &[-2.0, 2.0],
    cutoff: 900.0,
    track: 1.5,
    attack_s: 0.005,
    decay_s: 0.3,
    sustain: 0.85,
    release_s: 0.06,
    ..PLAIN
};

/// A synthetic pluck.
pub static PLUCK: SustainedSound = SustainedSound {
    detune: &[-6.0, 6.0],
    cutoff: 380.0,
    track: 1.5,
    bite: 5.0,
    bite_s: 0.05,
    damping: 1.0,
    attack_s: 0.003,
    decay_s: 0.2,
    sustain: 0.1,
    release_s: 0.15,
    ..PLAIN
};

/// A lead that cuts through.
pub static SAW_LEAD: SustainedSound = SustainedSound {
    detune: &[-5.0, 0.0, 5.0],
    cutoff: 1500.0,
    track: 2.0,
    bite: 1.0,
    bite_s: 0.1,
    damping: 1.1,
    attack_s: 0.008,
    decay_s: 0.4,
    sustain: 0.8,
    release_s: 0.14,
    vibrato: 5.0,
    ..PLAIN
};
