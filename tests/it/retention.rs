//! What was abandoned goes with its objects, when it was kept for as long as the settings say.

use serde_json::{Value, json};

use crate::bad_days::files_below;
use crate::harness::{SOON, Setup, System, text, until};

#[tokio::test]
async fn what_was_sent_back_is_listed_and_then_collected_with_its_objects() {
    let setup = Setup::default().with("DAILIES_COORDINATOR__COLLECT_ABANDONED", "false");
    let mut system = System::start_with(setup.with("DAILIES_COORDINATOR__KEEP_ABANDONED_DAYS", "0")).await;
    let wish = json!({ "prompt": "A 5 second ad for a brass desk lamp, calm and warm", "duration": 5 });
    let video = system.create(&wish).await;
    system.wait_for(&video, "paused_at_phase1").await;
    system.approve(&video).await;
    system.wait_for(&video, "paused_at_phase2").await;
    let first = system.current(&video).await;
    let id = text(&first["checkpoint_id"]).to_owned();
    let at = format!("/api/video/{video}/checkpoints/{id}");
    let (status, answer) = system.post(&format!("{at}/reject"), &json!({ "notes": "at night" })).await;
    assert_eq!(status, 200, "{answer}");
    let second = until("it was drawn again", SOON, async || {
        let status = system.status(&video).await;
        let current = status["current_checkpoint"].clone();
        (current["checkpoint_id"] != id.as_str() && !current.is_null()).then_some(current)
    });
    let second = text(&second.await["checkpoint_id"]).to_owned();

    // Switched off, it is listed and stays.
    let rows = retention(&system, &video).await;
    let picture = text(&first["artifacts"]["beat_0"]["id"]).to_owned();
    assert_eq!((rows.len(), &rows[0]["checkpoint_id"], &rows[0]["due_at"]), (1, &json!(id), &Value::Null), "{rows:?}");
    assert_eq!(rows[0]["artifacts"], json!([picture]));
    assert_eq!(rows[0]["bytes"], first["artifacts"]["beat_0"]["metadata"]["size_bytes"]);
    let typed = system.dailies(&["retention", &video]);
    let typed = String::from_utf8_lossy(&typed.stdout).into_owned();
    assert!(typed.contains("never") && typed.contains(&id), "{typed}");
    assert_eq!((pictures(&system, &id), pictures(&system, &second)), (1, 1));

    assert!(system.stop().await.success());
    system.setup = system.setup.clone().with("DAILIES_COORDINATOR__COLLECT_ABANDONED", "true");
    system.up().await;
    until("its object is gone", SOON, async || (pictures(&system, &id) == 0).then_some(())).await;
    assert_eq!((pictures(&system, &second), retention(&system, &video).await.len()), (1, 0));
    let events = system.history(&video).await;
    let collected: Vec<_> = events.iter().filter(|event| event["type"] == "checkpoints_collected").collect();
    assert_eq!(collected.len(), 1, "{collected:?}");
    assert_eq!((&collected[0]["checkpoint_ids"], &collected[0]["artifacts"]), (&json!([id]), &json!([picture])));

    // The tree keeps its place, and what needs it is refused by name.
    let (_, shown) = system.get(&at).await;
    assert_eq!((text(&shown["status"]), &shown["collected"]), ("abandoned", &json!(true)), "{shown}");
    assert!(shown["artifacts"].get("beat_0").is_none() && shown["artifacts"].get("spec").is_some(), "{shown}");
    for (status, refusal) in [
        system.post(&format!("{at}/fork"), &json!({})).await,
        system.get(&format!("/api/artifacts/{picture}/content")).await,
        system.get(&format!("/api/video/{video}/compare?a={id}&b={second}")).await,
    ] {
        assert_eq!((status, text(&refusal["code"])), (409, "collected"), "{refusal}");
    }
    system.approve(&video).await;
}

async fn retention(system: &System, video: &str) -> Vec<Value> {
    let (status, rows) = system.get(&format!("/api/video/{video}/retention")).await;
    assert_eq!(status, 200, "{rows}");
    rows.as_array().expect("a list").clone()
}

/// How many pictures a checkpoint has in the object store.
fn pictures(system: &System, checkpoint: &str) -> usize {
    let files = files_below(&system.data().join("objects")).into_iter().map(|file| file.display().to_string());
    files.filter(|file| file.contains(checkpoint) && file.contains("beat_00_v1-")).count()
}
