//! Jobs that could not be handled, with their story, for a person.

use messages::job::DeadLetter;

use super::ports::Delivery;
use crate::clock::Clock;

/// A copy of a job with the reason why it is set aside.
pub(super) fn letter(delivery: &dyn Delivery, reason: String, clock: &dyn Clock) -> DeadLetter {
    DeadLetter {
        subject: delivery.subject().to_owned(),
        reason,
        deliveries: delivery.deliveries(),
        time: clock.now(),
        payload: base64(delivery.payload()),
    }
}

/// RFC 4648 with padding, as `base64 -d` reads it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_read_back_with_ordinary_tools() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("\u{0}\u{7f}", "AH8=")];
        for (text, expected) in cases {
            assert_eq!(base64(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }
}
