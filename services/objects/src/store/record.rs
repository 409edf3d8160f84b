//! One object in one file: its bytes, then what is known about them, then how long that is and a mark.
//!
//! The description comes last because the hash is known last, and the bytes come first so that a stored picture or clip
//! can be opened as it is. One file means that bytes and description cannot be seen without each other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};

use serde::{Deserialize, Serialize};

/// Ends every file. The digits are the version of the layout.
const MARK: &[u8; 8] = b"DLYOBJ01";

/// Length of the description (`u32`, little endian) and the mark.
const TAIL: u64 = 12;

/// No description is larger: keys have 1 KiB, headers a few.
const DESCRIPTION_LIMIT: u32 = 1 << 20;

/// What is known about a stored object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The whole key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes in hex, which is the entity tag too.
    pub sha256: String,
    /// When it was stored, in milliseconds since 1970.
    pub stored_at_ms: u64,
    /// What the writer said about it.
    pub headers: Headers,
}

/// What a writer says about an object, given back with it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Headers {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `x-amz-meta-*`, without the prefix.
    pub metadata: BTreeMap<String, String>,
}

impl Record {
    /// What a list says about an object whose file is damaged.
    pub fn of_damaged(key: &str) -> Self {
        Self { key: key.to_owned(), size: 0, sha256: String::new(), stored_at_ms: 0, headers: Headers::default() }
    }

    /// What goes behind the bytes.
    pub fn tail(&self) -> io::Result<Vec<u8>> {
        let mut tail = serde_json::to_vec(self).map_err(io::Error::other)?;
        let length = u32::try_from(tail.len()).ok().filter(|length| *length <= DESCRIPTION_LIMIT);
        let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "too much metadata"))?;
        tail.write_all(&length.to_le_bytes())?;
        tail.write_all(MARK)?;
        Ok(tail)
    }

    /// Reads the description from the end of an object's file and leaves the file at its first byte. An error of kind
    /// `InvalidData` means that the file is not whole.
    pub fn read(file: &mut File) -> io::Result<Self> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "not a whole object");
        let length = file.metadata()?.len();
        let at_tail = length.checked_sub(TAIL).ok_or_else(damaged)?;
        let mut tail = [0; TAIL as usize];
        file.seek(SeekFrom::Start(at_tail))?;
        file.read_exact(&mut tail)?;
        let [l0, l1, l2, l3, mark @ ..] = tail;
        let described = u32::from_le_bytes([l0, l1, l2, l3]);
        if mark != *MARK || described > DESCRIPTION_LIMIT {
            return Err(damaged());
        }
        let at_description = at_tail.checked_sub(u64::from(described)).ok_or_else(damaged)?;
        let mut description = vec![0; described as usize];
        file.seek(SeekFrom::Start(at_description))?;
        file.read_exact(&mut description)?;
        let record: Self = serde_json::from_slice(&description).map_err(|_| damaged())?;
        if record.size != at_description {
            return Err(damaged());
        }
        file.rewind()?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(bytes: &[u8]) -> Vec<u8> {
        let record = Record {
            key: "k".into(),
            size: bytes.len() as u64,
            sha256: "ab".into(),
            stored_at_ms: 5,
            headers: Headers::default(),
        };
        [bytes, &record.tail().expect("small")].concat()
    }

    fn read(bytes: &[u8]) -> io::Result<Record> {
        let mut file = tempfile::tempfile().expect("scratch file");
        file.write_all(bytes).expect("write");
        Record::read(&mut file)
    }

    #[test]
    fn a_file_says_what_it_holds() {
        assert_eq!(read(&stored(b"hello")).expect("whole").size, 5);
        assert_eq!(read(&stored(b"")).expect("whole").size, 0);
    }

    #[test]
    fn a_file_that_is_cut_anywhere_is_damaged() {
        let whole = stored(b"hello");
        for length in 0..whole.len() {
            let error = read(&whole[..length]).expect_err("cut");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "cut at {length}");
        }
        assert!(read(&whole[1..]).is_err(), "cut in front");
    }
}
