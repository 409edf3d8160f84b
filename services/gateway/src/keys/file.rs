//! The keys file on the disk: TOML that a person can read, replaced whole or not at all.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Keys, KeysError};

/// What stands above the keys.
const HEAD: &str = "# API keys of the gateway, made and revoked by `dailies key`. Only hashes of keys stand here.\n\n";

/// Why a keys file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is none.
    #[error("there is no keys file {}: `dailies key create --keys {}` makes it", .0.display(), .0.display())]
    Missing(PathBuf),
    /// It cannot be read or written.
    #[error("the keys file {} cannot be used", file.display())]
    Unusable {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no keys file.
    #[error("the keys file {} is damaged: {reason}", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The change makes no sense.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// What the file says.
pub fn read(file: &Path) -> Result<Keys, FileError> {
    parse(file, &text(file)?)
}

/// The file's bytes.
pub(super) fn text(file: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(file).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => FileError::Missing(file.to_path_buf()),
        _ => unusable(file, source),
    })
}

/// What bytes of the file say.
pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<Keys, FileError> {
    let damaged = |reason: String| FileError::Damaged { file: file.to_path_buf(), reason };
    // Whoever writes it in place empties it first; that shuts nobody out.
    if bytes.is_empty() {
        return Err(damaged("it is empty".to_owned()));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
    let keys: Keys = toml::from_str(text).map_err(|error| damaged(error.message().to_owned()))?;
    keys.check().map_err(|error| damaged(error.to_string()))?;
    Ok(keys)
}

/// Changes the file, which is made when it is missing. Two who change it at once take turns.
pub fn change<T>(file: &Path, act: impl FnOnce(&mut Keys) -> Result<T, KeysError>) -> Result<T, FileError> {
    let failed = |source| unusable(file, source);
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The file itself is replaced, so its folder is what can be locked.
    let lock = File::open(folder).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let mut keys = match read(file) {
        Err(FileError::Missing(_)) => Keys::default(),
        read => read?,
    };
    let outcome = act(&mut keys)?;
    let text = toml::to_string(&keys).map_err(|error| failed(std::io::Error::other(error)))?;
    let write = || {
        let owner_only = std::fs::Permissions::from_mode(0o600);
        // A gateway that runs as another user was given its right to read by somebody; it keeps it.
        let permissions = std::fs::metadata(file).map_or(owner_only, |known| known.permissions());
        let mut new = tempfile::Builder::new().permissions(permissions).tempfile_in(folder)?;
        new.write_all(HEAD.as_bytes())?;
        new.write_all(text.as_bytes())?;
        new.as_file().sync_all()?;
        new.persist(file).map_err(|error| error.error)?;
        lock.sync_all()
    };
    write().map_err(failed)?;
    Ok(outcome)
}

fn unusable(file: &Path, source: std::io::Error) -> FileError {
    FileError::Unusable { file: file.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use messages::id::KeyId;

    use super::super::Key;
    use super::*;

    fn add(file: &Path, number: u128) -> Result<Key, FileError> {
        let key = Key::new().expect("random bits");
        let id = KeyId::from_uuid(uuid::Uuid::from_u128(number));
        let now = DateTime::from_timestamp(1_800_000_000, 123_000_000).expect("a time");
        change(file, |keys| keys.add(id, "alice".parse().expect("a user"), "a \"name\"", &key, now))?;
        Ok(key)
    }

    #[test]
    fn what_was_made_is_read_back_and_the_key_is_not_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys.toml");
        assert!(matches!(read(&file), Err(FileError::Missing(_))));
        let key = add(&file, 1).expect("made");
        let text = std::fs::read_to_string(&file).expect("is there");
        assert!(!text.contains(key.expose()) && text.contains(&key.digest().to_string()), "{text}");
        let keys = read(&file).expect("reads");
        assert_eq!(keys.find(key.expose()).map(|entry| entry.name.as_str()), Some("a \"name\""));
        let mode = std::fs::metadata(&file).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn keys_made_at_once_are_all_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys.toml");
        std::thread::scope(|threads| {
            for number in 0..16 {
                let file = &file;
                threads.spawn(move || add(file, number).expect("made"));
            }
        });
        assert_eq!(read(&file).expect("reads").entries.len(), 16);
    }

    #[test]
    fn a_damaged_file_is_named_and_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys.toml");
        add(&file, 1).expect("made");
        let whole = std::fs::read_to_string(&file).expect("is there");
        let twice = format!("{whole}\n{}", whole.replace(HEAD, ""));
        let scope = whole.replace("sha256", "scope = \"all\"\nsha256");
        for text in [&whole[..whole.len() / 2], "", "key = 1", "\u{0}", &twice, &scope] {
            std::fs::write(&file, text).expect("written");
            let error = read(&file).expect_err("damaged").to_string();
            assert!(error.contains("keys.toml"), "{error}");
            add(&file, 2).expect_err("it is not replaced");
            assert_eq!(std::fs::read_to_string(&file).expect("is there"), text);
        }
    }
}
