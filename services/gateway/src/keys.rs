//! API keys: who may ask over HTTP, and as which user. Here is what a keys file says; [`file`] keeps it on the disk,
//! [`ring`] has the newest of it at hand for every request.
//!
//! A key is 256 random bits, shown once when it is made. The file holds its SHA-256 alone, so whoever reads it can check a
//! key and cannot ask with one; a slow hash would add nothing, because nobody guesses 256 bits. A revoked key stays in the
//! file with the time, so that the file tells who could ask when.
//!
//! PURE, but for [`Key::new`]: it takes its bits from the operating system.

pub mod file;
pub mod ring;

use std::fmt::Write as _;
use std::hint::black_box;

use chrono::{DateTime, Utc};
use messages::artifact::Digest;
use messages::id::{KeyId, UserId};
use runtime::secret::Secret;
use serde::{Deserialize, Serialize};

/// What every key starts with, so that a scanner of published code recognises a lost one.
const PREFIX: &str = "dly_";

/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// A key itself. Its text shows nowhere by accident.
#[derive(Debug, Clone)]
pub struct Key(Secret);

impl Key {
    /// A new one.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut bits = [0_u8; 32];
        getrandom::fill(&mut bits)?;
        let mut text = String::with_capacity(PREFIX.len() + 2 * bits.len());
        text.push_str(PREFIX);
        for byte in bits {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self(Secret::new(text)))
    }

    /// The text, for the one who gets it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What is kept of it: what `printf %s KEY | sha256sum` prints.
    pub fn digest(&self) -> Digest {
        digest(self.expose())
    }
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// All that a keys file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// In the order in which they were made.
    #[serde(rename = "key", default)]
    pub entries: Vec<Entry>,
}

/// One key, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name for programs.
    pub id: KeyId,
    /// Whose videos it is for.
    pub user: UserId,
    /// Its name for people: where it is used.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The hash of its text.
    pub sha256: Digest,
    /// Since when it opens nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Why the keys are left as they are.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeysError {
    /// The name is none.
    #[error("a key's name has at most {MAX_NAME} characters, and no line breaks or other controls")]
    Name,
    /// There is no such key.
    #[error("there is no key `{0}`")]
    Unknown(KeyId),
    /// Two entries are for the same key or have the same id, so that revoking one would not close the door.
    #[error("the key `{0}` stands there twice")]
    Twice(KeyId),
}

impl Keys {
    /// The entry that a presented text opens. It looks at every entry, whole, so that the time it takes says nothing.
    pub fn find(&self, presented: &str) -> Option<&Entry> {
        let digest = digest(presented);
        let mut found = None;
        for entry in &self.entries {
            if equal(entry.sha256.as_bytes(), digest.as_bytes()) && entry.revoked_at.is_none() {
                found = Some(entry);
            }
        }
        found
    }

    /// Whether a key that was once found is still good.
    pub fn is_good(&self, id: KeyId) -> bool {
        self.entries.iter().any(|entry| entry.id == id && entry.revoked_at.is_none())
    }

    /// Takes in a new key.
    pub fn add(
        &mut self,
        id: KeyId,
        user: UserId,
        name: &str,
        key: &Key,
        now: DateTime<Utc>,
    ) -> Result<Entry, KeysError> {
        if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(KeysError::Name);
        }
        let entry = Entry { id, user, name: name.to_owned(), created_at: now, sha256: key.digest(), revoked_at: None };
        self.entries.push(entry.clone());
        self.check()?;
        Ok(entry)
    }

    /// Closes a key. Doing it again keeps the first time.
    pub fn revoke(&mut self, id: KeyId, now: DateTime<Utc>) -> Result<Entry, KeysError> {
        let entry = self.entries.iter_mut().find(|entry| entry.id == id).ok_or(KeysError::Unknown(id))?;
        entry.revoked_at.get_or_insert(now);
        Ok(entry.clone())
    }

    /// What parsing alone does not see.
    fn check(&self) -> Result<(), KeysError> {
        for (place, entry) in self.entries.iter().enumerate() {
            let before = &self.entries[..place];
            if before.iter().any(|other| other.id == entry.id || other.sha256 == entry.sha256) {
                return Err(KeysError::Twice(entry.id));
            }
        }
        Ok(())
    }
}

/// Compares without stopping at the first difference.
fn equal(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let difference = left.iter().zip(right).fold(0, |difference, (left, right)| black_box(difference | (left ^ right)));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time")
    }

    fn user(name: &str) -> UserId {
        name.parse().expect("a user")
    }

    fn id(number: u128) -> KeyId {
        KeyId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_key_is_256_bits_that_nobody_sees_by_accident() {
        let (one, two) = (Key::new().expect("random bits"), Key::new().expect("random bits"));
        assert_ne!(one.expose(), two.expose());
        let bits = one.expose().strip_prefix(PREFIX).expect("the prefix");
        assert!(bits.len() == 64 && bits.bytes().all(|b| b.is_ascii_hexdigit()), "64 hexadecimal digits");
        assert!(!format!("{one:?}").contains(bits));
    }

    #[test]
    fn a_key_opens_for_its_own_user_until_it_is_revoked() {
        let (alices, bobs) = (Key::new().expect("random bits"), Key::new().expect("random bits"));
        let mut keys = Keys::default();
        keys.add(id(1), user("alice"), "laptop", &alices, at(0)).expect("taken");
        keys.add(id(2), user("bob"), "", &bobs, at(1)).expect("taken");
        assert_eq!(keys.find(alices.expose()).map(|entry| entry.user.as_str()), Some("alice"));
        assert_eq!(keys.find(bobs.expose()).map(|entry| entry.user.as_str()), Some("bob"));

        let revoked = keys.revoke(id(1), at(2)).expect("it is there");
        assert_eq!(revoked.revoked_at, Some(at(2)));
        assert_eq!(keys.find(alices.expose()), None);
        assert_eq!((keys.is_good(id(1)), keys.is_good(id(2)), keys.is_good(id(3))), (false, true, false));
        let again = keys.revoke(id(1), at(9)).expect("it is there");
        assert_eq!(again.revoked_at, Some(at(2)), "the first time counts");
        assert_eq!(keys.revoke(id(3), at(9)), Err(KeysError::Unknown(id(3))));
    }

    #[test]
    fn what_is_kept_of_a_key_does_not_open() {
        let key = Key::new().expect("random bits");
        let mut keys = Keys::default();
        let entry = keys.add(id(1), user("alice"), "", &key, at(0)).expect("taken");
        let text = key.expose();
        for wrong in ["", "dly_", &entry.sha256.to_string(), &text[..67], &text.to_uppercase(), &format!("{text} ")] {
            assert_eq!(keys.find(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_is_one_line() {
        let key = Key::new().expect("random bits");
        let mut keys = Keys::default();
        for name in ["two\nlines", "\u{1b}[31m", &"x".repeat(65)] {
            assert_eq!(keys.add(id(1), user("alice"), name, &key, at(0)), Err(KeysError::Name), "{name:?}");
        }
        assert_eq!(keys, Keys::default());
    }
}
