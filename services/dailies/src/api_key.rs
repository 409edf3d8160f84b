//! The API key that commands show to a gateway: from a file or the environment, never from the command line, where
//! everybody on the machine would see it.

use std::path::PathBuf;

use reqwest::header::{AUTHORIZATION, HeaderValue};

use crate::arguments::Reach;

/// The variable that holds a key.
const VARIABLE: &str = "DAILIES_KEY";

/// A key, ready to be sent. It does not show in `Debug`.
#[derive(Debug, Clone)]
pub struct ApiKey(HeaderValue);

/// Why there is no key to send.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// The file of `--key-file`.
    #[error("the API key in {} cannot be read", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something else than a key; it is not repeated, because it may be another secret.
    #[error("{0} holds no API key: `dailies key create` prints one")]
    NotAKey(String),
}

impl ApiKey {
    /// The key of `--key-file`, else of the environment, if there is one.
    pub fn find(reach: &Reach) -> Result<Option<Self>, ApiKeyError> {
        match &reach.key_file {
            Some(file) => {
                let text = std::fs::read_to_string(file);
                let text = text.map_err(|source| ApiKeyError::Unreadable { file: file.clone(), source })?;
                Self::parse(&text, &file.display().to_string()).map(Some)
            }
            None => match std::env::var(VARIABLE) {
                Ok(text) if !text.is_empty() => Self::parse(&text, VARIABLE).map(Some),
                Ok(_) | Err(_) => Ok(None),
            },
        }
    }

    fn parse(text: &str, place: &str) -> Result<Self, ApiKeyError> {
        let not_a_key = || ApiKeyError::NotAKey(place.to_owned());
        let key = text.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(not_a_key());
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| not_a_key())?;
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

/// Shows the key, if there is one. A redirect to another server leaves it out, as the client does with every credential.
pub fn with_key(request: reqwest::RequestBuilder, key: Option<&ApiKey>) -> reqwest::RequestBuilder {
    match key {
        Some(ApiKey(header)) => request.header(AUTHORIZATION, header.clone()),
        None => request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_word_and_does_not_show() {
        let key = ApiKey::parse("dly_0123\n", "a file").expect("a key");
        assert_eq!(key.0.to_str().expect("text"), "Bearer dly_0123");
        assert!(!format!("{key:?}").contains("0123"));
        for text in ["", " \n", "two words", "-----BEGIN\nKEY", "schlüssel"] {
            let error = ApiKey::parse(text, "a file").expect_err("no key").to_string();
            assert!(error.starts_with("a file holds no API key") && !error.contains("words"), "{error}");
        }
    }
}
