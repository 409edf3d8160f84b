//! PURE: whether uploaded music begins like what it says it is.

use messages::artifact::MediaType;

/// How many bytes that takes.
pub const HEAD: usize = 12;

/// Whether a file that starts with `head` may be of that type.
pub fn begins_like(media_type: MediaType, head: &[u8]) -> bool {
    let at = |place: usize, mark: &[u8]| head.get(place..).is_some_and(|rest| rest.starts_with(mark));
    match media_type {
        // Notes about the song, or a frame's eleven set bits with a layer and a version that exist.
        MediaType::Mp3 => {
            at(0, b"ID3") || matches!(head, [0xff, mark, ..] if mark & 0xe6 == 0xe2 && mark & 0x18 != 0x08)
        }
        MediaType::Wav => at(8, b"WAVE") && (at(0, b"RIFF") || at(0, b"RF64")),
        MediaType::Flac => at(0, b"fLaC"),
        MediaType::Ogg => at(0, b"OggS"),
        MediaType::M4a | MediaType::Mp4 => at(4, b"ftyp"),
        MediaType::Png
        | MediaType::Jpeg
        | MediaType::Webp
        | MediaType::QuickTime
        | MediaType::Webm
        | MediaType::Json => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_mp3_is_told_from_other_streams_that_start_like_it() {
        // Layer III of versions 1, 2 and 2.5; then AAC's own frames, a JPEG, an impossible version.
        for (head, is_mp3) in [
            ([0xff, 0xfb], true),
            ([0xff, 0xf3], true),
            ([0xff, 0xe3], true),
            ([0xff, 0xf1], false),
            ([0xff, 0xd8], false),
            ([0xff, 0xeb], false),
        ] {
            assert_eq!(begins_like(MediaType::Mp3, &head), is_mp3, "{head:02x?}");
        }
    }

    #[test]
    fn too_few_bytes_are_nothing() {
        for media_type in [MediaType::Mp3, MediaType::Wav, MediaType::Flac, MediaType::Ogg, MediaType::M4a] {
            for head in [&b""[..], b"R", b"\xff"] {
                assert!(!begins_like(media_type, head), "{media_type:?}");
            }
        }
    }
}
