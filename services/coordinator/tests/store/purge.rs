//! What every database must do about what goes: the ledger, deleted videos, what was abandoned.

use coordinator::store::{Append, Appended, Published, Purgeable, Store, Tombstone, VideoRow};
use coordinator::video::Video;
use messages::artifact::ArtifactKey;
use messages::command::Via;
use messages::event::Event;
use messages::id::{BranchName, VideoId};
use messages::money::Usd;
use messages::phase::Phase;
use messages::query::{LedgerRow, ListVideos};
use messages::subject::Partition;

use crate::conformance::commit;
use crate::parts;
use crate::samples::{append, artifact_id, at, created, job, job_id, jobs, made, outcome, row, seqs, video};

fn spent(video: VideoId, attempt: u32, micros: u64) -> LedgerRow {
    LedgerRow {
        branch: BranchName::main(),
        phase: Phase::Storyboard,
        job: job_id(video, 2),
        attempt,
        artifact_key: ArtifactKey::Beat(0),
        model: "painter".into(),
        unit: "generation".into(),
        quantity: 1.5,
        amount_usd: Usd::from_micros(micros),
        time: at(i64::from(attempt)),
    }
}

fn partition(video: VideoId) -> Vec<Partition> {
    vec![Partition::of(video)]
}

/// A video with a picture, a job at work and an answered command, deleted with its third event at 60.
async fn deleted(store: &dyn Store, id: VideoId) {
    let first = Append { plan: vec![job(id, 1)], outcome: Some(outcome("create", "")), ..created(id) };
    commit(store, first).await;
    commit(store, Append { spent: vec![spent(id, 1, 500_000)], ..made(id, 2) }).await;
    let gone = Event::VideoDeleted { by: parts::user(), how: Via::Http };
    let row = VideoRow { deleted: Some(parts::command_id()), ..row(60) };
    commit(store, Append { row: Some(row), ..append(id, vec![(3, gone)]) }).await;
}

async fn all_left(store: &dyn Store, id: VideoId) {
    store.mark_published(Published { events: vec![(id, 3)], ..Published::default() }).await.expect("it is marked");
}

pub async fn what_was_spent_is_in_the_ledger_and_stays_when_the_video_goes(store: &dyn Store) {
    let (id, other) = (video(1), video(2));
    commit(store, created(other)).await;
    assert_eq!(store.ledger(other).await.expect("it is read"), []);
    let rows = [spent(id, 1, 500_000), spent(id, 1, 1), spent(id, 2, 250_000)];
    commit(store, created(id)).await;
    commit(store, Append { spent: rows[..2].to_vec(), ..made(id, 2) }).await;
    let lost = Append { spent: vec![spent(id, 7, 7)], ..made(id, 2) };
    assert_eq!(store.append(vec![lost.into()]).await.expect("it is answered"), [Appended::Lost]);
    let gone = Event::VideoDeleted { by: parts::user(), how: Via::Http };
    let row = VideoRow { deleted: Some(parts::command_id()), ..row(60) };
    let last = append(id, vec![(3, gone)]);
    commit(store, Append { row: Some(row), spent: rows[2..].to_vec(), ..last }).await;
    assert_eq!(store.ledger(id).await.expect("it is read"), rows);
    all_left(store, id).await;
    store.purge(id, None).await.expect("it is purged");
    assert_eq!(store.ledger(id).await.expect("it is read"), rows);
}

pub async fn a_deleted_video_is_purged_when_its_events_have_left(store: &dyn Store) {
    let id = video(1);
    deleted(store, id).await;
    let due = async |seconds| store.purgeable(partition(id), at(seconds)).await.expect("it is read");
    assert_eq!(due(99).await, [], "its events have not left");
    store.purge(id, None).await.expect("it is answered");
    assert_eq!(seqs(store, id).await, [1, 2, 3], "so that nothing is taken from it");

    all_left(store, id).await;
    assert_eq!(due(59).await, []);
    let purgeable = Purgeable { video: id, user: parts::user(), deleted_at: at(60) };
    assert_eq!(due(60).await, std::slice::from_ref(&purgeable));
    let elsewhere: Vec<_> = Partition::all().filter(|other| *other != Partition::of(id)).collect();
    assert_eq!(store.purgeable(elsewhere, at(99)).await.expect("it is read"), [], "each owner has its own");

    store.purge(id, Some(at(80))).await.expect("it is purged");
    assert_eq!(due(79).await, []);
    assert_eq!(due(80).await, [purgeable]);
    store.purge(id, None).await.expect("it is purged");
    assert_eq!(due(1_000_000).await, []);
}

pub async fn what_is_purged_leaves_a_tombstone_and_nothing_brings_it_back(store: &dyn Store) {
    let (id, other) = (video(1), video(2));
    deleted(store, id).await;
    commit(store, Append { plan: vec![job(other, 1)], ..created(other) }).await;
    commit(store, made(other, 2)).await;
    all_left(store, id).await;
    store.purge(id, Some(at(80))).await.expect("it is purged");

    assert_eq!((seqs(store, id).await.len(), jobs(store, id).await.len()), (0, 0));
    assert_eq!(store.videos_of(&parts::user(), artifact_id(id, 2)).await.expect("it is read"), []);
    let (page, _) = store.videos(&parts::user(), &ListVideos::default()).await.expect("it is read");
    assert_eq!(page.iter().map(|video| video.video_id).collect::<Vec<_>>(), [other]);
    let loaded = store.load(id).await.expect("it loads");
    let tombstone = Tombstone { user: parts::user(), seq: 3, deleted_at: at(60), deleted_by: parts::command_id() };
    assert_eq!(loaded.tombstone, Some(tombstone));
    assert!(
        loaded.outcomes.contains_key(&(parts::user(), outcome("create", "").command_id().clone())),
        "told again for a while"
    );
    let buried = Video::tombstone(id, parts::user(), 3, at(60), parts::command_id());
    assert_eq!(loaded.video(id), Some(buried));

    let again = store.append(vec![created(id).into()]).await.expect("it is answered");
    assert_eq!(again, [Appended::Lost], "its first event is long past");
    assert_eq!(seqs(store, other).await, [1, 2], "its neighbour stays whole");
    assert_eq!((jobs(store, other).await.len(), store.load(other).await.expect("it loads").tombstone), (1, None));
    assert_eq!(store.videos_of(&parts::user(), artifact_id(other, 2)).await.expect("it is read"), [other]);
}

pub async fn the_last_purge_takes_the_outcomes_that_were_told(store: &dyn Store) {
    let id = video(1);
    deleted(store, id).await;
    all_left(store, id).await;
    commit(store, Append { outcome: Some(outcome("late", "")), ..append(id, Vec::new()) }).await;
    let told = vec![(id, parts::user(), outcome("create", "").command_id().clone())];
    store.mark_published(Published { outcomes: told, ..Published::default() }).await.expect("it is marked");
    let known = async || {
        let loaded = store.load(id).await.expect("it loads");
        let mut known: Vec<_> = loaded.outcomes.keys().map(|(_, id)| id.as_str().to_owned()).collect();
        known.sort_unstable();
        known
    };
    store.purge(id, Some(at(80))).await.expect("it is purged");
    assert_eq!(known().await, ["create", "late"]);
    store.purge(id, None).await.expect("it is purged");
    assert_eq!(known().await, ["late"], "its sender waits for it");
    assert!(store.load(id).await.expect("it loads").tombstone.is_some());
}

pub async fn only_deleted_videos_can_be_purged(store: &dyn Store) {
    let id = video(1);
    commit(store, Append { plan: vec![job(id, 1)], ..created(id) }).await;
    store.mark_published(Published { events: vec![(id, 1)], ..Published::default() }).await.expect("it is marked");
    assert_eq!(store.purgeable(partition(id), at(99)).await.expect("it is read"), []);
    store.purge(id, None).await.expect("it is answered");
    store.purge(video(2), None).await.expect("one that never was is gone already");
    assert_eq!((seqs(store, id).await.len(), jobs(store, id).await.len()), (1, 1));
    assert_eq!(store.load(id).await.expect("it loads").tombstone, None);
}

pub async fn forgotten_videos_are_found_until_they_are_collected(store: &dyn Store) {
    let id = video(1);
    let moves = async |seq, forgotten_since| {
        let row = VideoRow { forgotten_since, ..row(seq as i64) };
        commit(store, Append { row: Some(row), ..made(id, seq) }).await;
    };
    let found = async |seconds| store.forgotten(partition(id), at(seconds)).await.expect("it is read");
    commit(store, created(id)).await;
    assert_eq!(found(99).await, []);
    moves(2, Some(at(10))).await;
    assert_eq!((found(9).await, found(10).await), (vec![], vec![id]));
    moves(3, None).await;
    assert_eq!(found(99).await, []);
    moves(4, Some(at(11))).await;
    let gone = Event::VideoDeleted { by: parts::user(), how: Via::Http };
    let row = VideoRow { deleted: Some(parts::command_id()), ..row(60) };
    commit(store, Append { row: Some(row), ..append(id, vec![(5, gone)]) }).await;
    assert_eq!(found(99).await, [], "it goes as a whole");
}

pub async fn garbage_is_there_until_it_is_deleted(store: &dyn Store) {
    let id = video(1);
    let garbage = async || {
        let mut keys = store.garbage(partition(id)).await.expect("it is read");
        keys.sort_unstable();
        keys
    };
    let keys = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    commit(store, created(id)).await;
    commit(store, Append { garbage: keys(&["a/1", "a/2", "a/3"]), ..made(id, 2) }).await;
    let lost = Append { garbage: keys(&["a/4"]), ..made(id, 2) };
    assert_eq!(store.append(vec![lost.into()]).await.expect("it is answered"), [Appended::Lost]);
    commit(store, Append { garbage: keys(&["a/3"]), ..made(id, 3) }).await;
    assert_eq!(garbage().await, ["a/1", "a/2", "a/3"]);
    store.garbage_deleted(keys(&["a/1", "a/3", "never/was"])).await.expect("it is recorded");
    assert_eq!(garbage().await, ["a/2"]);
}
