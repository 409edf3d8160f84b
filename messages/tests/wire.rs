//! Every message that crosses a process boundary, against its frozen bytes, both ways.
//!
//! Fixtures are never edited: what changes is frozen as the next version beside the old one. Lists of variants are
//! matches without `_`, so whatever is new asks for its fixture by itself.

use std::collections::{BTreeMap, BTreeSet};

use messages::artifact::{ArtifactKey, MediaType};
use messages::codec;
use messages::command::{Code, VERBS};
use messages::event::CommandOutcome;
use messages::id::{ArtifactId, BranchName, CheckpointId, UserId};
use messages::job::{Done, Job, Report, Returned, Stop, Work};
use messages::phase::Phase;
use messages::refine::{MakeThumbnail, RefineWork};
use messages::service::Service;
use messages::subject::{self, Partition};
use serde_json::Value;

#[macro_use]
#[path = "wire/variants.rs"]
mod variants;

#[path = "wire/commands.rs"]
mod commands;
#[path = "wire/events.rs"]
mod events;
#[path = "wire/frozen.rs"]
mod frozen;
#[path = "wire/jobs.rs"]
mod jobs;
#[path = "wire/parts.rs"]
mod parts;
#[path = "wire/queries.rs"]
mod queries;

use frozen::Case;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire");

#[test]
fn every_kind_of_job_has_its_frozen_bytes() {
    frozen::check(FOLDER, &jobs::jobs());
}

#[test]
fn what_workers_say_has_its_frozen_bytes() {
    frozen::check(FOLDER, &jobs::reports());
}

#[test]
fn what_workers_are_told_has_its_frozen_bytes() {
    frozen::check(FOLDER, &jobs::replies());
}

#[test]
fn progress_and_dead_letters_have_their_frozen_bytes() {
    frozen::check(FOLDER, &jobs::notices());
}

#[test]
fn every_verb_has_its_frozen_body() {
    frozen::check(FOLDER, &commands::commands());
    let frozen: BTreeSet<_> = VERBS.into_iter().collect();
    assert_eq!(frozen.len(), VERBS.len(), "no verb stands twice");
}

#[test]
fn outcomes_of_commands_have_their_frozen_bodies() {
    frozen::check(FOLDER, &commands::outcomes());
}

#[test]
fn what_carries_a_trace_has_its_frozen_bytes() {
    frozen::check(FOLDER, &jobs::traced());
    frozen::check(FOLDER, &commands::traced_outcomes());
}

#[test]
fn a_mix_that_is_asked_for_a_thumbnail_has_its_frozen_bytes() {
    frozen::check(FOLDER, &jobs::mixes_with_thumbnail());
}

#[test]
fn what_everybody_may_watch_has_its_frozen_bodies() {
    frozen::check(FOLDER, &commands::public_events());
}

#[test]
fn questions_and_answers_have_their_frozen_bodies() {
    frozen::check(FOLDER, &queries::questions());
    frozen::check(FOLDER, &queries::answers());
    frozen::check(FOLDER, &queries::command_answers());
}

#[test]
fn names_of_subjects_streams_and_headers_are_frozen() {
    frozen::check(FOLDER, &names());
}

#[test]
fn codes_keep_their_names_and_statuses() {
    let today: BTreeMap<_, _> = Code::ALL.iter().map(|code| (code.name().to_owned(), code.http_status())).collect();
    let written = serde_json::to_string_pretty(&today).expect("it can be written");
    let frozen = frozen::text(FOLDER, "v1/codes.json", &written);
    let frozen: BTreeMap<String, u16> = serde_json::from_str(&frozen).expect("names and statuses");
    // A new code is nothing that breaks a client; one that is gone or means something else is.
    for (name, status) in frozen {
        assert_eq!(today.get(&name), Some(&status), "{name}");
    }
}

#[test]
fn no_fixture_lies_about_unused() {
    let families = [
        jobs::jobs(),
        jobs::reports(),
        jobs::replies(),
        jobs::notices(),
        commands::commands(),
        commands::outcomes(),
        commands::public_events(),
        queries::questions(),
        queries::answers(),
        queries::command_answers(),
        names(),
    ];
    let mut used: BTreeSet<_> = families.into_iter().flatten().map(|case| case.file).collect();
    used.insert("v1/codes.json".to_owned());
    let unused: Vec<_> = frozen::files(FOLDER, "v1").difference(&used).cloned().collect();
    assert_eq!(unused, [] as [String; 0], "each is a promise that nothing checks any more");
}

#[test]
fn a_field_of_a_newer_program_is_passed_over() {
    let film = parts::object(ArtifactKey::Stitched, MediaType::Mp4);
    let thumbnail = MakeThumbnail { film, duration_s: 15.0 };
    let job = jobs::order(ArtifactKey::Thumbnail, Work::Refine(Box::new(RefineWork::Thumbnail(thumbnail))));
    let bytes = codec::encode(&job).expect("it can be written");
    for newer in [with_a_new_field(&bytes, ""), with_a_new_field(&bytes, "thumbnail"), with_a_new_field(&bytes, "film")]
    {
        assert_eq!(codec::decode::<Job>(&newer).expect("it is read"), job);
    }

    let made = vec![parts::made(ArtifactKey::Final, MediaType::Mp4)];
    let done = jobs::report(Done { made, spent: Vec::new() });
    let bytes = codec::encode(&done).expect("it can be written");
    for newer in [with_a_new_field(&bytes, ""), with_a_new_field(&bytes, "outcome")] {
        assert_eq!(codec::decode::<Report<Done>>(&newer).expect("it is read"), done);
    }

    let returned = jobs::report(Returned {});
    let newer = with_a_new_field(&codec::encode(&returned).expect("it can be written"), "outcome");
    assert_eq!(codec::decode::<Report<Returned>>(&newer).expect("it is read"), returned);

    let stop = Stop { job: parts::job(ArtifactKey::Final) };
    let newer = with_a_new_field(&codec::encode(&stop).expect("it can be written"), "");
    assert_eq!(codec::decode::<Stop>(&newer).expect("it is read"), stop);
}

#[test]
fn the_order_of_fields_is_no_part_of_the_contract() {
    let stop = Stop { job: parts::job(ArtifactKey::Final) };
    let report = jobs::report(stop);
    let bytes = codec::encode(&report).expect("it can be written");
    let Value::Object(fields) = codec::decode::<Value>(&bytes).expect("maps all the way down") else {
        panic!("a report is a map by field name");
    };
    let names: Vec<_> = fields.keys().cloned().collect();
    assert_eq!(names, ["attempt", "job", "outcome", "user", "video", "worker"], "here they are in another order");
    let sorted = codec::encode(&fields).expect("it can be written");
    assert_ne!(sorted, bytes);
    assert_eq!(codec::decode::<Report<Stop>>(&sorted).expect("it is read"), report);
}

#[test]
fn an_outcome_is_read_with_the_ids_that_it_is_published_with() {
    for outcome in commands::every_outcome() {
        let mut body = serde_json::to_value(&outcome).expect("it can be written");
        body["video_id"] = parts::video().to_string().into();
        body["id"] = format!("{}-{}", parts::video(), outcome.command_id()).into();
        assert_eq!(serde_json::from_value::<CommandOutcome>(body).expect("it is read"), outcome);
    }
}

/// The message as a newer program may write it: with one more field in the map called `name`, or in the outermost one.
fn with_a_new_field(bytes: &[u8], name: &str) -> Vec<u8> {
    let map = match name {
        "" => 0,
        name => {
            // A short text is its length in the low bits of one byte, then itself.
            let key = [&[0xa0 | name.len() as u8], name.as_bytes()].concat();
            let at = bytes.windows(key.len()).position(|window| window == key).expect("there is such a field");
            at + key.len()
        }
    };
    assert!((0x80..0x8f).contains(&bytes[map]), "a small map that can take one more");
    let mut newer = bytes.to_vec();
    newer[map] += 1;
    // "hint": ["new", 7]
    newer.splice(map + 1..map + 1, *b"\xa4hint\x92\xa3new\x07");
    newer
}

/// What everything is called.
fn names() -> Vec<Case> {
    let (user, video) = (UserId::local(), parts::video());
    let job = parts::job(ArtifactKey::ChunkLastFrame(1));
    let checkpoint = parts::checkpoint(Phase::Chunks);
    let partition = Partition::of(video);
    let (transform_from, transform_to) = subject::partition_transform();
    let names = BTreeMap::from([
        ("partitions", subject::PARTITIONS.to_string()),
        ("stream of commands", subject::VIDEO_COMMANDS.to_owned()),
        ("stream of jobs", subject::JOBS.to_owned()),
        ("stream of events", subject::VIDEO_EVENTS.to_owned()),
        ("stream of dead letters", subject::DEAD_LETTERS.to_owned()),
        ("all commands", subject::COMMAND_FILTER.to_owned()),
        ("all events", subject::EVENT_FILTER.to_owned()),
        ("all jobs", subject::JOB_FILTER.to_owned()),
        ("all dead letters", subject::DEAD_FILTER.to_owned()),
        ("all progress", subject::PROGRESS_FILTER.to_owned()),
        ("all stop hints", subject::STOP_FILTER.to_owned()),
        ("queries of a video", subject::VIDEO_QUERY_FILTER.to_owned()),
        ("queries of a user", subject::USER_QUERY_FILTER.to_owned()),
        ("header of command ids", subject::COMMAND_ID_HEADER.to_owned()),
        ("header of doors", subject::VIA_HEADER.to_owned()),
        ("partitioning from", transform_from.to_owned()),
        ("partitioning to", transform_to),
        ("a command", subject::command(&user, video, "approve")),
        ("an event", subject::event(&user, &video.to_string(), "job_done")),
        ("progress", subject::progress(&user, video, job)),
        ("a job", subject::job(Service::Chunk, &user, video, job)),
        ("a service's jobs", subject::service_jobs(Service::Chunk)),
        ("a video's jobs", subject::video_jobs(&user, video)),
        ("a stop hint", subject::stop(job)),
        ("a dead letter", subject::dead("chunk")),
        ("a query of a video", subject::video_query(&user, video, "status")),
        ("a query of a user", subject::user_query(&user, "videos")),
        ("a worker's status", subject::worker_status(Service::Chunk, "host-1")),
        ("a partition's commands", partition.command_filter()),
        ("a partition's reports", partition.outcome_filter()),
        ("a report", partition.outcome("done")),
        ("services", Service::ALL.map(Service::name).join(" ")),
        ("a checkpoint of main's chunks", checkpoint.to_string()),
        ("its stitched film", ArtifactId::derived(video, checkpoint, ArtifactKey::Stitched, 1).to_string()),
        ("a video by key", messages::id::VideoId::derived(&user, "a key").to_string()),
    ]);
    let names: BTreeMap<_, _> = names.into_iter().map(|(what, name)| (what.to_owned(), name)).collect();
    // Ids of checkpoints and artifacts as they were derived since, one rule after the other.
    let ids = |checkpoint: CheckpointId| {
        let artifact = ArtifactId::derived(video, checkpoint, ArtifactKey::Stitched, 1);
        BTreeMap::from([
            ("a checkpoint of main's chunks".to_owned(), checkpoint.to_string()),
            ("its stitched film".to_owned(), artifact.to_string()),
        ])
    };
    let [third, second, _] = CheckpointId::derivations(video, &BranchName::main(), Phase::Chunks, 1);
    vec![
        Case::json("names", names),
        Case::json("ids", ids(second)).of_version(2),
        Case::json("ids", ids(third)).of_version(3),
    ]
}
