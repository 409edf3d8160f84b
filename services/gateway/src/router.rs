//! Every route on one screen.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, patch, post, put};
use messages::catalogue::Catalogue;
use runtime::artifacts::ObjectStore;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::access::{Doors, Gate, guard, guard_upload};
use crate::config::Settings;
use crate::error::Error;
use crate::health::Meters;
use crate::hub::Hub;
use crate::nats::Nats;
use crate::{artifacts, catalogue, checkpoints, edits, health, openapi, progress, trace, uploads, videos};

/// What handlers share.
#[derive(Debug)]
pub struct App {
    /// Limits and times.
    pub settings: Settings,
    /// The names that we answer to.
    pub doors: Doors,
    /// How people are told apart.
    pub gate: Gate,
    /// The way to NATS.
    pub nats: Nats,
    /// What happens, fanned out.
    pub hub: Arc<Hub>,
    /// Where artifacts are. Links are made here, and uploads are put.
    pub objects: Arc<dyn ObjectStore>,
    /// Leave to receive an upload.
    pub upload_slots: Semaphore,
    /// Models, archetypes and beats.
    pub catalogue: Catalogue,
    /// What is counted.
    pub meters: Meters,
    /// Fires when the process has to stop.
    pub shutdown: CancellationToken,
}

/// [`App`], shared.
pub type Shared = Arc<App>;

macro_rules! routes {
    ($table:ident, $build:ident: $($method:ident $path:literal => $handler:path;)*) => {
        #[cfg(test)]
        pub(crate) const $table: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        fn $build() -> Router<Shared> {
            Router::new()$(.route($path, $method($handler)))*
        }
    };
}

routes! { API, api:
    post   "/api/generate"                                                          => videos::generate;
    get    "/api/videos"                                                            => videos::list;
    get    "/api/video/{video_id}"                                                  => videos::show;
    patch  "/api/video/{video_id}"                                                  => videos::change;
    delete "/api/video/{video_id}"                                                  => videos::delete;
    get    "/api/status/{video_id}"                                                 => videos::status;
    get    "/api/status/{video_id}/stream"                                          => progress::stream;
    post   "/api/video/{video_id}/continue"                                         => checkpoints::approve;
    post   "/api/video/{video_id}/retry"                                            => videos::retry;
    post   "/api/video/{video_id}/cancel"                                           => videos::cancel;
    post   "/api/video/{video_id}/resolve"                                          => videos::resolve;
    get    "/api/video/{video_id}/history"                                          => videos::history;
    get    "/api/video/{video_id}/cost"                                             => videos::cost;
    get    "/api/video/{video_id}/retention"                                        => videos::retention;
    get    "/api/video/{video_id}/compare"                                          => checkpoints::compare;
    get    "/api/video/{video_id}/branches"                                         => checkpoints::branches;
    get    "/api/video/{video_id}/checkpoint-tree"                                  => checkpoints::tree;
    get    "/api/video/{video_id}/checkpoints"                                      => checkpoints::list;
    get    "/api/video/{video_id}/checkpoints/current"                              => checkpoints::current;
    get    "/api/video/{video_id}/checkpoints/{checkpoint_id}"                      => checkpoints::show;
    patch  "/api/video/{video_id}/checkpoints/{checkpoint_id}/spec"                 => edits::spec;
    patch  "/api/video/{video_id}/checkpoints/{checkpoint_id}/audio"                => edits::audio;
    post   "/api/video/{video_id}/checkpoints/{checkpoint_id}/regenerate-beat"      => edits::regenerate_beat;
    post   "/api/video/{video_id}/checkpoints/{checkpoint_id}/regenerate-chunk"     => edits::regenerate_chunk;
    post   "/api/video/{video_id}/checkpoints/{checkpoint_id}/select"               => edits::select;
    post   "/api/video/{video_id}/checkpoints/{checkpoint_id}/take"                 => edits::take;
    post   "/api/video/{video_id}/checkpoints/{checkpoint_id}/reject"               => checkpoints::reject;
    post   "/api/video/{video_id}/checkpoints/{checkpoint_id}/abandon"              => checkpoints::abandon;
    post   "/api/video/{video_id}/checkpoints/{checkpoint_id}/fork"                 => checkpoints::fork;
    put    "/api/video/{video_id}/checkpoints/{checkpoint_id}/pin"                  => checkpoints::pin;
    get    "/api/artifacts/{artifact_id}/content"                                   => artifacts::content;
    get    "/api/models"                                                            => catalogue::models;
    get    "/api/templates"                                                         => catalogue::templates;
    get    "/api/beats"                                                             => catalogue::beats;
    get    "/api/openapi.json"                                                      => openapi::document;
}

// What brings a file comes as a form, not as JSON.
routes! { UPLOADS, files:
    post   "/api/video/{video_id}/checkpoints/{checkpoint_id}/upload-image"         => uploads::image;
    post   "/api/video/{video_id}/checkpoints/{checkpoint_id}/upload-chunk"         => uploads::chunk;
    post   "/api/video/{video_id}/checkpoints/{checkpoint_id}/upload-music"         => uploads::music;
}

// Probes and scrapers address us by whatever name they have, and learn nothing of anybody's films.
routes! { HEALTH, probes:
    get    "/healthz"                                                               => health::alive;
    get    "/readyz"                                                                => health::ready;
    get    "/metrics"                                                               => health::metrics;
}

/// The whole service.
pub fn router(app: Shared) -> Router {
    api()
        .route_layer(axum::middleware::from_fn_with_state(app.clone(), guard))
        .merge(
            files()
                .route_layer(axum::middleware::from_fn_with_state(app.clone(), guard_upload))
                // Each kind of upload has a limit of its own.
                .layer(DefaultBodyLimit::disable()),
        )
        .merge(probes())
        .fallback(async || Error::NoSuchRoute)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(axum::middleware::from_fn(trace::remember))
        .layer(axum::middleware::from_fn_with_state(app.clone(), health::meter))
        .with_state(app)
}
