//! `dailies key`: API keys of a gateway, made, listed and revoked in its keys file. A running gateway notices by itself.

use std::path::PathBuf;

use gateway::keys::file::{FileError, change, read};
use gateway::keys::{Entry, Key};
use messages::id::{KeyId, UserId};
use runtime::clock::{Clock, SystemClock};
use runtime::config::{ConfigError, Settings};
use serde_json::{Value, json};

use crate::arguments::{self, KeyAct};
use crate::columns::pad;
use crate::screen::Screen;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No file is named.
    #[error("which keys file? name it with --keys FILE, or set gateway.keys")]
    NoFile,
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The operating system gives no random bits.
    #[error("no key could be made: {0}")]
    Random(String),
}

/// Does it and prints what came of it.
pub fn key(arguments: &arguments::Key, user: &UserId, settings: &Settings) -> Result<(), KeyError> {
    let named = match &arguments.keys {
        Some(file) => Some(file.clone()),
        None => settings.section::<gateway::config::Settings>("gateway")?.keys,
    };
    let file: PathBuf = named.ok_or(KeyError::NoFile)?;
    let mut screen = Screen::stdout();
    match &arguments.act {
        KeyAct::Create(create) => {
            let key = Key::new().map_err(|error| KeyError::Random(error.to_string()))?;
            let id = KeyId::from_uuid(uuid::Uuid::now_v7());
            let name = create.name.as_deref().unwrap_or_default();
            let entry = change(&file, |keys| keys.add(id, user.clone(), name, &key, SystemClock.now()))?;
            if create.json {
                let mut shown = shown(&entry);
                shown["key"] = json!(key.expose());
                screen.print(&shown.to_string());
            } else {
                // The key alone, so that `> alice.key` makes a file for --key-file.
                screen.print(key.expose());
                note(&format!("{id} for {user}; the key is shown this once"));
            }
        }
        KeyAct::List(list) => {
            let keys = read(&file)?;
            let lines = keys.entries.iter();
            match list.json {
                true => lines.for_each(|entry| screen.print(&shown(entry).to_string())),
                false => lines.for_each(|entry| screen.print(&line(entry))),
            }
        }
        KeyAct::Revoke(revoke) => {
            let entry = change(&file, |keys| keys.revoke(revoke.id, SystemClock.now()))?;
            screen.print(&line(&entry));
        }
    }
    Ok(())
}

/// What is not the answer itself.
#[expect(clippy::print_stderr, reason = "standard output is for the key alone")]
fn note(text: &str) {
    eprintln!("{text}");
}

/// An entry for programs. Its hash is nobody's business outside the file.
fn shown(entry: &Entry) -> Value {
    let Entry { id, user, name, created_at, sha256: _, revoked_at } = entry;
    json!({ "id": id, "user": user, "name": name, "created_at": created_at, "revoked_at": revoked_at })
}

/// An entry for people.
fn line(entry: &Entry) -> String {
    let day = entry.created_at.format("%Y-%m-%d");
    let revoked = entry.revoked_at.map(|time| format!("  revoked {}", time.format("%Y-%m-%d %H:%M")));
    let line =
        format!("{}  {}  {day}  {}{}", entry.id, pad(entry.user.as_str(), 16), entry.name, revoked.unwrap_or_default());
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use messages::artifact::Digest;

    use super::*;

    #[test]
    fn a_listed_key_says_whose_it_is_and_nothing_that_opens() {
        let mut entry = Entry {
            id: KeyId::from_uuid(uuid::Uuid::nil()),
            user: "alice".parse().expect("a user"),
            name: "laptop".to_owned(),
            created_at: DateTime::from_timestamp(1_800_000_000, 0).expect("a time"),
            sha256: Digest::of(b"dly_secret"),
            revoked_at: None,
        };
        let text = line(&entry);
        assert!(text.ends_with("alice             2027-01-15  laptop"), "{text}");
        entry.revoked_at = DateTime::from_timestamp(1_800_003_600, 0);
        assert!(line(&entry).ends_with("laptop  revoked 2027-01-15 09:00"), "{}", line(&entry));
        assert!(!shown(&entry).to_string().contains(&entry.sha256.to_string()));
    }
}
