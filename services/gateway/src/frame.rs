//! PURE: the bytes of server-sent events.
//!
//! Data is one line of JSON, so no input can begin a field or an event of its own.

use bytes::Bytes;
use serde_json::Value;

/// The frame of a numbered event from its JSON; none when it cannot be one.
pub fn event(name: &str, seq: u64, json: &[u8]) -> Option<Bytes> {
    let data = one_line(json)?;
    is_name(name).then(|| format!("event: {name}\nid: {seq}\ndata: {data}\n\n").into())
}

/// The frame of an event that nobody can resume from; none when its JSON is not.
pub fn unnumbered(name: &str, json: &[u8]) -> Option<Bytes> {
    let data = one_line(json)?;
    is_name(name).then(|| format!("event: {name}\ndata: {data}\n\n").into())
}

/// A comment: nothing happened, the connection lives.
pub const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// The last frame: no branch runs or waits.
pub const CLOSE: Bytes = Bytes::from_static(b"event: close\ndata: {}\n\n");

/// JSON without line breaks; one that has some is written anew.
fn one_line(json: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(json).ok()?;
    if text.contains(['\n', '\r']) {
        let value: Value = serde_json::from_str(text).ok()?;
        return Some(value.to_string());
    }
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    Some(text.to_owned())
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_json() {
        let frame = event("job_done", 7, b"{\"type\": \"job_done\",\r\n \"seq\": 7}").expect("a frame");
        assert_eq!(frame, &b"event: job_done\nid: 7\ndata: {\"seq\":7,\"type\":\"job_done\"}\n\n"[..]);
        let compact = br#"{"b":1,"a":2}"#;
        assert_eq!(
            unnumbered("progress", compact).expect("a frame"),
            &b"event: progress\ndata: {\"b\":1,\"a\":2}\n\n"[..]
        );
    }

    #[test]
    fn nothing_on_the_bus_can_forge_a_frame() {
        assert!(event("job_done\nid: 9", 7, b"{}").is_none());
        assert!(event("", 7, b"{}").is_none());
        assert!(event("job_done", 7, b"not json").is_none());
        assert!(event("job_done", 7, b"{}\n\nevent: close").is_none());
        assert!(event("job_done", 7, b"\xff").is_none());
    }
}
