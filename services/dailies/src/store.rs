//! `dailies store`: the S3 endpoint alone, for services that run as processes of their own on one machine.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use runtime::config::Settings;
use runtime::health;
use runtime::monitoring::Monitoring;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::arguments::Store;
use crate::data_folder::{DataError, DataFolder};
use crate::downloads::shown;
use crate::embedded::{EmbeddedError, not_listening, open_objects};
use crate::screen::Screen;

/// Serves until `shutdown` fires.
pub async fn store(
    arguments: &Store,
    folder: &DataFolder,
    settings: &Settings,
    shutdown: &CancellationToken,
) -> Result<(), EmbeddedError> {
    let _monitoring = Monitoring::start(&settings.section("monitoring")?, &["objects"]).await?;
    let _lock = folder.lock()?;
    let key = folder.object_key()?;
    let failed = |error| not_listening(arguments.listen, &error);
    let listener = TcpListener::bind(arguments.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;

    // Secrets go into a file that only its owner reads, not onto a screen.
    let file = folder.join("store.env");
    let text = format!(
        "export DAILIES_OBJECTS__ENDPOINT=http://{address}\n\
         export DAILIES_OBJECTS__ACCESS_KEY_ID={}\n\
         export DAILIES_OBJECTS__SECRET_ACCESS_KEY={}\n",
        key.access_key_id, key.secret_access_key
    );
    let written = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file);
    written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| DataError::Unusable {
        folder: folder.path().display().to_string(),
        reason: error.to_string(),
    })?;

    let endpoint = open_objects(folder, &key, settings).await?;
    Screen::stdout()
        .print(&format!("S3 on http://{address}\nservices find it after:  . {}\nCtrl-C stops.", shown(&file)));
    let _needed = health::need("objects", || Ok(()));
    endpoint.serve(listener, shutdown.clone()).await;
    Ok(())
}
