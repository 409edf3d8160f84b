//! What `dailies up` cannot start with: one sentence that names it, a failed exit, and nothing left running.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::living;
use crate::harness::{SOON, System, dailies, until};

#[tokio::test]
async fn a_nats_server_that_is_not_there_is_named() {
    let scratch = tempfile::tempdir().expect("a folder");
    let mut named = up(scratch.path());
    named.env("DAILIES_NATS_SERVER", "/nowhere/nats-server");
    let reason = refused(named, scratch.path()).await;
    assert!(reason.contains("/nowhere/nats-server"), "{reason}");

    let mut found_nowhere = up(scratch.path());
    let programs = scratch.path().join("bin");
    std::fs::create_dir(&programs).expect("a folder");
    for tool in ["ffmpeg", "ffprobe"] {
        symlink(on_path(tool), programs.join(tool)).expect("a link");
    }
    found_nowhere.env("PATH", programs).env_remove("DAILIES_NATS_SERVER");
    let reason = refused(found_nowhere, scratch.path()).await;
    assert!(reason.contains("nats-server was not found") && reason.contains("./dev setup"), "{reason}");
}

#[tokio::test]
async fn a_nats_server_that_is_too_old_is_named_with_its_version() {
    let scratch = tempfile::tempdir().expect("a folder");
    let old = scratch.path().join("old-nats-server");
    std::fs::write(&old, "#!/bin/sh\necho 'nats-server: v2.10.29'\n").expect("written");
    std::fs::set_permissions(&old, Permissions::from_mode(0o755)).expect("ours");
    let mut command = up(scratch.path());
    command.env("DAILIES_NATS_SERVER", &old);
    let reason = refused(command, scratch.path()).await;
    assert!(reason.contains("2.10.29") && reason.contains("2.14"), "{reason}");
}

#[tokio::test]
async fn a_media_tool_that_is_not_there_is_named() {
    let scratch = tempfile::tempdir().expect("a folder");
    let mut command = up(scratch.path());
    command.env("DAILIES_MEDIA__FFMPEG", "/nowhere/ffmpeg");
    let reason = refused(command, scratch.path()).await;
    assert!(reason.contains("/nowhere/ffmpeg") && reason.contains("install ffmpeg"), "{reason}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_remedy() {
    let scratch = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");

    let gateway = up_on(scratch.path(), &address.to_string(), 0);
    let reason = refused(gateway, scratch.path()).await;
    assert!(reason.contains(&address.to_string()) && reason.contains("--listen"), "{reason}");

    let nats = up_on(scratch.path(), "127.0.0.1:0", address.port());
    let reason = refused(nats, scratch.path()).await;
    assert!(reason.contains(&address.port().to_string()) && reason.contains("--nats-port"), "{reason}");
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_used_is_named_with_the_remedy() {
    let scratch = tempfile::tempdir().expect("a folder");
    let file = scratch.path().join("file");
    std::fs::write(&file, "").expect("written");
    for data in [file.clone(), file.join("below"), "/proc/dailies".into()] {
        let reason = refused(up(&data), &data).await;
        assert!(reason.contains(&data.display().to_string()) && reason.contains("--data"), "{reason}");
    }
}

#[tokio::test]
async fn a_second_up_on_the_same_folder_is_told_where_the_first_one_is() {
    let system = System::start().await;
    let reason = refusal(up(&system.data())).await;
    assert!(reason.contains(&system.url) && reason.contains(&format!("process {}", system.pid())), "{reason}");
    // The first one has not noticed.
    assert_eq!(system.get("/readyz").await.0, 200);
}

/// `dailies up` on a folder, with free ports.
fn up(data: &Path) -> Command {
    up_on(data, "127.0.0.1:0", 0)
}

fn up_on(data: &Path, gateway: &str, nats_port: u16) -> Command {
    let mut command = dailies();
    command.current_dir("/").arg("--data").arg(data);
    command.args(["up", "--listen", gateway, "--nats-port", &nats_port.to_string()]);
    command
}

/// The sentence with which it refuses to start, leaving nothing behind.
async fn refused(command: Command, data: &Path) -> String {
    let reason = refusal(command).await;
    assert_eq!(living(-1, &format!("{}/nats/", data.display())), [""; 0], "something is left running");
    reason
}

/// The sentence with which it refuses to start.
async fn refusal(mut command: Command) -> String {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().expect("dailies starts");
    let group = i32::try_from(child.id()).expect("process ids are small");
    let ended = until("it refuses to start", SOON, async || child.try_wait().expect("a child")).await;
    assert!(!ended.success(), "{ended}");
    assert_eq!(living(group, "\0"), [""; 0], "something is left running");
    let output = child.wait_with_output().expect("it has ended");
    let said = String::from_utf8(output.stderr).expect("text");
    // The log goes there too; what is not of the log is for the person.
    let sentences: Vec<_> = said.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(sentences.len(), 1, "{said}");
    sentences[0].strip_prefix("error: ").expect("it says that this is an error").to_owned()
}

fn on_path(tool: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{tool} is not installed"))
}
