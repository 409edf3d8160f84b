//! Money, with built-in generators that a catalogue of the test's own gives prices: what is estimated is what is booked.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Setup, System, root, text};

const WISH: &str = "A short ad for a mechanical watch, elegant, gold and black";

/// The shipped models, every local one at 0.50 dollars a generation and clips at 0.10 a second.
pub fn priced(folder: &tempfile::TempDir) -> PathBuf {
    let shipped = std::fs::read_to_string(root().join("config/models.toml")).expect("the catalogue ships");
    let mut models: toml::Table = shipped.parse().expect("the catalogue is TOML");
    for model in models["models"].as_array_mut().expect("a list").iter_mut() {
        if model["provider"].as_str() == Some("local") {
            let unit = if model["kind"].as_str() == Some("video") { "per_second" } else { "per_generation" };
            let dollars = if unit == "per_second" { 0.1 } else { 0.5 };
            let price = toml::Table::from_iter([(unit.to_owned(), toml::Value::from(dollars))]);
            model.as_table_mut().expect("a table").insert("price".to_owned(), price.into());
        }
    }
    let file = folder.path().join("models.toml");
    std::fs::write(&file, models.to_string()).expect("it can be written");
    file
}

fn dollars(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no amount"))
}

#[tokio::test]
async fn what_a_checkpoint_estimates_is_what_the_next_phase_books() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = priced(&folder).display().to_string();
    let system = System::start_with(Setup::default().with("DAILIES_COORDINATOR__MODELS", models)).await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 5 })).await;

    let mut expected = 0.5;
    for phase in 1..=4 {
        let status = system.wait_for(&video, &format!("paused_at_phase{phase}")).await;
        let (spent, checkpoint) = (dollars(&status["cost"]["spent_usd"]), system.current(&video).await);
        assert!((spent - expected).abs() < 1e-9, "after phase {phase}: {spent} is booked, {expected} was said");
        expected += dollars(&checkpoint["estimate_next_usd"]);
        let remakes = checkpoint["remake_usd"].as_object().expect("a price for each artifact");
        let own = ["spec", "beat_0", "chunk_0", "background"][phase - 1];
        assert!(dollars(&remakes[own]) > 0.0, "making {own} again has its price: {remakes:?}");
        system.approve(&video).await;
    }
    system.wait_for(&video, "complete").await;

    let (_, cost) = system.get(&format!("/api/video/{video}/cost")).await;
    let rows = cost["ledger"].as_array().expect("a ledger");
    let sum: f64 = rows.iter().map(|row| dollars(&row["amount_usd"])).sum();
    assert!((sum - expected).abs() < 1e-9 && (sum - dollars(&cost["spent_usd"])).abs() < 1e-9, "{cost}");
    let seconds: f64 = rows.iter().filter(|row| row["unit"] == "second").map(|row| dollars(&row["quantity"])).sum();
    assert!((seconds - 5.0).abs() < 1e-9, "clips are booked by the second: {cost}");
}

#[tokio::test]
async fn an_approval_above_the_budget_is_refused_until_the_budget_is_raised() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = priced(&folder).display().to_string();
    let system = System::start_with(Setup::default().with("DAILIES_COORDINATOR__MODELS", models)).await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 10, "budget_usd": 1.0 })).await;
    system.wait_for(&video, "paused_at_phase1").await;
    let checkpoint = system.current(&video).await;
    assert_eq!(checkpoint["can_continue"], json!(false), "two pictures at 0.50 pass what is left");
    let path = format!("/api/video/{video}/continue");
    let body = json!({ "checkpoint_id": checkpoint["checkpoint_id"] });

    let (status, refusal) = system.post(&path, &body).await;
    assert_eq!((status, text(&refusal["code"])), (409, "budget_exceeded"), "{refusal}");

    let change =
        system.request(reqwest::Method::PATCH, &format!("/api/video/{video}")).json(&json!({ "budget_usd": 5.0 }));
    assert_eq!(crate::harness::answer(change).await.0, 200);
    let (status, answer) = system.post(&path, &body).await;
    assert_eq!(status, 200, "{answer}");
    let paused = system.wait_for(&video, "paused_at_phase2").await;
    assert!((dollars(&paused["cost"]["spent_usd"]) - 1.5).abs() < 1e-9, "{paused}");
}

#[tokio::test]
async fn a_film_that_nobody_was_asked_about_equals_one_approved_by_hand() {
    let system = System::start().await;
    let wish = json!({ "prompt": WISH, "duration": 5, "seed": 11 });
    let by_hand = system.create(&wish).await;
    for phase in 1..=4 {
        system.wait_for(&by_hand, &format!("paused_at_phase{phase}")).await;
        system.approve(&by_hand).await;
    }
    let mut wish = wish;
    wish["auto_continue"] = json!(true);
    let alone = system.create(&wish).await;

    let mut digests = Vec::new();
    for video in [&by_hand, &alone] {
        system.wait_for(video, "complete").await;
        let (_, checkpoints) = system.get(&format!("/api/video/{video}/checkpoints")).await;
        let checkpoints = checkpoints.as_array().expect("a list").clone();
        assert_eq!(checkpoints.len(), 4);
        digests.push(checkpoints.iter().map(|checkpoint| text(&checkpoint["digest"]).to_owned()).collect::<Vec<_>>());
    }
    assert_eq!(digests[0], digests[1], "the same seeds make the same artifacts, byte for byte");
}
