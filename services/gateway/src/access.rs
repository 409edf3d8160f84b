//! Who asks, and from where: the checks that every request passes before a handler sees it.
//!
//! A page of another site must not command a server on this machine. Two doors are watched: the `Host` must be a name of
//! ours (DNS rebinding), and the `Origin` of a changing request must be the page's own (CSRF). Changing requests must
//! also be of a type that a browser never sends across origins without asking first. Uploads are the exception to the
//! last: a form may be sent without asking, and every browser then names the page's origin.
//!
//! Identity has one place, [`Gate`]: with API keys the user is the key's, without them whoever sits at this machine is
//! `local`. No handler is reached without it, so none can forget to ask.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use messages::id::{KeyId, UserId};
use serde::Deserialize;

use crate::error::{Error, Unlocked};
use crate::keys::ring::Keyring;
use crate::router::Shared;

/// Who asks, and by which name of ours.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user token of every subject.
    pub user: UserId,
    /// The key that let them in, if keys are asked for.
    pub key: Option<KeyId>,
    /// `scheme://host[:port]` that the request was addressed to; links begin with it.
    pub base: String,
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Error> {
        let visitor = parts.extensions.get::<Visitor>().cloned().ok_or(Error::Unauthorized(Unlocked::NoKey))?;
        Ok(Self { user: visitor.user, key: visitor.key, base: app.doors.base(&parts.headers)? })
    }
}

/// How people are told apart.
#[derive(Debug, Clone)]
pub enum Gate {
    /// Not at all: only this machine is served.
    Loopback,
    /// By their API keys.
    Keys(Arc<Keyring>),
}

/// Whom a gate let in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Visitor {
    user: UserId,
    key: Option<KeyId>,
}

impl Gate {
    /// Lets a request in by its headers. A key stands in `Authorization` and nowhere else: addresses end in logs.
    fn admit(&self, headers: &HeaderMap) -> Result<Visitor, Error> {
        let keyring = match self {
            Self::Loopback => return Ok(Visitor { user: UserId::local(), key: None }),
            Self::Keys(keyring) => keyring,
        };
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let Some(authorization) = given.next() else { return Err(Error::Unauthorized(Unlocked::NoKey)) };
        let key = bearer(authorization).filter(|_| given.next().is_none());
        let entry = key.and_then(|key| keyring.find(key)).ok_or(Error::Unauthorized(Unlocked::BadKey))?;
        Ok(Visitor { user: entry.user, key: Some(entry.id) })
    }

    /// Whether a caller who was let in may stay.
    pub fn still_admits(&self, caller: &Caller) -> bool {
        match self {
            Self::Loopback => true,
            Self::Keys(keyring) => caller.key.is_some_and(|key| keyring.keys().is_good(key)),
        }
    }
}

/// The key of `Bearer KEY`.
fn bearer(authorization: &HeaderValue) -> Option<&str> {
    let (scheme, key) = authorization.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_start_matches(' '))
}

/// The names that this server answers to.
#[derive(Debug, Clone)]
pub struct Doors {
    /// The port that is listened on.
    pub port: u16,
    /// Origins of proxies in front of it.
    pub public: Vec<Origin>,
    /// Whether any address with our port is a name of ours: rebinding needs a name, and a key travels with no page.
    pub any_address: bool,
}

/// `scheme://host[:port]`, in lower case, without the scheme's own port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Doors {
    /// The base of links, when the `Host` is one of ours.
    pub fn base(&self, headers: &HeaderMap) -> Result<String, Error> {
        Ok(self.addressed(headers)?.to_string())
    }

    fn addressed(&self, headers: &HeaderMap) -> Result<Origin, Error> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
        let refused = || Error::ForbiddenHost(host.chars().take(80).collect());
        if hosts.next().is_some() {
            return Err(refused());
        }
        let (name, port) = split_authority(host).ok_or_else(refused)?;
        if let Some(public) = self.public.iter().find(|public| public.is_addressed_by(&name, port)) {
            return Ok(public.clone());
        }
        let port = port.unwrap_or(80);
        let ours = port == self.port && (is_loopback_name(&name) || self.any_address && address_of(&name).is_some());
        ours.then(|| Origin { scheme: "http".into(), host: name, port }).ok_or_else(refused)
    }

    /// A page may only change what its own server has.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Error> {
        let addressed = self.addressed(headers)?;
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin.to_str().ok().and_then(|text| Origin::try_from(text.to_owned()).ok());
            if origin.as_ref() != Some(&addressed) {
                return Err(Error::ForbiddenOrigin);
            }
        }
        Ok(())
    }
}

/// Lets a request in, or says why not.
pub async fn guard(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let checked = check(&app.doors, &request);
    enter(&app, checked, request, next).await
}

/// As [`guard`], for a request that brings a file.
pub async fn guard_upload(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let checked = check_upload(&app.doors, request.headers());
    enter(&app, checked, request, next).await
}

async fn enter(app: &Shared, checked: Result<(), Error>, mut request: Request, next: Next) -> Response {
    match checked.and_then(|()| app.gate.admit(request.headers())) {
        Ok(visitor) => {
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

fn check_upload(doors: &Doors, headers: &HeaderMap) -> Result<(), Error> {
    doors.check_origin(headers)?;
    let form = content_type(headers).is_some_and(|kind| kind.eq_ignore_ascii_case(MULTIPART));
    if form { Ok(()) } else { Err(Error::UnsupportedMediaType(MULTIPART)) }
}

fn check(doors: &Doors, request: &Request) -> Result<(), Error> {
    let headers = request.headers();
    doors.addressed(headers)?;
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    doors.check_origin(headers)?;
    let Some(kind) = content_type(headers) else {
        // A browser sends PUT and DELETE across origins only after asking, which we do not answer; so one without a
        // body needs no type.
        let asks_first = matches!(*request.method(), Method::PUT | Method::DELETE);
        let has_body = headers.contains_key(header::TRANSFER_ENCODING)
            || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
        return if asks_first && !has_body { Ok(()) } else { Err(Error::UnsupportedMediaType(JSON)) };
    };
    let merge_patch = *request.method() == Method::PATCH && kind.eq_ignore_ascii_case(MERGE_PATCH);
    let json = kind.eq_ignore_ascii_case(JSON);
    if json || merge_patch { Ok(()) } else { Err(Error::UnsupportedMediaType(JSON)) }
}

/// The type without its parameters; none when there is no such header.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    let kind = headers.get(header::CONTENT_TYPE)?;
    Some(kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim())
}

/// How files are sent.
pub const MULTIPART: &str = "multipart/form-data";
const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

impl Origin {
    fn is_addressed_by(&self, host: &str, port: Option<u16>) -> bool {
        self.host == host && port.unwrap_or(self.default_port()) == self.port
    }

    fn default_port(&self) -> u16 {
        if self.scheme == "https" { 443 } else { 80 }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.port == self.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let parse = || {
            let (scheme, rest) = lower.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))?;
            let (host, port) = split_authority(rest)?;
            let origin = Self { scheme: scheme.to_owned(), host, port: 0 };
            let port = port.unwrap_or(origin.default_port());
            Some(Self { port, ..origin })
        };
        parse().ok_or_else(|| format!("`{text}` is not an origin (`https://films.example.org`)"))
    }
}

/// Host in lower case, and port; none for what is not `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_authority(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.to_ascii_lowercase();
    let host_end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, rest) = text.split_at_checked(host_end)?;
    let port = match rest.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
        None if rest.is_empty() => None,
        None => return None,
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    (!host.is_empty() && host.bytes().all(plain)).then(|| (host.to_owned(), port))
}

fn is_loopback_name(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || address_of(host).is_some_and(|ip| ip.is_loopback())
}

/// The host as an address, when it is no name.
fn address_of(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors() -> Doors {
        let public = Origin::try_from("https://films.example.org".to_owned()).expect("an origin");
        Doors { port: 8080, public: vec![public], any_address: false }
    }

    fn request(method: Method, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method(method).uri("/api/videos");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(axum::body::Body::empty()).expect("a request")
    }

    fn code(method: Method, headers: &[(&str, &str)]) -> u16 {
        match check(&doors(), &request(method, headers)) {
            Ok(()) => 200,
            Err(error) => error.into_response().status().as_u16(),
        }
    }

    #[test]
    fn only_our_own_names_are_answered_to() {
        for ours in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "127.9.9.9:8080", "LOCALHOST:8080"] {
            assert_eq!(code(Method::GET, &[("host", ours)]), 200, "{ours}");
        }
        assert_eq!(code(Method::GET, &[("host", "films.example.org")]), 200);
        assert_eq!(code(Method::GET, &[("host", "films.example.org:443")]), 200);
        for foreign in [
            "evil.example",
            "evil.example:8080",
            "localhost",
            "localhost:81",
            "localhost.evil.example:8080",
            "127.0.0.1.evil.example:8080",
            "10.0.0.1:8080",
            "films.example.org:8080",
            "user@localhost:8080",
            "localhost:8080:8080",
            "localhost:+8080",
            "",
        ] {
            assert_eq!(code(Method::GET, &[("host", foreign)]), 403, "{foreign}");
        }
        assert_eq!(code(Method::GET, &[("host", "localhost:8080"), ("host", "evil.example")]), 403);
        assert_eq!(code(Method::GET, &[]), 403);
    }

    #[test]
    fn a_page_of_another_origin_changes_nothing() {
        let post = |origin: &str, host: &str| {
            code(Method::POST, &[("host", host), ("origin", origin), ("content-type", "application/json")])
        };
        assert_eq!(post("http://localhost:8080", "localhost:8080"), 200);
        assert_eq!(post("https://films.example.org", "films.example.org"), 200);
        for foreign in ["http://evil.example", "null", "http://localhost:3000", "https://localhost:8080", "file://"] {
            assert_eq!(post(foreign, "localhost:8080"), 403, "{foreign}");
        }
        assert_eq!(post("http://127.0.0.1:8080", "localhost:8080"), 403, "another name is another origin");
        assert_eq!(post("http://films.example.org", "films.example.org"), 403, "another scheme too");
    }

    #[test]
    fn what_a_form_can_send_is_refused() {
        let host = ("host", "localhost:8080");
        for form in ["text/plain", "application/x-www-form-urlencoded", "text/plain; application/json"] {
            assert_eq!(code(Method::POST, &[host, ("content-type", form)]), 415, "{form}");
        }
        assert_eq!(code(Method::POST, &[host]), 415);
        assert_eq!(code(Method::POST, &[host, ("content-type", "application/json; charset=utf-8")]), 200);
        assert_eq!(code(Method::PATCH, &[host, ("content-type", "application/merge-patch+json")]), 200);
        assert_eq!(code(Method::DELETE, &[host]), 200, "there is nothing to be of a type");
        assert_eq!(code(Method::DELETE, &[host, ("content-length", "2")]), 415);
        assert_eq!(code(Method::POST, &[host, ("content-type", "multipart/form-data; boundary=x")]), 415);
    }

    #[test]
    fn a_file_comes_in_a_form_and_from_a_page_of_ours() {
        let upload = |headers: &[(&str, &str)]| match check_upload(&doors(), request(Method::POST, headers).headers()) {
            Ok(()) => 200,
            Err(error) => error.into_response().status().as_u16(),
        };
        let (host, form) = (("host", "localhost:8080"), ("content-type", "multipart/form-data; boundary=x"));
        assert_eq!(upload(&[host, form]), 200);
        assert_eq!(upload(&[host, form, ("origin", "http://localhost:8080")]), 200);
        assert_eq!(upload(&[host, form, ("origin", "http://evil.example")]), 403);
        assert_eq!(upload(&[("host", "evil.example:8080"), form]), 403);
        assert_eq!(upload(&[host, ("content-type", "application/json")]), 415);
        assert_eq!(upload(&[host]), 415);
    }
}
