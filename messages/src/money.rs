//! Money, exact to a millionth of a dollar.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in US dollars, kept as whole micro-dollars so that sums are exact. Public bodies show it as a number of
/// dollars (`0.19`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Usd(u64);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Whole micro-dollars.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Dollars as a person writes them, rounded to a micro-dollar; none for what is negative, not a number or above a
    /// billion dollars.
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        let valid = dollars.is_finite() && (0.0..=1e9).contains(&dollars);
        // In range by the line above: at most 1e15.
        valid.then(|| Self((dollars * 1e6).round() as u64))
    }

    /// Whole micro-dollars.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Dollars, for showing.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// So many times this amount, stopping at the largest representable one.
    pub const fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }
}

impl fmt::Display for Usd {
    /// At least two decimals, more only where they say something: `$0.19`, `$0.025`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let digits = format!("{micros:06}");
        let shown = digits.trim_end_matches('0');
        write!(f, "${dollars}.{shown:0<2}")
    }
}

impl fmt::Debug for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Add for Usd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Usd {
    type Output = Self;
    /// Stops at zero.
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        Self::from_dollars(dollars)
            .ok_or_else(|| serde::de::Error::custom("an amount is a number of dollars from 0 to a billion"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_print_as_people_write_them() {
        for (micros, shown) in
            [(0, "$0.00"), (190_000, "$0.19"), (25_000, "$0.025"), (2_000_000, "$2.00"), (1, "$0.000001")]
        {
            assert_eq!(Usd::from_micros(micros).to_string(), shown);
        }
    }

    #[test]
    fn dollars_survive_json() {
        for micros in [0, 1, 25_000, 190_000, 123_456_789] {
            let amount = Usd::from_micros(micros);
            let json = serde_json::to_string(&amount).expect("writes");
            assert_eq!(serde_json::from_str::<Usd>(&json).expect("reads"), amount);
        }
        assert!(serde_json::from_str::<Usd>("-1").is_err());
    }
}
