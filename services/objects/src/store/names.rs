//! Object keys as paths below a bucket's folder, and back.
//!
//! `videos/a/film.mp4` becomes `videos+/a+/film.mp4`, so that a prefix is a folder and listing it reads little else. The
//! mark `+` ends a folder, `~` ends a piece of a segment that goes on inside (names are at most 255 bytes on disk), and
//! `%` alone is the object whose last segment is empty. All bytes but lower-case letters, digits, `-`, `_` and an inner
//! `.` are written `%xx`: no key can name `..`, an absolute path or a hidden file, and keys that differ only in case or
//! in Unicode form stay apart on file systems that do not tell those from each other.
//!
//! Invariant: equal paths mean equal keys, and every path stays below the folder that it is joined to.

use std::path::PathBuf;

/// Bytes of a segment per path component. Each may take three characters, and a mark follows: 241 at most.
const PIECE: usize = 80;

/// What a name on disk stands for.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// An object: the end of its key.
    Object(Vec<u8>),
    /// A folder: the next segment with its `/`, or a piece of a long one. All keys below begin with it.
    Folder(Vec<u8>),
}

/// The file of an object, relative to its bucket's folder.
pub fn file_of(key: &str) -> PathBuf {
    let (mut path, covered) = folder_of(key);
    let rest = &key.as_bytes()[covered..];
    path.push(if rest.is_empty() { "%".to_owned() } else { encode(rest) });
    path
}

/// The deepest folder that holds every key with this prefix, and how many bytes of the prefix it stands for.
pub fn folder_of(prefix: &str) -> (PathBuf, usize) {
    let (mut path, mut covered, mut rest) = (PathBuf::new(), 0, prefix.as_bytes());
    loop {
        let slash = rest.iter().position(|byte| *byte == b'/');
        // Where a segment is cut depends on its bytes alone, so that all keys with a common prefix share folders.
        if slash.unwrap_or(rest.len()) >= PIECE {
            path.push(encode(&rest[..PIECE]) + "~");
            (covered, rest) = (covered + PIECE, &rest[PIECE..]);
        } else if let Some(slash) = slash {
            path.push(encode(&rest[..slash]) + "+");
            (covered, rest) = (covered + slash + 1, &rest[slash + 1..]);
        } else {
            return (path, covered);
        }
    }
}

/// What a name on disk stands for; none for files that are not ours.
pub fn entry_of(name: &str) -> Option<Entry> {
    if name == "%" {
        return Some(Entry::Object(Vec::new()));
    }
    if let Some(segment) = name.strip_suffix('+') {
        let mut key = decode(segment)?;
        key.push(b'/');
        return Some(Entry::Folder(key));
    }
    if let Some(piece) = name.strip_suffix('~') {
        return decode(piece).map(Entry::Folder);
    }
    decode(name).filter(|key| !key.is_empty()).map(Entry::Object)
}

fn encode(bytes: &[u8]) -> String {
    let mut name = String::with_capacity(bytes.len() + 8);
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(*byte)),
            b'.' if i > 0 => name.push('.'),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name
}

fn decode(name: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::with_capacity(name.len()), name.as_bytes());
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let hex = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    // Whatever we would have written differently was not written by us.
    (encode(&bytes) == name).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use super::*;

    fn hostile() -> Vec<String> {
        let mut keys: Vec<String> = [
            "a",
            "a/b",
            "..",
            "../..",
            "../../etc/passwd",
            "/",
            "//",
            "/a",
            "a//b",
            "a/",
            "a/.",
            "a/..",
            "./a",
            ".hidden",
            "%",
            "%2e%2e",
            "+",
            "~",
            "a+",
            "a~",
            "a+/b~",
            "A",
            "B/b",
            "nul\0",
            "tab\t",
            "line\nbreak",
            "back\\slash",
            "ü",
            "u\u{308}",
            "日本/語",
            "🎬",
            "C:",
            "con",
            "a.",
            "a b",
            "*?<>|\"'",
        ]
        .map(str::to_owned)
        .to_vec();
        for length in [79, 80, 81, 159, 160, 161, 255, 256, 1024] {
            keys.push("x".repeat(length));
            keys.push("\u{1}".repeat(length));
            keys.push(format!("{}/y", "x".repeat(length - 2)));
        }
        keys.push("a/".repeat(512));
        keys.push("é".repeat(512));
        keys
    }

    #[test]
    fn every_key_stays_below_its_folder_in_names_that_a_disk_takes() {
        for key in hostile() {
            let path = file_of(&key);
            assert!(path.as_os_str().len() < 3400, "{key:?}");
            for component in path.components() {
                let Component::Normal(name) = component else { panic!("{key:?} leads to {component:?}") };
                assert!(name.len() <= 255 && !name.to_string_lossy().starts_with('.'), "{key:?} leads to {name:?}");
            }
        }
    }

    #[test]
    fn a_path_gives_its_key_back() {
        for key in hostile() {
            let mut back = Vec::new();
            for component in file_of(&key).components() {
                match entry_of(component.as_os_str().to_str().expect("ascii")).expect("ours") {
                    Entry::Object(part) | Entry::Folder(part) => back.extend(part),
                }
            }
            assert_eq!(String::from_utf8_lossy(&back), key);
        }
    }

    #[test]
    fn all_keys_with_a_prefix_are_in_its_folder() {
        for key in hostile() {
            for (end, _) in key.char_indices() {
                let (folder, covered) = folder_of(&key[..end]);
                assert!(covered <= end);
                assert!(file_of(&key).starts_with(&folder), "{key:?} cut at {end} is not in {folder:?}");
            }
        }
    }

    #[test]
    fn foreign_files_are_no_objects() {
        for name in [".DS_Store", "Film.mp4", "a%2E", "a%6", "a%zz", "", "a b", "%61"] {
            assert_eq!(entry_of(name), None, "{name:?}");
        }
    }
}
