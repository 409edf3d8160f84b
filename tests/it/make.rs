//! `dailies make`: a film in the terminal, and without one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::film::assert_plays;
use crate::harness::{FILM, SOON, Setup, System, dailies, text, until};
use crate::terminal::Terminal;

const WISH: &str = "A ten second ad for a brass compass, calm";

/// `dailies make` on a system's data folder.
fn make(system: &System, arguments: &[&str]) -> Command {
    let mut command = dailies();
    command.current_dir(system.scratch()).arg("--data").arg(system.data()).arg("make").args(arguments);
    command
}

#[tokio::test]
async fn without_a_terminal_lines_are_plain_and_the_last_one_is_the_film() {
    // No cluster runs: it runs its own for as long as it takes.
    let system = System::of_processes(Setup::default()).await;
    let mut command = make(&system, &["--yolo", "--duration", "5", "--seed", "7", "A", "brass", "compass,", "calm"]);
    command.stdin(Stdio::null());
    let made = tokio::task::spawn_blocking(move || command.output().expect("dailies starts")).await.expect("it ran");
    let (shown, complained) = (String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
    assert!(made.status.success(), "{shown}\n{complained}");

    assert!(!shown.contains('\u{1b}') && !shown.contains('\r'), "nothing drives a terminal: {shown:?}");
    for line in ["making vid-", "planning: finished in ", "chunks approved by auto-continue", "refine: started, "] {
        assert!(shown.lines().any(|shown| shown.starts_with(line)), "no line starts with `{line}`:\n{shown}");
    }
    let film = shown.lines().last().map(PathBuf::from).expect("a last line");
    assert!(film.is_absolute() && film.ends_with("final.mp4") && film.is_file(), "{shown}");
    assert_eq!(complained, "");
}

#[tokio::test]
async fn without_a_terminal_approvals_from_elsewhere_lead_to_the_film() {
    let system = System::start().await;
    let shown = system.scratch().join("shown.txt");
    let mut command = make(&system, &["--duration", "5", WISH]);
    let file = std::fs::File::create(&shown).expect("writable");
    command.stdin(Stdio::null()).stdout(file).stderr(Stdio::null());
    let mut making = tokio::process::Command::from(command).kill_on_drop(true).spawn().expect("dailies starts");
    let read = || std::fs::read_to_string(&shown).expect("readable");
    let nats = system.nats().await;

    for phase in 1..=4 {
        // What it prints is what is published: nothing else is known here.
        let (subject, body) = until(&format!("it says how to approve checkpoint {phase}"), FILM, async || {
            let text = read();
            let published: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("nats pub ")).collect();
            let (subject, body) = published.get(phase - 1)?.split_once(' ')?;
            let body = body.strip_prefix('\'')?.strip_suffix('\'')?;
            Some((subject.to_owned(), body.to_owned()))
        })
        .await;
        nats.publish(subject, body.into()).await.expect("NATS takes it");
    }
    let status = tokio::time::timeout(FILM, making.wait()).await.expect("it ends").expect("a child of ours");
    let text = read();
    assert!(status.success(), "{text}");
    assert!(text.contains("storyboard approved by local over NATS"), "{text}");
    assert!(Path::new(text.lines().last().expect("a last line")).is_file(), "{text}");
}

#[tokio::test]
async fn at_a_terminal_a_film_is_edited_made_again_quit_and_resumed() {
    let test = "at_a_terminal_a_film_is_edited_made_again_quit_and_resumed";
    let system = System::start().await;
    let mut command = make(&system, &["--duration", "10", WISH]);
    let changes_prompts = r#"sed -i.bak 's/"prompt": "[^"]*"/"prompt": "A lighthouse at dusk"/' "$1" && rm "$1.bak""#;
    command.env("EDITOR", editor(&system, "change", changes_prompts)).env_remove("VISUAL");
    let Some(mut terminal) = Terminal::start(&command, test) else { return };

    terminal.read_to("making ", SOON).await;
    let video = terminal.read_to("\r\n", SOON).await;
    terminal.read_to("[a]pprove and go on with storyboard", FILM).await;
    terminal.read_to("or [q]uit? ", SOON).await;
    terminal.type_line("what?");
    terminal.read_to("[a]pprove and go on with storyboard", SOON).await;
    terminal.read_to("or [q]uit? ", SOON).await;
    terminal.type_line("e");
    terminal.read_to("the spec was changed", SOON).await;
    let page = terminal.read_to("[a]pprove and go on with storyboard", SOON).await;
    assert!(page.contains("A lighthouse at dusk") && page.contains(", edited"), "{page}");
    terminal.read_to("or [q]uit? ", SOON).await;
    terminal.type_line("a");

    terminal.read_to("[a]pprove and go on with chunks", FILM).await;
    terminal.read_to("or [q]uit? ", SOON).await;
    terminal.type_line("m");
    terminal.read_to("Which one of beat_0, beat_1 (Enter: none)? ", SOON).await;
    terminal.type_line("1");
    terminal.read_to("What should beat_1 show instead (Enter: another try)? ", SOON).await;
    terminal.type_line("the needle, by moonlight");
    terminal.read_to("beat_1 version 2 is ready", FILM).await;
    let page = terminal.read_to("[a]pprove and go on with chunks", SOON).await;
    assert!(page.contains("beat_01_v2.png"), "{page}");
    terminal.read_to("or [q]uit? ", SOON).await;
    terminal.type_line("q");
    let (status, rest) = terminal.end(SOON).await;
    assert!(status.success() && rest.contains(&format!("make --resume {video}")), "{status} {rest}");

    let Some(mut terminal) = Terminal::start(&make(&system, &["--resume", &video]), test) else { return };
    for next in ["[a]pprove and go on with chunks", "[a]pprove and go on with refine", "[a]pprove the film"] {
        terminal.read_to(next, FILM).await;
        terminal.read_to("or [q]uit? ", SOON).await;
        terminal.type_line("a");
    }
    let (status, rest) = terminal.end(FILM).await;
    assert!(status.success(), "{rest}");
    let film = rest.lines().last().map(str::trim).expect("a last line");
    assert!(Path::new(film).is_file(), "{rest:?}");

    let events = system.history(&video).await;
    let count = |name: &str| events.iter().filter(|event| event["type"] == name).count();
    let counted = ["spec_edited", "artifact_ordered", "branch_created", "checkpoint_approved"].map(count);
    assert_eq!(counted, [1, 1, 0, 4], "everything happened on one branch");
    let refined = system.get(&format!("/api/video/{video}/checkpoints")).await.1;
    let last = refined.as_array().and_then(|all| all.last()).expect("a checkpoint").clone();
    let spec = &last["artifacts"]["spec"]["metadata"]["spec"];
    assert_plays(&system, text(&last["artifacts"]["final"]["s3_url"]), spec).await;
}

#[tokio::test]
async fn at_a_terminal_a_phase_is_rejected_and_a_branch_opened() {
    let test = "at_a_terminal_a_phase_is_rejected_and_a_branch_opened";
    let system = System::start().await;
    let mut command = make(&system, &["--duration", "5", WISH]);
    command.env("EDITOR", editor(&system, "break", r#"echo '{"beats": []' > "$1""#)).env_remove("VISUAL");
    let Some(mut terminal) = Terminal::start(&command, test) else { return };
    terminal.read_to("making ", SOON).await;
    let video = terminal.read_to("\r\n", SOON).await;

    terminal.read_to("or [q]uit? ", FILM).await;
    terminal.type_line("e");
    terminal.read_to("this is not JSON: ", SOON).await;
    terminal.read_to("[e]dit again, or [b]ack? ", SOON).await;
    terminal.type_line("b");
    terminal.read_to("or [q]uit? ", SOON).await;
    terminal.type_line("r");
    terminal.read_to("What should be different about the planning (Enter: nothing)? ", SOON).await;
    terminal.type_line("brighter colours");
    terminal.read_to("sent back: brighter colours", SOON).await;
    terminal.read_to("planning, checkpoint 1 of 4, version 2", FILM).await;
    terminal.read_to("or [q]uit? ", SOON).await;
    terminal.type_line("b");
    terminal.read_to("What is the branch called (Enter: an automatic name)? ", SOON).await;
    terminal.type_line("Not A Name");
    terminal.read_to("refused (invalid)", SOON).await;
    terminal.read_to("or [q]uit? ", SOON).await;
    terminal.type_line("b");
    terminal.read_to("automatic name)? ", SOON).await;
    terminal.type_line("night");
    terminal.read_to("this is the branch night now; main waits as it is", SOON).await;
    terminal.read_to("planning, checkpoint 1 of 4, branch night", SOON).await;
    terminal.read_to("or [q]uit? ", SOON).await;
    // The end of input is no answer.
    terminal.press("\u{4}");
    let (status, rest) = terminal.end(SOON).await;
    assert!(status.success() && rest.contains("make --resume"), "{status} {rest}");
    assert_eq!(system.status(&video).await["active_branches"], json!(["main", "night"]));
}

#[tokio::test]
async fn ctrl_c_ends_with_130_and_says_how_to_go_on() {
    let test = "ctrl_c_ends_with_130_and_says_how_to_go_on";
    let system = System::start().await;
    let Some(mut terminal) = Terminal::start(&make(&system, &["--duration", "5", WISH]), test) else { return };
    terminal.read_to("making ", SOON).await;
    let video = terminal.read_to("\r\n", SOON).await;
    terminal.read_to("or [q]uit? ", FILM).await;
    terminal.press("\u{3}");
    let (status, rest) = terminal.end(SOON).await;
    assert_eq!(status.code(), Some(130), "{rest}");
    assert!(rest.contains(&format!("stopping; go on with: dailies make --resume {video}")), "{rest}");
    assert_eq!(system.status(&video).await["status"], "paused_at_phase1", "the film waits");
}

/// An editor that is a script.
fn editor(system: &System, name: &str, script: &str) -> PathBuf {
    let file = system.scratch().join(name);
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("writable");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("ours");
    file
}
