//! The way in: connecting, and what the connection says of itself later.

use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};

use super::BusError;
use super::settings::{Access, NatsSettings};
use crate::backoff::Backoff;
use crate::metrics::{self, NatsEvent};

/// The oldest server whose streams behave as ours are set up.
const OLDEST_SERVER: (i64, i64) = (2, 14);

pub(super) async fn connect(settings: &NatsSettings) -> Result<(Client, Option<String>), BusError> {
    let access = settings.resolve()?;
    let addresses = access
        .urls
        .iter()
        .map(|url| url.expose().parse())
        .collect::<Result<Vec<ServerAddr>, _>>()
        .map_err(|error| BusError::Settings(format!("{} is not a NATS address: {error}", access.shown())))?;

    let deadline = tokio::time::Instant::now() + settings.connect_timeout;
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let client = loop {
        let error = match options(&access, &addresses).await?.connect(&addresses[..]).await {
            Ok(client) => break client,
            Err(error) => error,
        };
        let refused = matches!(
            error.kind(),
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Tls
        );
        let wait = backoff.next_wait();
        if refused {
            return Err(BusError::Refused { urls: access.shown(), reason: error.to_string() });
        }
        if tokio::time::Instant::now() + wait > deadline {
            return Err(BusError::Unreachable { urls: access.shown(), reason: error.to_string() });
        }
        tokio::time::sleep(wait).await;
    };

    let version = client.server_info().version;
    if !client.is_server_compatible(OLDEST_SERVER.0, OLDEST_SERVER.1, 0) {
        return Err(BusError::TooOld { version, urls: access.shown() });
    }
    tracing::debug!(server.version = version, "connected to nats");
    Ok((client, access.domain))
}

async fn options(access: &Access, addresses: &[ServerAddr]) -> Result<ConnectOptions, BusError> {
    let unreadable = |what: &str, path: &std::path::Path, error: std::io::Error| {
        BusError::Settings(format!("the {what} file {} cannot be read: {error}", path.display()))
    };
    let mut options = ConnectOptions::new()
        .name(concat!("dailies ", env!("CARGO_PKG_VERSION")))
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(Duration::from_secs(10)))
        .max_reconnects(None)
        .reconnect_delay_callback(|tries| {
            // The first try is at once: a restarted server is back in milliseconds.
            let wait = Duration::from_millis(50).saturating_mul(1 << tries.min(6));
            if tries <= 1 { Duration::ZERO } else { crate::backoff::spread(wait.min(Duration::from_secs(2))) }
        })
        .event_callback(|event| async move { log_event(&event) });
    if let Some(creds) = &access.creds {
        options = options.credentials_file(creds).await.map_err(|error| unreadable("credentials", creds, error))?;
    }
    if let Some(nkey) = &access.nkey {
        let seed = tokio::fs::read_to_string(nkey).await.map_err(|error| unreadable("nkey", nkey, error))?;
        options = options.nkey(seed.trim().to_owned());
    }
    if let Some(user) = &access.user {
        options = options.user_and_password(user.clone(), access.password.expose().to_owned());
    }
    // The client reads user and password in an address and never sends them.
    let named = addresses.iter().find_map(|address| Some((address.username()?, address.password()?)));
    if let (None, Some((user, password))) = (&access.user, named) {
        options = options.user_and_password(user.to_owned(), password.to_owned());
    }
    if !access.token.expose().is_empty() {
        options = options.token(access.token.expose().to_owned());
    }
    if let Some(ca) = &access.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &access.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    if let Some(prefix) = &access.inbox_prefix {
        options = options.custom_inbox_prefix(prefix);
    }
    Ok(options)
}

/// A refused publish looks like a timeout to its caller; only here does the server say why.
fn log_event(event: &Event) {
    metrics::nats_event(match event {
        Event::Connected => NatsEvent::Connected,
        Event::Disconnected | Event::Draining | Event::Closed => NatsEvent::Disconnected,
        Event::LameDuckMode => NatsEvent::LameDuck,
        Event::SlowConsumer(_) => NatsEvent::SlowConsumer,
        Event::ServerError(_) => NatsEvent::ServerError,
        Event::ClientError(_) => NatsEvent::ClientError,
    });
    match event {
        Event::Connected => tracing::debug!("nats connection is up"),
        Event::Disconnected => tracing::warn!("nats connection is lost, reconnecting"),
        Event::LameDuckMode => tracing::info!("nats server is about to stop"),
        Event::Draining | Event::Closed => tracing::debug!(event = %event, "nats connection ends"),
        Event::SlowConsumer(subscription) => {
            tracing::warn!(subscription, "messages were dropped because a subscription is too slow");
        }
        Event::ServerError(error) => tracing::error!(error = %error, "nats server refused something"),
        Event::ClientError(error) => tracing::warn!(error = %error, "nats client stumbled"),
    }
}
