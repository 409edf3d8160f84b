//! An approval from Python: nothing but the subject and a line of JSON is needed.

use std::process::Command;

use serde_json::json;

use crate::harness::System;
use crate::nats_cli::client;

const SCRIPT: &str = r#"
import asyncio, json, sys
import nats

async def main(url, subject, checkpoint):
    connection = await nats.connect(url)
    await connection.publish(subject, json.dumps({"checkpoint_id": checkpoint}).encode())
    await connection.drain()

asyncio.run(main(*sys.argv[1:]))
"#;

#[tokio::test]
async fn python_approves_a_checkpoint() {
    let Some(python) = client("DAILIES_PYTHON", ".tools/python", "python_approves_a_checkpoint") else { return };
    let system = System::start().await;
    let video = system.create(&json!({ "prompt": "A 5 second ad for a wool scarf", "duration": 5 })).await;
    system.wait_for(&video, "paused_at_phase1").await;
    let current = system.current(&video).await;
    let checkpoint = current["checkpoint_id"].as_str().expect("an id");

    let subject = format!("video.local.{video}.cmd.approve");
    let mut script = Command::new(python);
    let said = script.args(["-c", SCRIPT, &system.nats_url, &subject, checkpoint]).output().expect("python runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));

    system.wait_for(&video, "paused_at_phase2").await;
    let events = system.history(&video).await;
    let approval = events.iter().find(|event| event["type"] == "checkpoint_approved").expect("it was approved");
    assert_eq!((&approval["how"], &approval["by"]), (&json!("nats"), &json!("local")));
}
