//! What an S3 error means for the caller, in words that may stand in a failed phase.

use std::error::Error;
use std::fmt;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::artifacts::ObjectError;

/// A cause in words.
#[derive(Debug)]
pub struct Cause(String);

impl Cause {
    /// From words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Cause {}

/// Sorts an error into what passes and what does not.
pub fn judge<E>(action: &'static str, error: SdkError<E, HttpResponse>) -> ObjectError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (passes, words) = match &error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let meta = answer.err().meta();
            (passes(status, meta.code()), words(status, meta.code(), meta.message()))
        }
        SdkError::TimeoutError(_) => (true, "it did not answer in time".to_owned()),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            (true, format!("it did not answer in time ({})", root(failure.as_connector_error().map_or(&error, |e| e))))
        }
        SdkError::DispatchFailure(failure) => {
            (true, format!("it cannot be reached ({})", root(failure.as_connector_error().map_or(&error, |e| e))))
        }
        SdkError::ResponseError(_) => (true, format!("its answer makes no sense ({})", root(&error))),
        // Nothing was sent: what we asked for cannot be asked.
        _ => (false, root(&error)),
    };
    let source = Box::new(Cause(words));
    if passes { ObjectError::Unavailable { action, source } } else { ObjectError::Refused { action, source } }
}

/// Whether the error says that there is no such thing. A `HEAD` has nothing but its status to say so.
pub fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404)
}

/// Whether the error carries this code.
pub fn has_code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, code: &str) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some(code)
}

/// The innermost cause: the layers above it only say that something below failed.
pub fn root(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn passes(status: u16, code: Option<&str>) -> bool {
    match code {
        // Clocks drift and are set right again; so does whoever limits us.
        Some("RequestTimeTooSkewed" | "RequestTimeout" | "SlowDown" | "IncompleteBody" | "BadDigest") => true,
        _ => status >= 500 || matches!(status, 408 | 409 | 425 | 429),
    }
}

fn words(status: u16, code: Option<&str>, message: Option<&str>) -> String {
    let full = status == 507 || code.is_some_and(|code| code.contains("StorageFull") || code.contains("QuotaExceeded"));
    let named = match code {
        Some(code) => format!("{status} {code}"),
        None => status.to_string(),
    };
    match message {
        _ if full => format!("no space left in the object store ({named})"),
        Some(message) => format!("{} ({named})", message.chars().take(200).collect::<String>()),
        None => format!("it answered {named}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_of_the_server_passes_and_a_refusal_does_not() {
        for (status, code) in [(503, Some("SlowDown")), (500, None), (507, Some("InsufficientStorage")), (429, None)] {
            assert!(passes(status, code), "{status} {code:?}");
        }
        for (status, code) in
            [(403, Some("SignatureDoesNotMatch")), (404, Some("NoSuchBucket")), (400, None), (301, None)]
        {
            assert!(!passes(status, code), "{status} {code:?}");
        }
    }

    #[test]
    fn a_full_store_is_called_full_whoever_makes_the_server() {
        for (status, code) in [(507, Some("InsufficientStorage")), (507, None), (500, Some("XMinioStorageFull"))] {
            assert!(words(status, code, Some("whatever")).starts_with("no space left"), "{status} {code:?}");
        }
        assert_eq!(words(503, Some("SlowDown"), Some("too fast")), "too fast (503 SlowDown)");
        assert_eq!(words(403, None, None), "it answered 403");
    }
}
