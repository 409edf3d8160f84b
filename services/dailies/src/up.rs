//! `dailies up`: the whole cluster until Ctrl-C.

use messages::id::VideoId;
use runtime::config::Settings;
use runtime::monitoring::Monitoring;
use runtime::trace::Tracing;
use tokio_util::sync::CancellationToken;

use crate::arguments::Up;
use crate::data_folder::{Address, DataError, DataFolder};
use crate::embedded::{Embedded, EmbeddedError, Ports};
use crate::program;
use crate::screen::{Paint, Screen};

/// What must run for the whole to be ready.
const PARTS: &[&str] = &["coordinator", "planner", "storyboard", "chunk", "refine", "gateway"];

/// Runs until `shutdown` fires or a part ends by itself.
pub async fn up(
    arguments: &Up,
    folder: &DataFolder,
    settings: &Settings,
    shutdown: &CancellationToken,
) -> Result<(), EmbeddedError> {
    let mut settings = settings.clone();
    if let Some(keys) = &arguments.keys {
        settings.set("gateway", "keys", keys.display().to_string());
    }
    let keyed = settings.section::<gateway::config::Settings>("gateway")?.keys.is_some();
    let ports = Ports { gateway: arguments.listen, nats: arguments.nats_port };
    let _monitoring = Monitoring::start(&settings.section("monitoring")?, PARTS).await?;
    let _tracing = Tracing::start(&settings.section("telemetry")?, "dailies")?;
    let mut cluster = tokio::select! {
        cluster = Embedded::start(folder, &settings, ports) => cluster.map_err(|error| explain(error, folder))?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let mut screen = Screen::stdout();
    let lines = greeting(cluster.address(), VideoId::from_uuid(uuid::Uuid::now_v7()), keyed, screen.paint);
    screen.print(&lines);
    let ended = tokio::select! {
        error = cluster.ended() => Err(error),
        () = shutdown.cancelled() => Ok(()),
    };
    screen.print("stopping; the next `up` goes on where this one was");
    cluster.stop().await;
    ended
}

/// Says of a folder that is in use how to reach its owner.
fn explain(error: EmbeddedError, folder: &DataFolder) -> EmbeddedError {
    match (error, folder.owner()) {
        (EmbeddedError::Data(DataError::InUse { folder, pid }), Some(owner)) => {
            EmbeddedError::Data(DataError::InUse { folder, pid: format!("{pid} (which serves {})", owner.url) })
        }
        (error, _) => error,
    }
}

/// Where the cluster is and what can be pasted to use it; `video` is an id that nobody has used, and a keyed gateway wants
/// a key.
fn greeting(address: &Address, video: VideoId, keyed: bool, paint: Paint) -> String {
    let Address { url, nats, .. } = address;
    let program = program();
    let head = |text: &str| paint.bold(text);
    let key = if keyed { r#" -H "Authorization: Bearer $DAILIES_KEY""# } else { "" };
    let json = "-H 'Content-Type: application/json' -d";
    format!(
        r#"{title}
  HTTP  {url}  (API: {url}/api/openapi.json)
  NATS  {nats}

{here}
  {program} make "A 15 second ad for a mechanical watch, elegant, gold and black"

{curl}
  curl -s{key} {url}/api/generate {json} '{{"prompt":"A 15 second ad for a mechanical watch"}}'
  ID=…   # the video_id of the answer
  curl -sN{key} {url}/api/status/$ID/stream
  curl -s{key} {url}/api/video/$ID/checkpoints/current
  curl -s{key} {url}/api/video/$ID/continue {json} '{{"checkpoint_id":"cp-…"}}'

{cli}
  export NATS_URL={nats}
  nats sub 'video.*.*.event.>'
  ID={video}
  nats pub video.local.$ID.cmd.create '{{"prompt":"A 15 second ad for a mechanical watch"}}'
  nats pub video.local.$ID.cmd.approve '{{"checkpoint_id":"cp-…"}}'

Ctrl-C stops.
"#,
        title = head("Dailies is up."),
        here = head("Make a film in another terminal"),
        curl = head("Create, watch and approve with curl"),
        cli = head("The same with the nats CLI"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_can_be_pasted() {
        let address = Address { url: "http://127.0.0.1:8787".into(), nats: "nats://127.0.0.1:4222".into(), pid: 1 };
        let video = VideoId::from_uuid(uuid::Uuid::nil());
        let text = greeting(&address, video, false, Paint::plain());
        for part in [
            "curl -s http://127.0.0.1:8787/api/generate -H 'Content-Type: application/json' -d '{\"prompt\":",
            "curl -sN http://127.0.0.1:8787/api/status/$ID/stream",
            "export NATS_URL=nats://127.0.0.1:4222",
            "ID=vid-00000000-0000-0000-0000-000000000000",
            "nats pub video.local.$ID.cmd.approve '{\"checkpoint_id\":\"cp-…\"}'",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let keyed = greeting(&address, video, true, Paint::plain());
        assert_eq!(keyed.matches("curl -s").count(), keyed.matches("Bearer $DAILIES_KEY").count(), "{keyed}");
    }
}
