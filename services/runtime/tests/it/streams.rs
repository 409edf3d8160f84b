//! What is set up on the server, and what of the server we rely on.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{DiscardPolicy, RetentionPolicy, StorageType};
use messages::id::{UserId, VideoId};
use messages::service::Service;
use messages::subject::{self, Partition};
use runtime::bus::{Bus, BusError, NatsSettings};

use crate::harness::{Scene, Server};

async fn config(bus: &Bus, name: &str) -> async_nats::jetstream::stream::Config {
    bus.jetstream().get_stream(name).await.expect("there is such a stream").cached_info().config.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_are_as_designed() {
    let scene = Scene::set().await;
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    let commands = config(&scene.bus, subject::VIDEO_COMMANDS).await;
    assert_eq!(commands.subjects, [subject::COMMAND_FILTER]);
    assert_eq!((commands.retention, commands.discard), (RetentionPolicy::Limits, DiscardPolicy::New));
    assert_eq!((commands.max_age, commands.max_message_size), (7 * DAY, 64 << 10));
    assert_eq!(commands.duplicate_window, Duration::from_millis(100));
    assert!(commands.deny_delete && commands.deny_purge && !commands.allow_rollup);
    assert!(!commands.allow_message_ttl && !commands.allow_message_schedules && !commands.allow_message_counter);
    assert!(!commands.allow_atomic_publish && !commands.allow_batch_publish, "people publish here");
    assert!(commands.subject_transform.is_some_and(|t| t.destination.contains("{{partition(32,2)}}")));

    let jobs = config(&scene.bus, subject::JOBS).await;
    assert_eq!((jobs.retention, jobs.discard), (RetentionPolicy::WorkQueue, DiscardPolicy::New));
    let events = config(&scene.bus, subject::VIDEO_EVENTS).await;
    assert_eq!((events.max_age, events.subjects), (30 * DAY, vec![subject::EVENT_FILTER.to_owned()]));
    assert!(events.allow_batch_publish, "coordinators publish many at a time");
    let dead = config(&scene.bus, subject::DEAD_LETTERS).await;
    assert_eq!((dead.max_age, dead.subjects.len()), (90 * DAY, 2));
    for stream in [commands.storage, jobs.storage, events.storage, dead.storage] {
        assert_eq!(stream, StorageType::File);
    }

    let stream = scene.bus.jetstream().get_stream(subject::JOBS).await.expect("there is a queue");
    for service in Service::ALL {
        let consumer = stream.consumer_info(service.name()).await.expect("there is a consumer").config;
        assert_eq!(consumer.filter_subject, subject::service_jobs(service));
        assert_eq!((consumer.ack_policy, consumer.ack_wait), (AckPolicy::Explicit, Duration::from_secs(30)));
        assert_eq!((consumer.max_deliver, consumer.max_ack_pending), (-1, 1000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn setting_up_again_or_at_the_same_time_changes_nothing() {
    let server = Server::start().await;
    let buses = futures::future::join_all((0..4).map(|_| server.bus())).await;
    for made in futures::future::join_all(buses.iter().map(Bus::ensure_streams)).await {
        made.expect("several at once are fine");
    }
    let bus = &buses[0];
    let created = bus.commands_created().await.expect("there is a stream");
    let mut updates = bus.client().subscribe("$JS.EVENT.ADVISORY.*.*.>").await.expect("advisories can be heard");
    bus.client().flush().await.expect("flushed");

    bus.ensure_streams().await.expect("again is fine");

    assert_eq!(bus.commands_created().await.expect("there is a stream"), created);
    // Advisories come in order, so what precedes one that we cause is all there was.
    bus.jetstream().delete_stream(subject::DEAD_LETTERS).await.expect("deleted");
    let first = futures::StreamExt::next(&mut updates).await.expect("an advisory");
    assert!(first.subject.contains("STREAM.DELETED"), "something was changed: {}", first.subject);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_drifted_are_brought_back_and_what_an_operator_added_stays() {
    let scene = Scene::set().await;
    let jetstream = scene.bus.jetstream();
    let mut events = config(&scene.bus, subject::VIDEO_EVENTS).await;
    events.max_age = Duration::from_secs(600);
    events.metadata.insert("team".into(), "night shift".into());
    jetstream.update_stream(&events).await.expect("updated");
    let stream = jetstream.get_stream(subject::JOBS).await.expect("there is a queue");
    let drifted = pull::Config {
        durable_name: Some("chunk".into()),
        filter_subject: subject::service_jobs(Service::Chunk),
        ack_wait: Duration::from_secs(5),
        ..pull::Config::default()
    };
    stream.create_consumer(drifted).await.expect("updated");

    scene.bus.restore_streams().await.expect("nothing is missing");
    assert_eq!(
        config(&scene.bus, subject::VIDEO_EVENTS).await.max_age,
        Duration::from_secs(600),
        "only what is missing"
    );

    scene.bus.ensure_streams().await.expect("brought back");

    let events = config(&scene.bus, subject::VIDEO_EVENTS).await;
    assert_eq!(events.max_age, Duration::from_secs(30 * 24 * 60 * 60));
    assert_eq!(events.metadata.get("team").map(String::as_str), Some("night shift"));
    let consumer = stream.consumer_info("chunk").await.expect("there is a consumer").config;
    assert_eq!(consumer.ack_wait, Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_edited_so_that_nobody_could_work_is_as_before() {
    let scene = Scene::set().await;
    let stream = scene.bus.jetstream().get_stream(subject::JOBS).await.expect("there is a queue");
    let before = stream.consumer_info("chunk").await.expect("there is a consumer").config;
    let another_subject = || vec![subject::service_jobs(Service::Chunk), "job.elsewhere.>".to_owned()];
    let edited = |edit: fn(&mut pull::Config)| {
        let mut config = pull::Config {
            durable_name: Some("chunk".into()),
            filter_subject: subject::service_jobs(Service::Chunk),
            ..pull::Config::default()
        };
        edit(&mut config);
        config
    };
    let two_subjects =
        pull::Config { filter_subjects: another_subject(), filter_subject: String::new(), ..edited(|_| {}) };
    for edit in [
        edited(|config| config.headers_only = true),
        edited(|config| config.max_expires = Duration::from_secs(1)),
        edited(|config| config.max_deliver = 1),
        edited(|config| config.max_ack_pending = 1),
        edited(|config| config.inactive_threshold = Duration::from_secs(1)),
        edited(|config| config.backoff = vec![Duration::from_secs(1)]),
        two_subjects,
    ] {
        stream.create_consumer(edit.clone()).await.expect("an operator may do that");
        scene.bus.ensure_streams().await.expect("brought back");
        let after = stream.consumer_info("chunk").await.expect("there is a consumer").config;
        assert_eq!(after, before, "after {edit:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_brought_back_is_named_and_keeps_nothing_else_from_it() {
    let scene = Scene::set().await;
    let jetstream = scene.bus.jetstream();
    let mut events = config(&scene.bus, subject::VIDEO_EVENTS).await;
    // Servers let nobody take this back.
    events.deny_purge = true;
    jetstream.update_stream(&events).await.expect("updated");
    let stream = jetstream.get_stream(subject::JOBS).await.expect("there is a queue");
    stream.delete_consumer("refine").await.expect("deleted");

    let refusal = scene.bus.ensure_streams().await.expect_err("it cannot be brought back").to_string();

    assert!(
        refusal.contains(subject::VIDEO_EVENTS) && refusal.contains("move its messages and delete it"),
        "{refusal}"
    );
    stream.consumer_info("refine").await.expect("it is there again");
    jetstream.delete_stream(subject::VIDEO_EVENTS).await.expect("as the refusal said");
    scene.bus.ensure_streams().await.expect("all is well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_service_stays_paused() {
    let scene = Scene::set().await;
    let stream = scene.bus.jetstream().get_stream(subject::JOBS).await.expect("there is a queue");
    let tomorrow = stream.cached_info().created + Duration::from_secs(24 * 60 * 60);
    stream.pause_consumer("chunk", tomorrow).await.expect("paused");

    scene.bus.ensure_streams().await.expect("nothing to do");

    assert!(stream.consumer_info("chunk").await.expect("there is a consumer").paused);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_partitions_commands_as_the_program_does() {
    let scene = Scene::set().await;
    let stream = scene.bus.jetstream().get_stream(subject::VIDEO_COMMANDS).await.expect("there is a stream");
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..200u128 {
        let video = VideoId::from_uuid(uuid::Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060)));
        let command = subject::command(&UserId::local(), video, "create");
        let ack = scene.bus.publish(command.clone(), HeaderMap::new(), "{}".into(), None).await.expect("stored");
        let stored = stream.get_raw_message(ack.sequence).await.expect("it is there");
        assert_eq!(stored.subject.as_str(), format!("p.{}.{command}", Partition::of(video)));
        seen.insert(Partition::of(video));
    }
    assert_eq!(seen.len(), usize::from(subject::PARTITIONS), "all partitions are used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_too_little_storage_is_told_apart() {
    let server = Server::start().await;
    let settings = NatsSettings { storage_mib: u32::MAX, ..server.settings() };
    let bus = Bus::connect(&settings).await.expect("the server is there");
    let error = bus.ensure_streams().await.expect_err("nobody has four petabytes").to_string();
    assert!(error.contains("nats.storage_mib"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_is_a_clear_error_after_a_bounded_time() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("nats://me:hunter2@{}", nobody.local_addr().expect("an address"));
    drop(nobody);
    let settings = NatsSettings { connect_timeout: Duration::from_millis(300), ..NatsSettings::for_url(&url) };
    let error = Bus::connect(&settings).await.expect_err("nobody is there");
    assert!(matches!(error, BusError::Unreachable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("start one or give --nats URL") && !text.contains("hunter2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_urls_are_tried_and_one_is_enough() {
    let server = Server::start().await;
    let settings = NatsSettings::for_url(&format!("nats://127.0.0.1:1, {}", server.url()));
    Bus::connect(&settings).await.expect("the second one answers");
}
