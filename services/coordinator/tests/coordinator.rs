//! The coordinator as a process, over a real NATS server and SQLite, with scripted workers.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use coordinator::wire::{Outgoing, Wire as _};
use coordinator::wire_nats::NatsWire;
use futures::{FutureExt as _, StreamExt as _};
use messages::id::{JobId, UserId};
use messages::phase::Phase;
use messages::query::VideoStatus;
use messages::service::Service;
use messages::subject::{self, Partition};
use serde_json::{Value, json};

#[path = "coordinator/harness.rs"]
mod harness;
#[expect(dead_code, reason = "written for every message; workers need only some of them")]
#[path = "../../../messages/tests/wire/parts.rs"]
mod parts;
#[path = "coordinator/workers.rs"]
mod workers;

use harness::{Stage, checkpoint_of, film, is_outcome, new_video, new_video_of, until};
use workers::{Script, Workers};

#[tokio::test(flavor = "multi_thread")]
async fn a_film_goes_through_four_phases_over_nats_alone() {
    let mut stage = Stage::set().await;
    let (coordinator, _workers) = (stage.coordinator(), Workers::start(&stage.bus));
    let video = new_video();
    let created = stage.done(video, "create", film()).await;
    assert_eq!(created["status"], "queued");
    for (n, phase) in (1..).zip(Phase::ALL) {
        let waiting = stage.event(video, "checkpoint_created", n).await;
        assert_eq!(waiting["phase"], phase.number());
        let status = stage.query("local", &video.to_string(), "status", json!({})).await.expect("it is known");
        assert_eq!(status["status"], VideoStatus::paused(phase).name());
        let answer = stage.done(video, "approve", json!({"checkpoint_id": checkpoint_of(&waiting)})).await;
        assert_eq!(answer["next_phase"], phase.next().map_or(Value::Null, |next| next.number().into()));
    }
    stage.event(video, "branch_completed", 1).await;
    let status = stage.query("local", &video.to_string(), "status", json!({})).await.expect("it is known");
    assert_eq!((&status["status"], &status["progress"]), (&json!("complete"), &json!(100.0)));
    assert!(status["final_video_url"].as_str().is_some_and(|link| link.starts_with("/api/artifacts/art-")));
    stage.journal_has_no_holes(video).await;
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_by_name() {
    let mut stage = Stage::set().await;
    let (coordinator, _workers) = (stage.coordinator(), Workers::start(&stage.bus));
    let (video, checkpoint) = stage.planned().await;
    let unknown = parts::checkpoint(Phase::Refine);
    for (verb, body, code) in [
        ("approve", json!({"checkpoint_id": unknown}), "unknown_checkpoint"),
        ("approve", json!({"checkpoint_id": checkpoint, "digest": "0".repeat(64)}), "stale_digest"),
        ("approve", json!({"checkpoint": 1}), "invalid"),
        ("dance", json!({}), "unknown_verb"),
        ("retry", json!({}), "nothing_to_retry"),
        ("cancel", json!({}), "nothing_running"),
        ("regenerate", json!({"checkpoint_id": checkpoint, "artifact_key": "beat_0"}), "wrong_phase"),
        ("create", json!({"prompt": "Another film than the first"}), "video_exists"),
    ] {
        assert_eq!(stage.refused(video, verb, body).await, code, "{verb}");
    }
    assert_eq!(stage.refused(new_video(), "approve", json!({"checkpoint_id": checkpoint})).await, "unknown_video");
    let too_short = stage.ask(new_video(), "create", json!({"prompt": "short", "duration": 1})).await;
    let fields: Vec<_> = too_short["errors"].as_array().into_iter().flatten().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["prompt", "duration"]);

    // What is no id can only be answered to whoever said it.
    let misspelt = async |headers: async_nats::HeaderMap, to: &str, body: &'static [u8]| {
        stage.bus.publish(to.to_owned(), headers, body.into(), None).await.expect("the stream takes it");
    };
    let mut named = async_nats::HeaderMap::new();
    named.insert(subject::COMMAND_ID_HEADER, "misspelt");
    misspelt(named.clone(), "video.local.my-film.cmd.create", br#"{"prompt": "An ad for a watch"}"#).await;
    misspelt(async_nats::HeaderMap::new(), "video.lo$cal.my-film.cmd.create", b"{").await;
    let outcome = stage.outcome("misspelt").await;
    assert_eq!((&outcome["code"], &outcome["video_id"]), (&json!("invalid"), &json!("my-film")));
    let dead = until("what nobody can answer is set aside", async || {
        let stream = stage.bus.jetstream().get_stream(subject::DEAD_LETTERS).await.ok()?;
        stream.get_last_raw_message_by_subject("dead.command").await.ok()
    });
    assert!(String::from_utf8_lossy(&dead.await.payload).contains("video.lo$cal.my-film.cmd.create"));
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_command_gets_its_first_outcome_also_after_a_restart() {
    let mut stage = Stage::set().await;
    let (coordinator, _workers) = (stage.coordinator(), Workers::start(&stage.bus));
    let (video, checkpoint) = stage.planned().await;
    let body = json!({"checkpoint_id": checkpoint});
    stage.publish(video, "approve", &body, Some("once")).await;
    let first = stage.outcome("once").await;
    assert_eq!(first["type"], "command_answered");
    stage.publish(video, "approve", &body, Some("once")).await;
    assert_eq!(stage.outcomes_of("once", 2).await[1]["answer"], first["answer"]);
    stage.event(video, "checkpoint_created", 2).await;
    coordinator.stop().await;

    let coordinator = stage.coordinator();
    stage.publish(video, "approve", &json!({"checkpoint_id": "nonsense"}), Some("once")).await;
    let again = &stage.outcomes_of("once", 3).await[2];
    assert_eq!((&again["answer"], &again["time"]), (&first["answer"], &first["time"]), "whatever its body says now");
    // Another command to the same end is told which one it repeats.
    let late = stage.ask(video, "approve", body).await;
    assert_eq!((&late["first_command_id"], &late["answer"]), (&json!("once"), &first["answer"]));
    assert_eq!(stage.count(video, "checkpoint_approved").await, 1);
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_use_up_or_overhear_a_command_of_somebody_elses() {
    let mut stage = Stage::set().await;
    let (coordinator, _workers) = (stage.coordinator(), Workers::start(&stage.bus));
    let (video, checkpoint) = stage.planned().await;
    let eve = "eve".parse().expect("valid");
    let body = json!({"checkpoint_id": checkpoint});
    let created = stage.bus.commands_created().await.expect("there is a stream").timestamp_nanos_opt().expect("soon");
    let of = async |stage: &mut Stage, user: &str, id: &str| {
        let video = video.to_string();
        until(&format!("{user} hears of {id}"), async || {
            let (video, user) = (video.as_str(), user);
            let published = stage.published().await.iter().filter(|message| is_outcome(message));
            let mut own = published.filter(|message| message.video == video && message.user == user);
            own.find(|message| message.body["command_id"] == id).map(|message| message.body.clone())
        })
        .await
    };

    // The ids that the owner's next commands get by themselves are no secret: one that asked in vain holds none of them.
    let sequence = stage.publish_as(&eve, video, "approve", &body, None).await;
    let default = |n: u64| format!("{created}-{}", sequence + n);
    stage.publish_as(&eve, video, "approve", &body, Some(&default(2))).await;
    assert_eq!(of(&mut stage, "eve", &default(2)).await["code"], "invalid");
    assert_eq!(stage.publish(video, "approve", &body, None).await, sequence + 2);
    assert_eq!(of(&mut stage, "local", &default(2)).await["type"], "command_answered");
    stage.event(video, "checkpoint_created", 2).await;

    // Whoever guesses an id hears its own answer.
    stage.publish_as(&eve, video, "fork", &body, Some("guessed")).await;
    assert_eq!(of(&mut stage, "eve", "guessed").await["code"], "unknown_video");
    stage.publish(video, "fork", &body, Some("guessed")).await;
    assert_eq!(of(&mut stage, "local", "guessed").await["type"], "command_answered");
    stage.publish_as(&eve, video, "approve", &body, Some("guessed")).await;
    stage.refused(video, "retry", json!({})).await;
    let to_eve = stage.published().await.iter().filter(|message| message.user == "eve");
    assert!(to_eve.clone().count() >= 4 && to_eve.clone().all(|message| message.name == "command_rejected"));
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_an_id_is_recognised_when_it_is_read_again() {
    let mut stage = Stage::set().await;
    let (coordinator, _workers) = (stage.coordinator(), Workers::start(&stage.bus));
    let (video, checkpoint) = stage.planned().await;
    let sequence = stage.publish(video, "fork", &json!({"checkpoint_id": checkpoint}), None).await;
    stage.event(video, "branch_created", 1).await;
    let is_it = |body: &Value| body["command_id"].as_str().is_some_and(|id| id.ends_with(&format!("-{sequence}")));
    let id = until("its outcome", async || {
        let published = stage.published().await;
        let found = published.iter().find(|message| is_outcome(message) && is_it(&message.body));
        found.map(|message| message.body["command_id"].as_str().expect("an id").to_owned())
    })
    .await;
    let first = stage.outcome(&id).await;
    stage.positions_are_written().await;
    coordinator.stop().await;

    // A position that was lost is the worst case: everything is read again.
    sqlx::query("update partition_lease set sequence = 0, stream_created = 0, message_time = 0")
        .execute(&mut stage.connection().await)
        .await
        .expect("it is written");
    let coordinator = stage.coordinator();
    stage.positions_are_written().await;
    // Outcomes leave in order: whatever was said again stands before this one.
    stage.refused(video, "retry", json!({})).await;
    assert_eq!(stage.outcomes_of(&id, 1).await, [first], "nobody asked again, so nobody is answered again");
    assert_eq!((stage.count(video, "branch_created").await, stage.count(video, "video_created").await), (1, 1));
    stage.journal_has_no_holes(video).await;
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_read_on_from_the_position_after_a_restart() {
    let mut stage = Stage::set().await;
    let (coordinator, workers) = (stage.coordinator(), Workers::start(&stage.bus));
    let (video, checkpoint) = stage.planned().await;
    stage.refused(video, "retry", json!({})).await;
    stage.positions_are_written().await;
    coordinator.stop().await;

    // Asked while nobody was there.
    stage.publish(video, "approve", &json!({"checkpoint_id": checkpoint}), Some("meanwhile")).await;
    let coordinator = stage.coordinator();
    assert_eq!(stage.outcome("meanwhile").await["type"], "command_answered");
    stage.event(video, "checkpoint_created", 2).await;
    stage.positions_are_written().await;
    coordinator.stop().await;
    let coordinator = stage.coordinator();
    stage.refused(video, "cancel", json!({})).await;

    let outcomes: Vec<_> = stage.published().await.iter().filter(|message| is_outcome(message)).collect();
    let mut ids: Vec<_> = outcomes.iter().map(|message| message.body["command_id"].to_string()).collect();
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!((count, ids.len()), (4, 4), "exactly one outcome for each command");
    let mut jobs = workers.taken();
    let count = jobs.len();
    jobs.sort_unstable();
    jobs.dedup();
    assert_eq!(jobs.len(), count, "no job was sent twice");
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_stream_that_was_made_anew_is_read_from_its_start() {
    let mut stage = Stage::set().await;
    let (coordinator, _workers) = (stage.coordinator(), Workers::start(&stage.bus));
    let (video, checkpoint) = stage.planned().await;
    // Pushes the position beyond where the new stream will be.
    for _ in 0..5 {
        stage.refused(video, "retry", json!({})).await;
    }
    stage.positions_are_written().await;
    stage.bus.jetstream().delete_stream(subject::VIDEO_COMMANDS).await.expect("it is deleted");
    stage.bus.ensure_streams().await.expect("it is made anew");
    let sequence = stage.publish(video, "approve", &json!({"checkpoint_id": checkpoint}), Some("anew")).await;
    assert_eq!(sequence, 1);
    assert_eq!(stage.outcome("anew").await["type"], "command_answered");
    stage.event(video, "checkpoint_created", 2).await;
    assert_eq!(stage.count(video, "video_created").await, 1);
    stage.positions_are_written().await;
    coordinator.stop().await;

    // The same between two lives, with a new stream that is shorter than the old position.
    stage.bus.jetstream().delete_stream(subject::VIDEO_COMMANDS).await.expect("it is deleted");
    stage.bus.ensure_streams().await.expect("it is made anew");
    stage.publish(video, "retry", &json!({}), Some("anew-again")).await;
    let coordinator = stage.coordinator();
    assert_eq!(stage.outcome("anew-again").await["code"], "nothing_to_retry");
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_coordinators_share_and_either_may_leave() {
    let mut stage = Stage::set().await;
    let first = stage.coordinator();
    stage.shared(&[32]).await;
    let second = stage.coordinator();
    stage.shared(&[16, 16]).await;
    let _workers = Workers::start(&stage.bus);
    let mut films = Vec::new();
    for partition in Partition::all().step_by(4) {
        let video = new_video_of(partition);
        stage.done(video, "create", film()).await;
        let waiting = stage.event(video, "checkpoint_created", 1).await;
        films.push((video, checkpoint_of(&waiting)));
    }

    // One is asked to leave in the middle of a phase: its share is free at once.
    for (video, checkpoint) in &films {
        stage.done(*video, "approve", json!({"checkpoint_id": checkpoint})).await;
    }
    let left = Instant::now();
    first.stop().await;
    for (video, checkpoint) in &mut films {
        let waiting = stage.event(*video, "checkpoint_created", 2).await;
        *checkpoint = checkpoint_of(&waiting);
    }
    assert!(left.elapsed() < Duration::from_secs(15), "{:?}", left.elapsed());
    stage.shared(&[32]).await;

    // Another comes, and the old one is killed: its leases have to run out.
    let third = stage.coordinator();
    stage.shared(&[16, 16]).await;
    second.abort().await;
    for (video, checkpoint) in &films {
        stage.done(*video, "approve", json!({"checkpoint_id": checkpoint})).await;
    }
    for (video, _) in &films {
        stage.event(*video, "checkpoint_created", 3).await;
        stage.journal_has_no_holes(*video).await;
    }
    stage.shared(&[32]).await;
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_lost_with_their_queue_are_sent_again() {
    let mut stage = Stage::set().await;
    let (coordinator, workers) = (stage.coordinator(), Workers::with_script(&stage.bus, Script::Swallow));
    let video = new_video();
    stage.done(video, "create", film()).await;
    until("the job is swallowed", async || (workers.taken().len() == 1).then_some(())).await;
    workers.follow(Script::Make);
    stage.bus.jetstream().delete_stream(subject::JOBS).await.expect("it is deleted");

    stage.event(video, "checkpoint_created", 1).await;
    let taken = workers.taken();
    assert_eq!(taken.iter().map(|(_, send)| *send).collect::<Vec<_>>(), [1, 2], "the same job, sent a second time");
    assert_eq!(taken[0].0, taken[1].0);
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_tried_again_by_itself() {
    let mut stage = Stage::set().await;
    let (coordinator, workers) = (stage.coordinator(), Workers::with_script(&stage.bus, Script::Fail));
    let video = new_video();
    stage.done(video, "create", film()).await;
    let failed = stage.event(video, "job_failed", 1).await;
    assert_eq!((&failed["gave_up"], &failed["reason"]), (&json!(false), &json!("the brush broke")));
    workers.follow(Script::Make);
    stage.event(video, "checkpoint_created", 1).await;
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_from_workers_is_passed_over() {
    let mut stage = Stage::set().await;
    let (coordinator, _workers) = (stage.coordinator(), Workers::start(&stage.bus));
    let (video, checkpoint) = stage.planned().await;
    let partition = Partition::of(video);
    let garbage: [&[u8]; 5] = [b"", b"{}", b"\xc1", b"\x86\xa4user", &[0x91; 4096]];
    for name in ["done", "failed", "claim", "submitted", "returned", "nonsense"] {
        for body in garbage {
            let asked = stage.bus.request(&partition.outcome(name), body.into(), Duration::from_millis(100)).await;
            assert!(asked.is_err(), "{name} is no report");
        }
    }
    let video_id = video.to_string();
    let progress = format!("video.local.{video_id}.progress.not-a-job");
    stage.bus.notify(progress, bytes::Bytes::from_static(b"\xff")).await;
    stage.done(video, "approve", json!({"checkpoint_id": checkpoint})).await;
    stage.event(video, "checkpoint_created", 2).await;
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_about_what_is_not_there_are_answered_at_once() {
    let mut stage = Stage::set().await;
    let (coordinator, _workers) = (stage.coordinator(), Workers::start(&stage.bus));
    let (video, checkpoint) = stage.planned().await;
    let (ours, nobodys) = (video.to_string(), new_video().to_string());
    let unknown = parts::checkpoint(Phase::Refine);
    for (user, video, name, body, answer) in [
        ("local", nobodys.as_str(), "status", json!({}), "404 unknown_video"),
        ("local", "my-film", "status", json!({}), "404 unknown_video"),
        ("eve", ours.as_str(), "status", json!({}), "404 unknown_video"),
        ("eve", ours.as_str(), "history", json!({}), "404 unknown_video"),
        ("local", ours.as_str(), "horoscope", json!({}), "404 unknown_query"),
        ("local", ours.as_str(), "checkpoint", json!({"checkpoint_id": unknown}), "404 unknown_checkpoint"),
        ("local", ours.as_str(), "checkpoint", json!({"checkpoint_id": "x"}), "422 invalid"),
    ] {
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let asked = Instant::now();
            let answered = stage.query(user, video, name, body.clone()).await;
            assert_eq!(answered, Err(answer.to_owned()), "{user} {name}");
            fastest = fastest.min(asked.elapsed());
        }
        assert!(fastest < Duration::from_millis(50), "{user} {name} took {fastest:?}");
    }
    let known = stage.query("local", &ours, "checkpoint", json!({"checkpoint_id": checkpoint})).await.expect("known");
    assert_eq!(known["status"], "pending");
    let history = stage.query("local", &ours, "history", json!({"after_seq": 1})).await.expect("it is known");
    assert_eq!((&history["events"][0]["seq"], &history["finished"]), (&json!(2), &json!(false)));
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_waits_for_is_next_however_many_films_others_have() {
    overtake_many(&[32]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_waits_for_is_next_also_where_another_coordinator_has_filled_the_queue() {
    overtake_many(&[16, 16]).await;
}

/// One worker, a hundred films of one user, and another who has a picture made again; coordinators share the partitions so.
async fn overtake_many(shares: &[i64]) {
    const FILMS: usize = 100;
    let mut stage = Stage::set().await;
    let coordinators: Vec<_> = shares.iter().map(|_| stage.coordinator()).collect();
    let workers = Workers::start(&stage.bus);
    stage.shared(shares).await;
    let [many, one]: [UserId; 2] = ["many", "one"].map(|user| user.parse().expect("a user"));
    let command = async |stage: &Stage, user: &UserId, video, verb: &str, body: Value| {
        stage.publish_as(user, video, verb, &body, None).await;
    };
    let approve = async |stage: &mut Stage, user: &UserId, video, phase: usize| {
        let waiting = checkpoint_of(&stage.event(video, "checkpoint_created", phase).await);
        command(stage, user, video, "approve", json!({"checkpoint_id": waiting})).await;
    };
    let film_of_one = new_video();
    command(&stage, &one, film_of_one, "create", film()).await;
    approve(&mut stage, &one, film_of_one, 1).await;
    let board = checkpoint_of(&stage.event(film_of_one, "checkpoint_created", 2).await);
    let films: Vec<_> = (0..FILMS).map(|_| new_video()).collect();
    for film_of_many in &films {
        command(&stage, &many, *film_of_many, "create", film()).await;
    }
    for film_of_many in &films {
        stage.event(*film_of_many, "checkpoint_created", 1).await;
    }

    // One worker has one of their 200 pictures in its hands when the other asks.
    let before = workers.taken().len();
    workers.follow(Script::Hold);
    for film_of_many in &films {
        approve(&mut stage, &many, *film_of_many, 1).await;
    }
    for film_of_many in &films {
        stage.event(*film_of_many, "phase_started", 2).await;
    }
    until("a picture is begun", async || (workers.taken().len() > before).then_some(())).await;
    let again = json!({"checkpoint_id": board, "artifact_key": "beat_0"});
    command(&stage, &one, film_of_one, "regenerate", again).await;
    let ordered = stage.event(film_of_one, "artifact_ordered", 1).await;
    let job: JobId = ordered["job"].as_str().expect("a job").parse().expect("valid");
    let jobs = stage.bus.jetstream().get_stream(subject::JOBS).await.expect("there is a stream");
    let at = subject::job(Service::Storyboard, &one, film_of_one, job);
    let ordered = until("it is in the queue", async || jobs.get_last_raw_message_by_subject(&at).await.ok()).await;
    let in_the_way = async || {
        let first = jobs.get_info().await.expect("an answer").state.first_sequence;
        // The first is in the worker's hands.
        for sequence in first + 1..ordered.sequence {
            if jobs.get_raw_message(sequence).await.is_ok() {
                return None;
            }
        }
        Some(())
    };
    until("nothing is before it", in_the_way).await;

    workers.follow(Script::Make);
    until("two pictures more are taken", async || (workers.taken().len() > before + 1).then_some(())).await;
    assert_eq!(workers.taken()[before + 1].0, job, "it is the very next one");
    stage.event(film_of_one, "artifact_ready", 1).await;
    for film_of_many in &films {
        stage.event(*film_of_many, "checkpoint_created", 2).await;
    }
    for coordinator in coordinators {
        coordinator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_to_an_inbox_or_nowhere() {
    let mut stage = Stage::set().await;
    let (coordinator, _workers) = (stage.coordinator(), Workers::start(&stage.bus));
    let video = new_video();
    stage.done(video, "create", film()).await;
    stage.event(video, "checkpoint_created", 1).await;
    let client = stage.bus.client();
    let elsewhere = subject::event(&"bob".parse().expect("a user"), &video.to_string(), "checkpoint_approved");
    let mut heard = client.subscribe(elsewhere.clone()).await.expect("a subscription");
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.expect("a subscription");
    for name in ["status", "history", "horoscope"] {
        for reply_to in [&elsewhere, &inbox] {
            let question = subject::video_query(&UserId::local(), video, name);
            client.publish_with_reply(question, reply_to.clone(), "{}".into()).await.expect("it is asked");
        }
    }
    for _ in 0..3 {
        answers.next().await.expect("it is answered");
    }
    coordinator.stop().await;
    client.flush().await.expect("the server is there");
    assert!(heard.next().now_or_never().is_none(), "whoever asks could tell others what did not happen");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_never_taken_keeps_no_other_from_leaving() {
    let stage = Stage::set().await;
    stage.bus.ensure_streams().await.expect("there are streams");
    let message = |n: usize| Outgoing {
        subject: "video.local.vid-1.event.job_done".to_owned(),
        message_id: Some(format!("vid-1-{n}")),
        headers: vec![("ce-id", format!("vid-1-{n}"))],
        payload: if n == 2 { vec![b' '; 2 << 20].into() } else { "{}".into() },
    };
    let refused = NatsWire::new(stage.bus.clone()).publish(&[0, 1, 2, 3, 4].map(message)).await.expect("it is there");
    assert_eq!(refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [2], "{refused:?}");
    let mut stream = stage.bus.jetstream().get_stream(subject::VIDEO_EVENTS).await.expect("there is a stream");
    assert_eq!(stream.info().await.expect("it is looked at").state.messages, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_became_due_while_no_coordinator_ran_is_made_by_the_next_one() {
    let mut stage = Stage::set().await;
    let (coordinator, workers) = (stage.coordinator(), Workers::with_script(&stage.bus, Script::FailFor(6)));
    let video = new_video();
    stage.done(video, "create", film()).await;
    let retried = stage.event(video, "job_retried", 1).await;
    assert_eq!(retried["attempt"], 2);
    workers.follow(Script::Make);
    coordinator.stop().await;

    let due: DateTime<Utc> = retried["not_before"].as_str().expect("a time").parse().expect("a time");
    until("it is due", async || (Utc::now() > due).then_some(())).await;
    assert_eq!(workers.taken().len(), 1, "nobody sends it");
    let coordinator = stage.coordinator();
    stage.event(video, "checkpoint_created", 1).await;
    assert_eq!(stage.event(video, "job_done", 1).await["attempt"], 2);
    assert_eq!(stage.count(video, "job_retried").await, 1);
    let jobs: Vec<_> = workers.taken().into_iter().map(|(job, _)| job).collect();
    assert_eq!(jobs, [jobs[0]; 2], "the same job, once more");
    coordinator.stop().await;
}
