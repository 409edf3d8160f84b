//! The person's own editor.

use std::path::Path;

use tokio::process::Command;

/// Why nothing was edited.
#[derive(Debug, thiserror::Error)]
pub enum EditorError {
    /// It could not be started, or said that it failed.
    #[error("the editor `{editor}` failed ({reason}): name another in VISUAL or EDITOR")]
    Failed {
        /// As the person named it.
        editor: String,
        /// Why.
        reason: String,
    },
    /// The file is gone, or was never there.
    #[error("the edited file cannot be used")]
    Unreadable(#[source] std::io::Error),
}

/// Opens a file in `$VISUAL`, else `$EDITOR`, else `vi`, and waits until it is closed.
pub async fn edit(file: &Path) -> Result<(), EditorError> {
    let named = |name: &str| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    let editor = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let failed = |reason: String| EditorError::Failed { editor: editor.clone(), reason };
    // The variable may hold arguments and quotes, so a shell reads it, as for every program that honours it.
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{editor} \"$@\"")).arg(&editor).arg(file);
    let status = shell.status().await.map_err(|error| failed(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(status.to_string())) }
}
