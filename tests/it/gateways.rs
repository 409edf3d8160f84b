//! Gateways keep nothing: whatever one has begun to tell, another tells on.

use std::net::TcpListener;

use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{FILM, SOON, System, program, until};

#[tokio::test]
async fn an_event_stream_goes_on_at_another_gateway_without_a_gap_or_a_repeat() {
    let mut system = System::start().await;
    let mut gateways = vec![system.url.clone()];
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        drop(listener);
        let mut command = program("gateway");
        command.args(["--nats", &system.nats_url]).env("DAILIES_GATEWAY__ADDRESS", address.to_string());
        // Nothing is fetched through these.
        command.env("DAILIES_OBJECTS__ACCESS_KEY_ID", "nobody").env("DAILIES_OBJECTS__SECRET_ACCESS_KEY", "nothing");
        system.spawn(command);
        gateways.push(format!("http://{address}"));
    }
    let own = system.url.clone();
    for gateway in &gateways {
        system.url.clone_from(gateway);
        until("every gateway is ready", SOON, async || {
            let ready = system.request(Method::GET, "/readyz").send().await.ok()?;
            (ready.status() == 200).then_some(())
        })
        .await;
    }
    system.url = own;

    let video = system
        .create(&json!({ "prompt": "A 5 second ad for tea, calm, green", "duration": 5, "auto_continue": true }))
        .await;
    let watching = async {
        let mut told: Vec<Value> = Vec::new();
        // Nobody stays longer than three events, so that every gateway tells some of the running film.
        for gateway in gateways.iter().cycle() {
            system.url.clone_from(gateway);
            if tell(&system, &video, 3, &mut told).await {
                return told;
            }
        }
        told
    };
    let told = tokio::time::timeout(FILM, watching).await.expect("the film is finished");
    assert_eq!(told, system.history(&video).await);
    assert!(told.len() > 9, "each gateway had its turn: {}", told.len());
}

/// Watches until `most` more events were told, or until nothing more will happen, which is true then.
async fn tell(system: &System, video: &str, most: usize, told: &mut Vec<Value>) -> bool {
    let request = system.request(Method::GET, &format!("/api/status/{video}/stream"));
    let answer = request.header("last-event-id", told.len().to_string()).send().await.expect("an answer");
    if answer.status() == 204 {
        return true;
    }
    assert_eq!(answer.status(), 200);
    let (enough, mut text, mut pieces) = (told.len() + most, String::new(), answer.bytes_stream());
    while told.len() < enough {
        let piece = pieces.next().await.expect("it goes on").expect("it goes on");
        text.push_str(std::str::from_utf8(&piece).expect("UTF-8"));
        while let Some(end) = text.find("\n\n") {
            let frame: String = text.drain(..end + 2).collect();
            let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            if field("event") == Some("close") {
                return true;
            }
            // A real client would take them all; this one has had enough, and they come again.
            if field("id").is_some() && told.len() < enough {
                told.push(serde_json::from_str(field("data").expect("data")).expect("JSON"));
            }
        }
    }
    false
}
