//! What goes wrong around an actor: appends that are recorded and said to have failed, steps that panic, messages that no
//! stream takes, a database that is away. Over a real database, with a bus that does what its test tells it to.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use coordinator::actor::{Actors, CommandMail, Mail, ReportMail};
use coordinator::partition;
use coordinator::position::write_down;
use coordinator::store::Store;
use coordinator::video::{Input, Reply};
use messages::artifact::Digest;
use messages::codec;
use messages::command::Via;
use messages::id::{UserId, VideoId};
use messages::job::{Claim, ClaimReply, DeadLetter, Failed, FailureKind, Job, NotWanted, Report};
use messages::money::Usd;
use messages::subject::Partition;
use runtime::clock::Clock;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[path = "trouble/harness.rs"]
mod harness;

use harness::{Stage, failed, new_video, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_and_said_to_have_failed_leaves_all_the_same() {
    // Said once it is found out by the next try of the transaction, said twice by the journal.
    for lies in [1, 2] {
        let stage = Stage::set().await;
        let video = new_video();
        stage.store.lie(lies);
        stage.command(video, "create", &film(), "make-it");
        stage.wire.published("command_answered", video).await;
        let job = stage.wire.job_of(video).await;
        assert_eq!(
            stage.wire.names(video),
            ["video_created", "phase_started", "command_answered"],
            "each once, in order"
        );

        stage.store.lie(lies);
        let reply = stage.report(Input::Failed(failed(&job, FailureKind::GiveUp))).await;
        assert_eq!(reply, Reply::Recorded);
        stage.wire.published("phase_failed", video).await;
        until("the job is known to have ended", async || {
            let counts = stage.dispatcher.counts().await;
            (counts.waiting + counts.sent == 0).then_some(())
        })
        .await;
        stage.everything_is_marked(video).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_step_panics_is_refused_and_the_loop_goes_on() {
    let stage = Stage::set().await;
    let video = new_video();
    stage.store.panic(1);
    stage.command(video, "create", &film(), "unlucky");
    let outcome = stage.wire.published("command_rejected", video).await;
    assert_eq!((&outcome["command_id"], &outcome["code"]), (&json!("unlucky"), &json!("internal_error")));
    assert!(stage.wire.letter().await.reason.contains("panicked"));
    until("its position is not held back", async || (stage.positions.lag() == 0).then_some(())).await;

    stage.command(video, "create", &film(), "lucky");
    assert_eq!(stage.wire.published("command_answered", video).await["command_id"], "lucky");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_step_panics_ends_as_a_failed_job() {
    // Two panics: not even a failure can be recorded, and nothing may be sent again and again for that.
    for panics in [1, 2] {
        let stage = Stage::set().await;
        let video = new_video();
        stage.command(video, "create", &film(), "make-it");
        let job = stage.wire.job_of(video).await;
        let again = stage.restart();
        stage.store.panic(panics);
        let reply = again.report(Input::Failed(failed(&job, FailureKind::RetryLater))).await;
        assert_eq!(reply, Reply::NotWanted(NotWanted::UnknownJob));
        assert!(again.store.jobs_of(video).await.is_empty());
        if panics == 1 {
            let event = again.wire.published("job_failed", video).await;
            assert_eq!((&event["gave_up"], &event["kind"]), (&json!(true), &json!("give_up")));
        }
        again.command(video, "retry", &json!({}), "again");
        again.wire.outcome("again").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_wait_are_recorded_together_and_each_has_its_own_answer() {
    let stage = Stage::set().await;
    let video = new_video();
    stage.command(video, "create", &film(), "make-it");
    let job = stage.wire.job_of(video).await;
    stage.wire.published("command_answered", video).await;
    let attempt = |attempt, kind| Input::Failed(Report { attempt, ..failed(&job, kind) });
    let moves = stage.store.moves();

    // The first one waits for the database, and the others for the first one.
    stage.store.away(true);
    let replies = [
        attempt(7, FailureKind::GiveUp),
        attempt(1, FailureKind::RetryLater),
        attempt(2, FailureKind::GiveUp),
        attempt(1, FailureKind::RetryLater),
    ]
    .map(|input| stage.say(video, input));
    stage.store.away(false);
    let replies = futures::future::join_all(replies.map(answered)).await;
    let Reply::NotWanted(_) = replies[0] else { panic!("nobody knows of a seventh attempt: {replies:?}") };
    assert_eq!(replies[1..], [Reply::Recorded, Reply::Recorded, Reply::Recorded], "the last one is a repeat");
    assert_eq!(stage.store.moves(), moves + 1, "in one append");

    // The second attempt was ordered and ended in it: nothing is left to be sent.
    stage.wire.published("phase_failed", video).await;
    let counts = stage.dispatcher.counts().await;
    assert_eq!((counts.waiting + counts.sent, stage.store.jobs_of(video).await), (0, Vec::new()));
    stage.everything_is_marked(video).await;
    let names = stage.wire.names(video);
    assert_eq!(names[3..], ["job_failed", "job_retried", "job_failed", "phase_failed"], "each once, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_overtaken_refuses_nothing_by_its_old_knowledge() {
    let frozen = Stage::set().await;
    let video = new_video();
    frozen.command(video, "create", &film(), "make-it");
    let job = frozen.wire.job_of(video).await;
    // While it knows the video as it was then, another one goes on with it, as far as a retry that is in its queue.
    let other = frozen.restart();
    assert_eq!(other.report(Input::Failed(failed(&job, FailureKind::GiveUp))).await, Reply::Recorded);
    other.command(video, "retry", &json!({}), "again");
    assert_eq!(other.wire.outcome("again").await["type"], "command_answered");

    // Both of these are only true of the journal as it is now.
    let mut second = failed(&job, FailureKind::GiveUp);
    second.attempt = 2;
    assert_eq!(frozen.report(Input::Failed(second)).await, Reply::Recorded, "a worker's word is not thrown away");
    frozen.command(video, "retry", &json!({}), "once-more");
    assert_eq!(frozen.wire.outcome("once-more").await["type"], "command_answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_never_taken_is_set_aside_and_the_rest_leaves() {
    let stage = Stage::set().await;
    let (video, other) = (new_video(), new_video());
    stage.wire.refuse("event.phase_started");
    stage.command(video, "create", &film(), "make-it");
    stage.wire.published("command_answered", video).await;
    assert_eq!(stage.wire.names(video), ["video_created", "command_answered"]);
    let letter = stage.wire.letter().await;
    assert!(letter.subject.ends_with("event.phase_started") && letter.reason.contains("too large"), "{letter:?}");
    stage.everything_is_marked(video).await;
    stage.command(other, "create", &film(), "make-it");
    stage.wire.published("command_answered", other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_leave_before_word_of_them() {
    let stage = Stage::set().await;
    let video = new_video();
    stage.clock.nobody_wakes(true);
    stage.wire.jobs_wait(true);
    stage.command(video, "create", &film(), "make-it");
    let planned = until("a job", async || stage.store.jobs_of(video).await.into_iter().next()).await;
    // What comes after it is decided and recorded already.
    let job = codec::decode::<Job>(&planned.body).expect("a job");
    assert_eq!(stage.report(Input::Failed(failed(&job, FailureKind::GiveUp))).await, Reply::Recorded);

    stage.wire.jobs_wait(false);
    stage.wire.published("phase_failed", video).await;
    let subjects = stage.wire.subjects();
    assert!(subjects.first().is_some_and(|first| first.starts_with("job.planner.")), "{subjects:?}");
    assert_eq!(
        stage.wire.names(video),
        ["video_created", "phase_started", "command_answered", "job_failed", "phase_failed"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_goes_on_after_a_stop_is_sent_after_it() {
    let stage = Stage::set().await;
    let video = new_video();
    stage.command(video, "create", &film(), "make-it");
    stage.wire.job_of(video).await;
    stage.wire.stops_wait(true);
    stage.command(video, "cancel", &json!({}), "stop");
    stage.command(video, "retry", &json!({}), "go-on");
    // Word of it waits for the job for a moment only.
    stage.wire.outcome("go-on").await;
    let sent = || stage.wire.subjects().iter().filter(|subject| subject.starts_with("job.")).count();
    assert_eq!(sent(), 1, "what is taken out of the queue by its subject must not be the next attempt");
    stage.wire.stops_wait(false);
    until("the next attempt", async || (sent() == 2).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_left_is_written_down_when_the_database_is_back() {
    let stage = Stage::set().await;
    let video = new_video();
    stage.wire.jobs_wait(true);
    stage.command(video, "create", &film(), "make-it");
    until("it is recorded", async || (!stage.store.jobs_of(video).await.is_empty()).then_some(())).await;
    stage.store.away(true);
    stage.wire.jobs_wait(false);
    stage.wire.published("command_answered", video).await;
    until("the database does not take it", async || (stage.store.unmarked() > 1).then_some(())).await;
    stage.store.away(false);
    stage.everything_is_marked(video).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_cannot_leave_do_not_hold_back_word_of_them_for_long() {
    let stage = Stage::set().await;
    let video = new_video();
    stage.wire.jobs_wait(true);
    stage.command(video, "create", &film(), "make-it");
    stage.wire.published("command_answered", video).await;
    assert_eq!(stage.wire.names(video), ["video_created", "phase_started", "command_answered"]);
    stage.wire.jobs_wait(false);
    stage.wire.job_of(video).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_queue_never_takes_fails() {
    let stage = Stage::set().await;
    let video = new_video();
    stage.wire.refuse("job.planner");
    stage.command(video, "create", &film(), "make-it");
    let said = stage.wire.told(&Partition::of(video).outcome("failed")).await;
    assert!(stage.wire.letter().await.subject.starts_with("job.planner"));
    let report: Report<Failed> = codec::decode(&said).expect("a report like a worker's");
    assert_eq!(stage.report(Input::Failed(report)).await, Reply::Recorded);
    let event = stage.wire.published("phase_failed", video).await;
    assert!(event["reason"].as_str().is_some_and(|reason| reason.contains("does not take it")), "{event}");
    assert!(stage.store.jobs_of(video).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_keeps_what_every_server_takes() {
    let time = chrono::DateTime::UNIX_EPOCH;
    let body = vec![7; 3 << 20];
    let letter = coordinator::outbox::dead_letter("coordinator", "a.b", "it is too large", &body, time);
    assert!(letter.payload.len() < 1 << 20, "{}", letter.payload.len());
    let letter: DeadLetter = serde_json::from_slice(&letter.payload).expect("JSON");
    assert!(letter.reason.contains("3145728"), "{}", letter.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_fate_is_unknown_waits_for_a_person_and_is_not_sent_again() {
    let stage = Stage::set().await;
    let video = new_video();
    stage.command(video, "create", &film(), "make-it");
    let job = stage.wire.job_of(video).await;
    let claim = |nonce| {
        let claim = Claim { nonce: Uuid::from_u128(nonce), input: Digest::of(b"a request"), price: Usd::ZERO };
        Input::Claim(failed(&job, FailureKind::GiveUp).with(1, claim))
    };
    assert_eq!(stage.report(claim(1)).await, Reply::Claim(ClaimReply::Granted));
    stage.clock.advance(Duration::from_secs(31));
    let refused = Reply::Claim(ClaimReply::Refused(NotWanted::Superseded));
    assert_eq!(stage.report(claim(2)).await, refused);
    stage.wire.published("job_unknown", video).await;
    assert!(stage.store.jobs_of(video).await.is_empty());
    until("nothing is sent again", async || (stage.dispatcher.counts().await.sent == 0).then_some(())).await;

    stage.command(video, "resolve", &json!({"job": job.id.to_string(), "decision": "pay_again"}), "pay");
    assert_eq!(stage.wire.outcome("pay").await["type"], "command_answered");
    let planned = stage.store.jobs_of(video).await;
    assert_eq!(planned.iter().map(|job| job.attempt).collect::<Vec<_>>(), [2], "somebody said what to do");

    // Neither leaves a row behind, whatever it stops.
    stage.command(video, "cancel", &json!({}), "stop");
    stage.wire.outcome("stop").await;
    assert!(stage.store.jobs_of(video).await.is_empty());
    stage.command(video, "retry", &json!({}), "again");
    stage.wire.outcome("again").await;
    assert_eq!(stage.store.jobs_of(video).await.len(), 1);
    stage.command(video, "delete", &json!({}), "away");
    stage.wire.outcome("away").await;
    assert!(stage.store.jobs_of(video).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_more_is_read_while_too_much_waits_for_the_database() {
    const COMMANDS: usize = 3_000;
    let stage = Stage::set().await;
    let log = stage.log(COMMANDS);
    stage.store.away(true);
    let (owned, owned_now) = tokio::sync::watch::channel(Partition::all().collect::<HashSet<_>>());
    let shutdown = CancellationToken::new();
    let reading = tokio::spawn(partition::read_commands(
        log.clone(),
        stage.actors.clone(),
        stage.around.clone(),
        owned_now,
        shutdown.clone(),
    ));
    until("much waits", async || (stage.positions.lag() >= 1_000).then_some(())).await;
    stage.store.away(false);
    until("all is read and recorded", async || {
        (log.handed_out() == COMMANDS && stage.positions.lag() == 0).then_some(())
    })
    .await;
    assert!(log.most_in_hand() <= 1_000, "{} were in hand", log.most_in_hand());
    shutdown.cancel();
    drop(owned);
    reading.await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_that_the_database_did_not_take_are_written_down_when_it_is_back() {
    let stage = Stage::set().await;
    let (partition, at) = (Partition(5), stage.next_place());
    let leased = async || {
        let now = chrono::Utc::now();
        stage.store.lease("test", now, now + chrono::TimeDelta::seconds(60)).await.expect("leased")[&partition]
    };
    assert_ne!(leased().await, at);
    stage.store.away(true);
    let shutdown = CancellationToken::new();
    let (store, clock): (Arc<dyn Store>, Arc<dyn Clock>) = (stage.store.clone(), stage.clock.clone());
    let positions = Arc::clone(&stage.positions);
    let writing = tokio::spawn(write_down(store, positions, "test".to_owned(), clock, shutdown.clone()));
    assert!(stage.positions.read(partition, at), "it is new");
    stage.positions.recorded(partition, at);
    until("it is tried", async || (stage.store.refused_marks() > 0).then_some(())).await;
    stage.store.away(false);
    until("it is written down", async || (leased().await == at).then_some(())).await;
    shutdown.cancel();
    writing.await.expect("it stops");
}

fn film() -> Value {
    json!({"prompt": "An ad for a mechanical watch", "duration": 10, "seed": 7})
}

impl Stage {
    /// A command as it comes from its stream.
    fn command(&self, video: VideoId, verb: &str, body: &Value, id: &str) {
        let at = self.next_place();
        assert!(self.positions.read(Partition::of(video), at), "it is new");
        send(&self.actors, video, verb, body, id, at);
    }

    /// What a worker hears.
    async fn report(&self, input: Input) -> Reply {
        let video = match &input {
            Input::Done(report) => report.video,
            Input::Failed(report) => report.video,
            Input::Claim(report) => report.video,
            Input::Submitted(report) => report.video,
            Input::Command { .. } | Input::Collect { .. } => panic!("no report: {input:?}"),
        };
        answered(self.say(video, input)).await
    }

    /// A worker's word, and where it waits for the answer.
    fn say(&self, video: VideoId, input: Input) -> Answer {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.actors.send(video, Mail::Report(ReportMail { input, reply }));
        answer
    }
}

type Answer = tokio::sync::oneshot::Receiver<Reply>;

async fn answered(answer: Answer) -> Reply {
    tokio::time::timeout(harness::SOON, answer).await.expect("in time").expect("an answer")
}

fn send(
    actors: &std::sync::Arc<Actors>,
    video: VideoId,
    verb: &str,
    body: &Value,
    id: &str,
    at: coordinator::store::Position,
) {
    let mail = CommandMail {
        id: id.parse().expect("valid"),
        user: UserId::local(),
        via: Via::Nats,
        verb: verb.to_owned(),
        body: body.to_string().into(),
        at,
        stored_before: None,
        trace: None,
    };
    actors.send(video, Mail::Command(mail));
}
