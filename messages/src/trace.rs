//! Which trace something belongs to: a W3C `traceparent`, and the rules by which traces are found again without storing them.
//!
//! A trace is the run of one phase, from the command that started it to the last report. It goes along with commands, jobs,
//! reports and events. Nothing depends on it: what cannot be read is taken for none.

use std::fmt;
use std::str::FromStr;

use hex_simd::{AsciiCase, encode_to_string};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::artifact::Digest;
use crate::id::{CheckpointId, CommandId, VideoId};

/// The header that carries it on NATS and HTTP alike.
pub const HEADER: &str = "traceparent";

/// A place in a trace: something that was done, of which other things can be part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span within it.
    pub span_id: [u8; 8],
    /// Whether somebody records it already.
    pub sampled: bool,
}

impl Trace {
    /// The trace of a command that came without one. Whoever knows the command knows its trace.
    pub fn of_command(video: VideoId, command: &CommandId) -> Self {
        Self::named(&format!("command/{video}/{command}"))
    }

    /// The trace of a phase that nobody's command started: it was approved by a rule.
    pub fn of_phase(checkpoint: CheckpointId) -> Self {
        Self::named(&format!("phase/{checkpoint}"))
    }

    fn named(name: &str) -> Self {
        let digest = Digest::of(name.as_bytes());
        let [trace_id, span_id] = [digest.as_bytes().get(..16), digest.as_bytes().get(16..24)];
        Self { trace_id: exact(trace_id), span_id: exact(span_id), sampled: false }
    }

    /// The part of this that `name` says, in words that are used once.
    pub fn part(self, name: impl fmt::Display) -> Self {
        let digest = Digest::of(format!("{self}/{name}").as_bytes());
        Self { span_id: exact(digest.as_bytes().get(..8)), ..self }
    }
}

/// The first bytes of a digest, which is long enough.
fn exact<const N: usize>(bytes: Option<&[u8]>) -> [u8; N] {
    bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or([1; N])
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        let digits = |bytes: &[u8]| encode_to_string(bytes, AsciiCase::Lower);
        write!(f, "00-{}-{}-{flags:02}", digits(&self.trace_id), digits(&self.span_id))
    }
}

/// It is not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent (00-<32 hex digits>-<16 hex digits>-<2 hex digits>)")]
pub struct InvalidTrace;

impl FromStr for Trace {
    type Err = InvalidTrace;

    fn from_str(text: &str) -> Result<Self, InvalidTrace> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(InvalidTrace);
        let (version, trace_id, span_id, flags) = (part()?, part()?, part()?, part()?);
        let [version] = hex(version)?;
        // A later version may have more to say, after what we understand.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return Err(InvalidTrace);
        }
        let [flags] = hex(flags)?;
        let trace = Self { trace_id: hex(trace_id)?, span_id: hex(span_id)?, sampled: flags & 1 == 1 };
        if trace.trace_id == [0; 16] || trace.span_id == [0; 8] { Err(InvalidTrace) } else { Ok(trace) }
    }
}

/// Lower-case digits, as the standard wants them.
fn hex<const N: usize>(text: &str) -> Result<[u8; N], InvalidTrace> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(InvalidTrace),
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return Err(InvalidTrace);
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        if let [high, low] = pair {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
    }
    Ok(bytes)
}

impl Serialize for Trace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// For fields that carry a trace: one that is no trace is none, because nothing may fail for it.
pub fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Trace>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_reads_back_as_it_was_written() {
        let trace: Trace = STANDARD.parse().expect("the standard's own");
        assert!(trace.sampled);
        assert_eq!(trace.to_string(), STANDARD);
        let later = format!("01{}-more", &STANDARD[2..]);
        assert_eq!(later.parse(), Ok(trace), "a later version");
    }

    #[test]
    fn what_is_no_traceparent_is_refused_and_never_in_the_way() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(text.parse::<Trace>(), Err(InvalidTrace), "{text:?}");
            let read = lenient(&serde_json::json!(text)).expect("it is passed over");
            assert_eq!(read, None, "{text:?}");
        }
    }

    #[test]
    fn derived_traces_are_the_same_every_time_and_different_for_different_things() {
        let video: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid");
        let [one, other] = ["a-1", "a-2"].map(|id| Trace::of_command(video, &id.parse().expect("valid")));
        assert_eq!(one, Trace::of_command(video, &"a-1".parse().expect("valid")));
        assert_ne!(one.trace_id, other.trace_id);
        assert_eq!(one.part("job").trace_id, one.trace_id);
        assert_ne!(one.part("job").span_id, one.part("report").span_id);
        assert_eq!(one.to_string().parse(), Ok(one));
    }
}
