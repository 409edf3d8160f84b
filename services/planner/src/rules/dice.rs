//! Choices that look random and are not: the same seed and label always fall the same way.

/// A seed to choose with.
#[derive(Debug, Clone, Copy)]
pub struct Dice(u64);

impl Dice {
    /// Dice of a seed and of texts that should change how they fall.
    pub fn new<'a>(seed: u64, texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(texts.into_iter().fold(mix(seed), |state, text| mix(state ^ hash(text))))
    }

    /// A number below `count`, the same for the same label and index; 0 for an empty range.
    pub fn pick(self, label: &str, index: usize, count: usize) -> usize {
        if count == 0 {
            return 0;
        }
        // The remainder is below `count`, which is a usize.
        (self.roll(label, index) % count as u64) as usize
    }

    /// 0 up to 1.
    pub fn fraction(self, label: &str, index: usize) -> f64 {
        (self.roll(label, index) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn roll(self, label: &str, index: usize) -> u64 {
        mix(self.0 ^ hash(label) ^ mix(index as u64))
    }
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_falls_the_same_way_and_another_differs() {
        let rolls = |seed| (0..8).map(|i| Dice::new(seed, []).pick("x", i, 1000)).collect::<Vec<_>>();
        assert_eq!(rolls(1), rolls(1));
        assert_ne!(rolls(1), rolls(2));
        assert_eq!(Dice::new(1, []).pick("x", 0, 0), 0);
    }
}
