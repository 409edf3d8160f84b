//! Bytes on their way in: written to a file that nobody sees, counted, hashed, and compared with every checksum that
//! came with them.

use std::io::Write as _;

use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::Checksum;
use sha2::Digest as _;
use tempfile::NamedTempFile;

use super::StoreError;
use super::space::Reservation;

/// What the sender says about the bytes. What is none is not checked.
#[derive(Debug, Default)]
pub struct Expected {
    /// How many there are.
    pub size: Option<u64>,
    /// `Content-MD5`, in Base64.
    pub md5: Option<String>,
    /// `x-amz-checksum-*`, in Base64.
    pub checksum: Checksum,
}

/// An upload in progress. Dropping it leaves nothing behind.
pub struct Upload {
    file: NamedTempFile,
    room: Reservation,
    size: u64,
    sha256: sha2::Sha256,
    md5: Option<Md5>,
    checksum: ChecksumHasher,
}

/// An upload that arrived as it was sent.
pub struct Arrived {
    /// The bytes.
    pub file: NamedTempFile,
    /// The room they take.
    pub room: Reservation,
    /// How many they are.
    pub size: u64,
    /// Their SHA-256 in hex.
    pub sha256: String,
}

impl Upload {
    /// Into `file`, computing `md5` and those sums of `checksum` that are enabled.
    pub fn new(file: NamedTempFile, room: Reservation, md5: bool, checksum: ChecksumHasher) -> Self {
        Self { file, room, size: 0, sha256: sha2::Sha256::new(), md5: md5.then(Md5::new), checksum }
    }

    /// Makes sure that so many bytes fit, before they are sent in vain.
    pub fn expect(&mut self, size: u64) -> Result<(), StoreError> {
        self.room.grow_to(size).map_err(|_| StoreError::Full)
    }

    /// Takes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.expect(self.size + bytes.len() as u64)?;
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
        self.checksum.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        Ok(())
    }

    /// Compares what came with what was announced.
    pub fn finish(self, expected: &Expected) -> Result<Arrived, StoreError> {
        if expected.size.is_some_and(|size| size != self.size) {
            return Err(StoreError::Incomplete);
        }
        let (wanted, came) = (&expected.checksum, self.checksum.finalize());
        let md5 = self.md5.map(|md5| base64(&md5.finalize()));
        let pairs = [
            (&expected.md5, &md5),
            (&wanted.checksum_crc32, &came.checksum_crc32),
            (&wanted.checksum_crc32c, &came.checksum_crc32c),
            (&wanted.checksum_crc64nvme, &came.checksum_crc64nvme),
            (&wanted.checksum_sha1, &came.checksum_sha1),
            (&wanted.checksum_sha256, &came.checksum_sha256),
        ];
        // A sum that was announced and not computed is a mismatch too: nothing unchecked becomes visible.
        if pairs.iter().any(|(wanted, came)| wanted.is_some() && wanted != came) {
            return Err(StoreError::BadDigest);
        }
        let sha256 = self.sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Arrived { file: self.file, room: self.room, size: self.size, sha256 })
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let six = (bits >> (18 - 6 * i)) & 63;
            text.push(if i <= three.len() { char::from(ALPHABET[six as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_one_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
