//! Being seen: every replica registers with the NATS services API, so that `nats micro ls`, `info` and `stats` show it.

use std::collections::HashMap;
use std::sync::Arc;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Service, ServiceExt as _};
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::Value;

use crate::bus::Bus;

/// What a replica says of itself, and asks anew whenever somebody wants to know.
pub type Figures = Arc<dyn Fn() -> Value + Send + Sync>;

/// Why a replica cannot be seen.
#[derive(Debug, thiserror::Error)]
#[error("the service cannot be registered with NATS: {0}")]
pub struct RegistrationError(async_nats::Error);

/// A replica's entry; it goes with this value.
#[derive(Debug)]
pub struct Registration {
    service: Option<Service>,
    answering: Vec<tokio::task::JoinHandle<()>>,
}

impl Registration {
    /// Enters this replica as one of `name` (`A-Z a-z 0-9 _ -`). `figures` are shown by `nats micro stats` as soon as the
    /// entry has an endpoint.
    pub async fn new(
        bus: &Bus,
        name: &str,
        description: &str,
        metadata: HashMap<String, String>,
        figures: Figures,
    ) -> Result<Self, RegistrationError> {
        let service = bus
            .client()
            .service_builder()
            .description(description)
            .metadata(metadata)
            .stats_handler(move |_, _| figures())
            .start(name, env!("CARGO_PKG_VERSION"))
            .await
            .map_err(RegistrationError)?;
        Ok(Self { service: Some(service), answering: Vec::new() })
    }

    /// Adds an endpoint with answers of its own; replicas share its questions.
    pub async fn endpoint(&self, name: &str, subject: &str) -> Result<Endpoint, RegistrationError> {
        let Some(service) = &self.service else {
            return Err(RegistrationError("the entry was taken away".into()));
        };
        service.endpoint_builder().name(name).add(subject).await.map_err(RegistrationError)
    }

    /// Adds an endpoint that answers `figures` as JSON to whoever asks on `subject`.
    pub async fn answer(&mut self, name: &str, subject: &str, figures: Figures) -> Result<(), RegistrationError> {
        let Some(service) = &self.service else { return Ok(()) };
        let mut endpoint = service.endpoint_builder().name(name).add(subject).await.map_err(RegistrationError)?;
        self.answering.push(tokio::spawn(async move {
            while let Some(request) = endpoint.next().await {
                let answer = Bytes::from(figures().to_string());
                if let Err(error) = request.respond(Ok(answer)).await {
                    tracing::debug!(error = %error, "a question about this replica went unanswered");
                }
            }
        }));
        Ok(())
    }

    /// Takes the entry away.
    pub async fn stop(mut self) {
        if let Some(service) = self.service.take() {
            // It only reports that nobody was listening, which is what was wanted.
            let _ = service.stop().await;
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.answering.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// The name of this process among its replicas: the host's name, and something of its own.
pub fn instance() -> String {
    let host = host();
    let own = uuid::Uuid::new_v4().simple().to_string();
    format!("{}-{}", &host[..host.len().min(40)], &own[..8])
}

/// The host's name in letters that may stand in a subject.
pub fn host() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    if name.is_empty() { "host".to_owned() } else { name }
}
