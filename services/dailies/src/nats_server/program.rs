//! Finding a `nats-server` that is new enough.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::NatsServerError;

/// The oldest version whose streams behave as ours are set up.
const OLDEST: (u32, u32) = (2, 14);

/// The program that was named (by the setting, else by `DAILIES_NATS_SERVER`), or the first on `PATH` and in `.tools`
/// that is new enough. A named one is used or refused, never replaced.
pub(super) async fn find(named: Option<&Path>) -> Result<PathBuf, NatsServerError> {
    let variable = std::env::var_os("DAILIES_NATS_SERVER").filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(program) = named.map(Path::to_path_buf).or(variable) {
        return check(&program).await.map(|()| program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = [".tools/bin", ".tools"].map(PathBuf::from);
    let mut refused = None;
    for folder in std::env::split_paths(&path).chain(tools) {
        let program = folder.join("nats-server");
        if !program.is_file() {
            continue;
        }
        match check(&program).await {
            Ok(()) => return Ok(program),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or(NatsServerError::Missing))
}

async fn check(program: &Path) -> Result<(), NatsServerError> {
    let unusable = |reason: String| NatsServerError::Unusable { program: program.to_path_buf(), reason };
    let mut asking = Command::new(program);
    asking.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let answer = tokio::time::timeout(Duration::from_secs(10), asking.output()).await;
    let answer = answer
        .map_err(|_| unusable("it does not say its version".to_owned()))?
        .map_err(|error| unusable(error.to_string()))?;
    let text = String::from_utf8_lossy(&answer.stdout);
    let version = version(&text).ok_or_else(|| unusable("it does not say its version".to_owned()))?;
    if (version.0, version.1) < OLDEST {
        return Err(NatsServerError::TooOld {
            program: program.to_path_buf(),
            version: format!("{}.{}.{}", version.0, version.1, version.2),
        });
    }
    Ok(())
}

/// The version in `nats-server: v2.15.1`.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let number = text.trim().rsplit_once('v')?.1;
    let mut parts = number.split(['.', '-', '+']).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_print_them() {
        assert_eq!(version("nats-server: v2.15.1\n"), Some((2, 15, 1)));
        assert_eq!(version("nats-server: v2.14.0-RC.2"), Some((2, 14, 0)));
        for other in ["", "nats-server", "v2", "v2.x.1"] {
            assert_eq!(version(other), None, "{other:?}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_a_nats_server_is_named() {
        let error = find(Some(Path::new("/bin/true"))).await.expect_err("it says no version").to_string();
        assert!(error.contains("/bin/true"), "{error}");
        let error = find(Some(Path::new("/nowhere/nats-server"))).await.expect_err("it is not there").to_string();
        assert!(error.contains("/nowhere/nats-server"), "{error}");
    }
}
