//! The short commands against a running system: in words, as JSON, and refused.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{FILM, SOON, System, dailies, root, text, until};
use crate::terminal::Terminal;

const WISH: &str = "A ten second ad for a wool scarf, warm and calm";
const NOBODYS: &str = "vid-0195f0a0-3333-7000-8000-000000000009";

/// What a command says in words; it must succeed.
fn said(system: &System, arguments: &[&str]) -> String {
    let output = system.dailies(arguments);
    let (out, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && complaint.is_empty(), "{arguments:?}: {complaint}\n{out}");
    assert!(!out.contains('\u{1b}'), "{arguments:?}: {out:?}");
    out.into_owned()
}

/// What a command says with `--json`.
fn answered(system: &System, arguments: &[&str]) -> Value {
    let out = said(system, &[arguments, &["--json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?} --json: {error}\n{out}"))
}

/// Why a command fails: the reason is on standard error, and nothing else anywhere.
fn refused(system: &System, arguments: &[&str]) -> String {
    reason(arguments, &system.dailies(arguments))
}

fn reason(arguments: &[&str], output: &Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {} {complaint}", output.status);
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    assert!(complaint.starts_with("error: "), "{arguments:?}: {complaint}");
    complaint
}

/// A film of two beats that waits at its storyboard.
async fn storyboard(system: &System) -> String {
    let video = system.create(&json!({ "prompt": WISH, "duration": 10, "title": "Scarf" })).await;
    system.wait_for(&video, "paused_at_phase1").await;
    system.approve(&video).await;
    system.wait_for(&video, "paused_at_phase2").await;
    video
}

#[tokio::test]
async fn every_question_is_answered_in_words_and_as_json() {
    let system = System::start().await;
    let video = storyboard(&system).await;
    let current = system.current(&video).await;
    let (id, short) = (text(&current["checkpoint_id"]), &text(&current["checkpoint_id"])[..11]);

    let videos = said(&system, &["videos"]);
    assert!(videos.contains(&video) && videos.contains("paused_at_phase2") && videos.contains("Scarf"), "{videos}");
    assert_eq!(answered(&system, &["videos", "--status", "paused_at_phase2"])["video_id"], json!(video));
    assert_eq!(said(&system, &["videos", "--status", "complete"]), "");

    let page = said(&system, &["show", &video]);
    for part in ["storyboard, checkpoint 2 of 4", "beat_1", "/api/artifacts/art-", id, "allowed", "approve, fork"] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    for name in [&[][..], &[id], &[short], &["main"], &["--branch", "main"]] {
        let shown = answered(&system, &[&["show", &video][..], name].concat());
        assert_eq!(shown["checkpoint_id"], json!(id), "{name:?}");
    }

    let status = said(&system, &["status", &video]);
    assert!(status.contains("paused_at_phase2") && status.contains("waits for an approval"), "{status}");
    assert_eq!(answered(&system, &["status", &video])["revision"], system.status(&video).await["revision"]);

    let tree = said(&system, &["tree", &video]);
    let lines: Vec<_> = tree.lines().collect();
    assert!(lines[0].starts_with(&format!("*  {short}  storyboard  main  pending")), "{tree}");
    assert!(lines[0].ends_with("(head)") && lines[1].contains("planning    main  approved"), "{tree}");
    assert_eq!(answered(&system, &["tree", &video])[0]["children"][0]["checkpoint"]["checkpoint_id"], json!(id));

    let branches = said(&system, &["branches", &video]);
    assert!(branches.contains("main    storyboard") && branches.contains("waits for an approval"), "{branches}");
    assert_eq!(answered(&system, &["branches", &video])[0]["state"], "paused");

    let checkpoints = said(&system, &["checkpoints", &video, "--branch", "main"]);
    assert!(checkpoints.contains(id) && checkpoints.contains("pending"), "{checkpoints}");
    assert_eq!(answered(&system, &["checkpoints", &video]).as_array().map(Vec::len), Some(2));

    let history = said(&system, &["history", &video]);
    for part in ["local over HTTP asked for the video", "local over HTTP approved planning of main", "beat_1 is made"] {
        assert!(history.contains(part), "{part} is not in\n{history}");
    }
    let events: Vec<Value> = said(&system, &["history", &video, "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).expect("an event a line"))
        .collect();
    assert_eq!(events, system.history(&video).await);

    assert!(said(&system, &["cost", &video]).starts_with("$0.00 spent; approving costs $0.00"));
    assert_eq!(answered(&system, &["cost", &video])["ledger"], json!([]));
    assert_eq!(said(&system, &["settings", &video]), "title “Scarf”, auto-continue off, no budget\n");
    assert_eq!(answered(&system, &["settings", &video])["auto_continue"], json!(false));

    let planning = answered(&system, &["tree", &video])[0]["checkpoint"]["checkpoint_id"].clone();
    let compared = said(&system, &["compare", &video, text(&planning), "main"]);
    assert!(compared.contains("only in main") && compared.contains("spec                same"), "{compared}");
    assert_eq!(answered(&system, &["compare", &video, text(&planning), id])["artifacts"]["beat_0"]["a"], Value::Null);

    let place = said(&system, &["open", &video, "beat_1"]);
    assert!(std::path::Path::new(place.trim()).is_file() && place.ends_with("beat_01_v1.png\n"), "{place}");
    let gateway = system.url.clone();
    let link = answered(&system, &["open", &video, "--gateway", &gateway]);
    assert_eq!(link["place"], current["artifacts"]["beat_0"]["s3_url"], "{link}");
    assert_eq!(system.download(text(&link["place"])).await.0, "image/png");
}

#[tokio::test]
async fn every_change_is_a_command_that_says_what_it_did() {
    let system = System::start().await;
    let video = storyboard(&system).await;
    let main = text(&system.current(&video).await["checkpoint_id"]).to_owned();

    // Edit, from the command line, from a file and from standard input.
    let style = |style: &str| json!({ "audio": { "music_style": style } }).to_string();
    assert_eq!(said(&system, &["edit", &video, "--patch", &style("calm")]), "The spec was changed.\n");
    std::fs::write(system.scratch().join("change.json"), style("upbeat")).expect("writable");
    assert_eq!(answered(&system, &["edit", &video, "--patch", "@change.json"])["version"], json!(3));
    let mut piped = dailies();
    piped.arg("--data").arg(system.data()).args(["edit", &video, "--patch", "-"]).stdin(Stdio::piped());
    let mut piped = piped.stdout(Stdio::null()).spawn().expect("dailies starts");
    piped.stdin.take().expect("a pipe").write_all(style("corporate").as_bytes()).expect("it reads");
    assert!(piped.wait().expect("it ends").success());

    // Make one again, and go back.
    let ordered = said(&system, &["regenerate", &video, "beat_1", "--prompt", "A scarf in the wind", "--seed", "5"]);
    assert!(ordered.contains("`beat_1` is being made again"), "{ordered}");
    until("the second version is selected", FILM, async || {
        let current = system.current(&video).await;
        (current["artifacts"]["beat_1"]["version"] == 2).then_some(())
    })
    .await;
    assert!(said(&system, &["show", &video]).contains("version 2; other versions: 1"));
    let selected = answered(&system, &["select", &video, "beat_1", "1"]);
    assert_eq!((&selected["version"], &selected["created_new_branch"]), (&json!(1), &json!(false)));

    // Branches, and what is taken from one for another.
    assert!(
        said(&system, &["fork", &video, &main, "--branch", "night"]).contains("It is on the new branch night (cp-")
    );
    assert_eq!(answered(&system, &["fork", &video, "main"])["branch_name"], "main-1");
    assert!(said(&system, &["select", &video, "beat_1", "2", "--checkpoint", "main"]).contains("is selected"));
    assert!(said(&system, &["take", &video, "beat_1", "main", "--branch", "night"]).contains("was taken from"));
    let compared = answered(&system, &["compare", &video, "main", "night"]);
    assert_eq!(compared["artifacts"]["beat_1"]["verdict"], "same", "{compared}");
    assert!(said(&system, &["pin", &video, "night"]).contains("is kept"));
    let tree = said(&system, &["tree", &video]);
    assert!(tree.contains("├─┴─╯") && tree.contains(&format!("forked from {}", &main[..11])), "{tree}");
    assert!(tree.contains("edited") && tree.contains("pinned"), "{tree}");
    assert!(said(&system, &["pin", &video, "night", "--off"]).contains("no longer"));
    assert!(said(&system, &["abandon", &video, "main-1"]).contains("leads nowhere"));

    // Settings.
    let arguments = ["settings", &video, "--title", "Winter", "--budget", "5", "--auto-continue", "off"];
    said(&system, &arguments);
    assert_eq!(said(&system, &["settings", &video]), "title “Winter”, auto-continue off, budget $5.00\n");
    assert!(said(&system, &["history", &video]).contains("on the command line changed the settings: title “Winter”"));

    // Sent back, cancelled in the middle, and retried.
    assert!(said(&system, &["reject", &video, "night", "--notes", "warmer"]).contains("is made again on `night`"));
    system.wait_for(&video, "paused_at_phase2").await;
    let night = answered(&system, &["show", &video, "night"]);
    assert_eq!(night["version"], json!(2), "{night}");
    let approved = answered(&system, &["approve", &video, "night", "--digest", text(&night["digest"]), "--note", "go"]);
    assert_eq!((&approved["branch_name"], &approved["next_phase"]), (&json!("night"), &json!(3)));
    let cancelled = system.dailies(&["cancel", &video, "--branch", "night"]);
    if cancelled.status.success() {
        assert!(said(&system, &["retry", &video, "--branch", "night"]).contains("night"));
    } else {
        // The machine was faster than the command.
        assert!(reason(&["cancel"], &cancelled).contains("nothing_running"));
    }
    system.wait_for(&video, "paused_at_phase3").await;

    assert!(refused(&system, &["delete", &video]).contains("--yes"));
    said(&system, &["delete", &video, "--yes"]);
    assert!(refused(&system, &["status", &video]).contains("unknown_video"));
}

#[tokio::test]
async fn what_is_refused_exits_non_zero_with_the_reason_on_standard_error() {
    let system = System::start().await;
    let video = storyboard(&system).await;
    let planning = text(&answered(&system, &["tree", &video])[0]["checkpoint"]["checkpoint_id"]).to_owned();
    let other = "cp-00000000-0000-0000-0000-000000000000";
    let digest = "0".repeat(64);

    for question in ["show", "status", "tree", "branches", "checkpoints", "history", "cost", "watch", "settings"] {
        let complaint = refused(&system, &[question, NOBODYS]);
        assert!(complaint.contains("unknown_video"), "{question}: {complaint}");
        assert!(refused(&system, &[question, "vid-1"]).contains("is not a video id"), "{question}");
    }
    for (arguments, part) in [
        (&["approve", NOBODYS][..], "unknown_video"),
        (&["approve", &video, other], "unknown_checkpoint"),
        (&["approve", &video, "cp-ffffff"], "is no checkpoint of"),
        (&["approve", &video, "day"], "is no checkpoint of"),
        (&["approve", &video, "Day!"], "neither a checkpoint id"),
        (&["approve", &video, "cp-"], "several checkpoints begin with"),
        (&["approve", &video, "--digest", &digest], "stale_digest"),
        (&["approve", &video, "--branch", "No Name"], "a branch name"),
        (&["fork", &video, "--branch", "main"], "branch_exists"),
        (&["reject", &video, &planning, "--notes", "no"], "not_pending"),
        (&["reject", &video, "--notes", " "], "notes: say in"),
        (&["abandon", &video, &planning], "not_pending"),
        (&["regenerate", &video, "beat_7"], "unknown_artifact"),
        (&["regenerate", &video, "chunk_0"], "wrong_phase"),
        (&["regenerate", &video, "beat_-1"], "is not an artifact key"),
        (&["select", &video, "beat_0", "9"], "unknown_artifact"),
        (&["take", &video, "chunk_0", &planning], "unknown_artifact"),
        (&["edit", &video, "--patch", "{"], "not a JSON object"),
        (&["edit", &video, "--patch", "@nothing-there"], "cannot be read"),
        (&["edit", &video, "--patch", r#"{"duration": 5}"#], "duration: follows from the rest"),
        (&["edit", &video, "--patch", r#"{"product": {"name": "x"}}"#], "wrong_phase"),
        (&["upload", &video, "spec", "nothing-there"], "cannot be uploaded"),
        (&["upload", &video, "beat_0", "nothing-there"], "cannot be read"),
        (&["open", &video, "final"], "has no final"),
        (&["compare", &video, "main", other], "unknown_checkpoint"),
        (&["retry", &video], "nothing_to_retry"),
        (&["cancel", &video], "nothing_running"),
        (&["retry", &video, "--branch", "day"], "unknown_branch"),
        (&["resolve", &video, &format!("{other}-beat_0-v1"), "collect"], "unknown_job"),
        (&["delete", NOBODYS, "--yes"], "unknown_video"),
        (&["status", &video, "--user", "mallory"], "unknown_video"),
    ] {
        let complaint = refused(&system, arguments);
        assert!(complaint.contains(part), "{arguments:?}: {part} is not in {complaint}");
    }
    let elsewhere = ["status", &video, "--data", "nowhere"];
    let output = {
        let mut command = dailies();
        command.args(elsewhere).output().expect("dailies starts")
    };
    assert!(reason(&elsewhere, &output).contains("no cluster runs in nowhere"));
    assert_eq!(system.status(&video).await["status"], "paused_at_phase2", "a refusal changes nothing");
}

#[tokio::test]
async fn a_spec_is_edited_in_the_persons_editor() {
    let system = System::start().await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 5 })).await;
    system.wait_for(&video, "paused_at_phase1").await;
    let edit = |script: &str| {
        let editor = system.scratch().join("editor");
        std::fs::write(&editor, format!("#!/bin/sh\n{script}\n")).expect("writable");
        std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).expect("ours");
        let mut command = dailies();
        command.current_dir(system.scratch()).arg("--data").arg(system.data()).args(["edit", &video]);
        // The variable may hold arguments, and VISUAL goes first.
        command.env("VISUAL", format!("{} --wait", editor.display())).env("EDITOR", "false");
        command.stdin(Stdio::null());
        command
    };
    let output = edit(r#"test "$1" = --wait && cp "$2" seen.json"#).output().expect("dailies starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Nothing was changed.\n", "{output:?}");
    let seen: Value =
        serde_json::from_slice(&std::fs::read(system.scratch().join("seen.json")).expect("it was seen")).expect("JSON");
    assert!(seen["beats"][0]["prompt"].is_string() && seen["duration"].is_null(), "only what may be changed: {seen}");

    let output =
        edit(r#"sed -i.bak 's/"name": "[^"]*"/"name": "mohair shawl"/' "$2" && rm "$2.bak""#).output().expect("starts");
    assert!(output.status.success(), "{output:?}");
    let spec = system.current(&video).await["artifacts"]["spec"].clone();
    assert_eq!((&spec["metadata"]["spec"]["product"]["name"], &spec["version"]), (&json!("mohair shawl"), &json!(2)));

    // Without a terminal nobody is asked: the reasons are told, and where the text is.
    let breaks = r#"sed -i.bak 's/"duration": 5/"duration": 7/; s/"template": "[^"]*"/"template": "opera"/' "$2" && rm "$2.bak""#;
    let complaint = reason(&["edit"], &edit(breaks).output().expect("dailies starts"));
    assert!(complaint.contains("unknown template `opera`") && complaint.contains("beats[0].duration"), "{complaint}");
    let kept = complaint.trim().rsplit("what you typed is in ").next().expect("a place").to_owned();
    assert!(std::fs::read_to_string(&kept).expect("it is there").contains("opera"), "{kept}");
    std::fs::remove_file(kept).expect("ours");
    let complaint = reason(&["edit"], &edit("exit 3").output().expect("dailies starts"));
    assert!(complaint.contains("the editor") && complaint.contains("VISUAL or EDITOR"), "{complaint}");

    // At a terminal it is offered to edit again.
    let test = "a_spec_is_edited_in_the_persons_editor";
    let Some(mut terminal) = Terminal::start(&edit(breaks), test) else { return };
    terminal.read_to("unknown template `opera`", SOON).await;
    terminal.read_to("[e]dit again, or [q]uit? ", SOON).await;
    std::fs::write(
        system.scratch().join("editor"),
        "#!/bin/sh\nsed -i.bak 's/opera/luxury_showcase/; s/: 7/: 5/' \"$2\" && rm \"$2.bak\"\n",
    )
    .expect("writable");
    terminal.type_line("e");
    let (status, rest) = terminal.end(SOON).await;
    assert!(status.success(), "{rest}");
    let spec = system.current(&video).await["artifacts"]["spec"]["metadata"]["spec"].clone();
    assert_eq!(spec["template"], "luxury_showcase", "{rest}");
}

#[tokio::test]
async fn deleting_at_a_terminal_needs_a_yes() {
    let system = System::start().await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 5, "title": "Scarf" })).await;
    system.wait_for(&video, "paused_at_phase1").await;
    let mut command = dailies();
    command.arg("--data").arg(system.data()).args(["delete", &video]);
    for (typed, succeeds) in [("", false), ("n", false), ("y", true)] {
        let Some(mut terminal) = Terminal::start(&command, "deleting_at_a_terminal_needs_a_yes") else { return };
        terminal.read_to("with everything that was made for it ($0.00 spent)? [y]es or [n]o? ", SOON).await;
        terminal.type_line(typed);
        let (status, rest) = terminal.end(SOON).await;
        assert_eq!(status.success(), succeeds, "{rest}");
    }
    assert!(refused(&system, &["show", &video]).contains("unknown_video"));
}

#[tokio::test]
async fn the_commands_of_the_readme_do_what_it_says() {
    let system = System::start().await;
    let video = storyboard(&system).await;
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a README");
    let section = readme.split("\n## ").find(|section| section.starts_with("Change anything")).expect("the section");
    let commands: Vec<_> = section.lines().filter_map(|line| line.strip_prefix("    ./dev ")).collect();
    assert!(commands.len() > 10, "{section}");
    for command in commands {
        let line = command.split(" #").next().unwrap_or_default().replace("ID", &video);
        // It goes on until the film is finished, which takes a person.
        if line.starts_with("watch ") {
            continue;
        }
        let mut shell = dailies();
        shell
            .current_dir(system.scratch())
            .env("DAILIES_DATA", system.data())
            .env("EDITOR", "true")
            .env_remove("VISUAL");
        let words = shlex(&line);
        let output = shell.args(&words).stdin(Stdio::null()).output().expect("dailies starts");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stdout.is_empty(), "{line} says something");
        until(&format!("`{line}` is done"), FILM, async || {
            let status = system.status(&video).await;
            let runs = |branch: &Value| branch["state"] == "running" || branch["running_jobs"] != json!([]);
            let waits = !status["branches"].as_array().expect("a list").iter().any(runs);
            waits.then_some(())
        })
        .await;
    }
    let branches = answered(&system, &["branches", &video]);
    let told: Vec<_> =
        branches.as_array().expect("a list").iter().map(|b| (&b["branch_name"], &b["phase_number"])).collect();
    assert_eq!(told, [(&json!("main"), &json!(3)), (&json!("night"), &json!(2))]);

    let listed = section.split("There are also").nth(1).and_then(|rest| rest.split('.').next()).expect("a list");
    for name in listed.split('`').skip(1).step_by(2) {
        assert!(said(&system, &[name, "--help"]).contains("Usage: dailies"), "{name}");
    }
}

/// Words of a command line, where `"` holds several together.
fn shlex(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    parts
        .flat_map(|(i, part)| match i % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

#[tokio::test]
async fn watching_shows_what_happens_until_the_film_is_finished() {
    let system = System::start().await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 5, "auto_continue": true })).await;
    let watched = ["watch", &video];
    let mut command = dailies();
    command.arg("--data").arg(system.data()).args(watched).stdin(Stdio::null());
    // It goes on after a failure, because somebody may retry: then the test ends in time, and says what became of the film.
    let watching = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = match tokio::time::timeout(FILM, watching).await {
        Ok(output) => output.expect("dailies starts"),
        Err(_) => panic!("the film is not finished: {:?}", system.history(&video).await),
    };
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}");
    for part in ["asked for the video", "auto-continue approved planning of main", "the film of main is complete"] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    let lines = said(&system, &["watch", &video, "--json"]);
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect();
    assert_eq!(events, system.history(&video).await);
}

#[tokio::test]
async fn an_upload_goes_to_the_gateway_that_was_named() {
    let system = System::start().await;
    let video = storyboard(&system).await;
    let checkpoint = text(&system.current(&video).await["checkpoint_id"]).to_owned();
    std::fs::write(system.scratch().join("photo.png"), b"the bytes of a picture").expect("writable");

    let accepted = (r#"{"message":"The upload is being made into `beat_1`.","version":2}"#, "202 Accepted");
    let (url, asked) = gateway(accepted.0, accepted.1);
    let told = said(&system, &["upload", &video, "beat_1", "photo.png", "--gateway", &url]);
    assert_eq!(told, "The upload is being made into `beat_1`.\n");
    let asked = asked.join().expect("it was asked");
    assert!(asked.starts_with(&format!("POST /api/video/{video}/checkpoints/{checkpoint}/upload-image ")), "{asked}");
    for part in ["name=\"beat_index\"\r\n\r\n1\r\n", "name=\"image\"; filename=\"photo.png\"", "the bytes of a picture"]
    {
        assert!(asked.contains(part), "{part} is not in\n{asked}");
    }

    let problem = r#"{"code":"invalid","detail":"x","errors":[{"field":"image","reason":"is no picture"}]}"#;
    let (url, _) = gateway(problem, "422 Unprocessable Entity");
    let complaint = refused(&system, &["upload", &video, "beat_1", "photo.png", "--gateway", &url]);
    assert!(complaint.contains("refused (invalid)") && complaint.contains("image: is no picture"), "{complaint}");
    let complaint = refused(&system, &["upload", &video, "beat_1", "photo.png", "--gateway", "http://127.0.0.1:1"]);
    assert!(complaint.contains("the gateway at http://127.0.0.1:1 does not answer"), "{complaint}");
}

/// Answers one request, and gives it.
fn gateway(answer: &'static str, status: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody asks");
        let mut asked = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            let count = stream.read(&mut bytes).expect("readable");
            asked.extend_from_slice(&bytes[..count]);
            // The boundary's last use, or the end of a chunked body.
            if count == 0 || asked.ends_with(b"--\r\n") || asked.ends_with(b"0\r\n\r\n") {
                break;
            }
        }
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", answer.len());
        stream.write_all(format!("{head}Connection: close\r\n\r\n{answer}").as_bytes()).expect("writable");
        String::from_utf8_lossy(&asked).into_owned()
    });
    (url, asked)
}
