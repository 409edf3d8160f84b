//! Files: brought to a film, and taken from one, through the gateway.

use std::time::Duration;

use messages::artifact::ArtifactKey;
use messages::import::UploadKind;
use messages::phase::Phase;
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use tokio::process::Command;

use super::{Asker, RequestError};
use crate::api_key::with_key;
use crate::arguments::{Open, Upload};
use crate::data_folder::DataFolder;
use crate::downloads::{DownloadError, Downloads, client};

/// The gateway says nothing before it has the whole file.
const PATIENCE: Duration = Duration::from_secs(3600);

impl Asker {
    pub(super) async fn upload(&mut self, ask: &Upload) -> Result<(), RequestError> {
        let key = ask.artifact;
        let (what, index, field) = match (UploadKind::for_artifact(key), key) {
            (Some(UploadKind::Picture), ArtifactKey::Beat(beat)) => ("image", Some(("beat_index", beat)), "image"),
            (Some(UploadKind::Clip), ArtifactKey::Chunk(chunk)) => ("chunk", Some(("chunk_index", chunk)), "video"),
            (Some(UploadKind::Music), _) => ("music", None, "music"),
            (Some(UploadKind::Picture | UploadKind::Clip) | None, _) => return Err(RequestError::NotUploaded(key)),
        };
        let gateway = self.gateway.clone().ok_or(RequestError::NoGateway)?;
        let checkpoint = self.checkpoint(ask.of.video, ask.which.named().as_ref()).await?;
        let unreadable = |source| RequestError::Unreadable { file: ask.file.display().to_string(), source };
        let file = Part::file(&ask.file).await.map_err(unreadable)?;
        let mut form = Form::new();
        if let Some((name, index)) = index {
            form = form.text(name, index.to_string());
        }
        let form = form.part(field, file);

        let url = format!("{gateway}/api/video/{}/checkpoints/{checkpoint}/upload-{what}", ask.of.video);
        let silent = |source| RequestError::Gateway { url: gateway.clone(), source };
        let http = client(PATIENCE).map_err(silent)?;
        let answer = with_key(http.post(url), self.key.as_ref()).multipart(form).send().await.map_err(silent)?;
        let accepted = answer.status().is_success();
        let status = answer.status().as_u16().to_string();
        let body: Value = answer.json().await.map_err(silent)?;
        if !accepted {
            return Err(refused(&body, status));
        }
        self.say(&body, ask.of.json);
        Ok(())
    }

    pub(super) async fn open(&mut self, ask: &Open) -> Result<(), RequestError> {
        let gateway = self.gateway.clone().ok_or(RequestError::NoGateway)?;
        let checkpoint = self.look_at(ask.of.video, ask.which.named().as_ref()).await?;
        let view = self.view(ask.of.video, checkpoint).await?;
        let key = ask.artifact.unwrap_or(match view.phase_number {
            Phase::Planning => ArtifactKey::Spec,
            Phase::Storyboard => ArtifactKey::Beat(0),
            Phase::Chunks => ArtifactKey::Stitched,
            Phase::Refine => ArtifactKey::Final,
        });
        // A link of a gateway that asks for keys would not open.
        let place = if self.is_here || self.key.is_some() {
            let folder = DataFolder::open(&self.data)?.join("films").join(ask.of.video.to_string());
            let downloads = Downloads::new(&gateway, folder, self.key.clone())
                .map_err(|source| RequestError::Gateway { url: gateway.clone(), source })?;
            downloads.one(&self.client, &view, key).await?.display().to_string()
        } else {
            let artifact = view.artifacts.get(&key.to_string());
            let artifact = artifact.ok_or(DownloadError::Missing(key))?;
            format!("{gateway}{}", artifact.s3_url)
        };
        if ask.of.json {
            self.print_json(&serde_json::json!({ "artifact_key": key, "place": place }));
        } else {
            self.screen.print(&place);
            if self.screen.is_terminal() {
                self.show_to_person(&place).await;
            }
        }
        Ok(())
    }

    /// Hands a file or link to whatever the person's desktop opens it with. Where there is no desktop, what was printed
    /// has to do.
    async fn show_to_person(&mut self, place: &str) {
        let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let opened = Command::new(opener).arg(place).stdin(std::process::Stdio::null()).status().await;
        if !opened.is_ok_and(|status| status.success()) {
            self.screen.print(&format!("({opener} could not open it)"));
        }
    }
}

/// The gateway's problem (RFC 9457) in words: every field that is wrong on a line of its own, or the one reason.
fn refused(body: &Value, status: String) -> RequestError {
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let errors = body.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let line = |error: &Value| Some(format!("  {}: {}", text(error, "field")?, text(error, "reason")?));
    let lines: Vec<_> = errors.iter().filter_map(line).collect();
    let reason = match lines.as_slice() {
        [] => text(body, "detail").or_else(|| text(body, "title")).unwrap_or_default(),
        lines => format!("\n{}", lines.join("\n")),
    };
    RequestError::Refused { code: text(body, "code").unwrap_or(status), reason }
}
