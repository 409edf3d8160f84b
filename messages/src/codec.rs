//! The bytes of internal messages: MessagePack by field name, so that the order of fields is not part of the contract.
//!
//! The only user of the byte format.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are not the message they were taken for.
#[derive(Debug, thiserror::Error)]
#[error("not a readable {what}")]
pub struct Unreadable {
    /// The message's type.
    pub what: &'static str,
    #[source]
    source: rmp_serde::decode::Error,
}

/// Why a message has no bytes.
#[derive(Debug, thiserror::Error)]
#[error("a {what} cannot be written")]
pub struct Unwritable {
    /// The message's type.
    pub what: &'static str,
    #[source]
    source: rmp_serde::encode::Error,
}

/// Room for most messages, so that writing one does not move it again and again.
const ROOM: usize = 512;

/// A message's bytes.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Unwritable> {
    let mut bytes = Vec::with_capacity(ROOM);
    rmp_serde::encode::write_named(&mut bytes, message)
        .map_err(|source| Unwritable { what: short_name::<T>(), source })?;
    Ok(bytes)
}

/// The message of some bytes. Unknown fields are passed over: an older reader meets a newer writer.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    rmp_serde::from_slice(bytes).map_err(|source| Unreadable { what: short_name::<T>(), source })
}

fn short_name<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    name.rsplit("::").next().unwrap_or(name)
}
