//! What every database must do: one function each, over any [`Store`].

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use coordinator::store::{Append, Appended, PlannedJob, Position, Published, SentJob, Store, StoreError};
use messages::event::Event;
use messages::id::{UserId, VideoId};
use messages::query::{ListVideos, VideoStatus};
use messages::subject::{PARTITIONS, Partition};

use crate::parts;
use crate::samples::{
    append, artifact_id, at, catalogue, created, job, job_id, jobs, made, naming_artifact_id, outcome, row, seqs, video,
};

/// An empty database that outlives the store that looks into it.
#[async_trait]
pub trait Database: Send + Sync {
    /// Opens it, again or for the first time.
    async fn open(&self) -> Arc<dyn Store>;
}

pub async fn commit(store: &dyn Store, append: Append) {
    let results = store.append(vec![append.into()]).await.expect("it is recorded");
    assert_eq!(results, [Appended::Committed]);
}

pub async fn what_is_appended_is_loaded(store: &dyn Store) {
    let mut first = created(video(1));
    let pinned = Event::CheckpointPinned {
        checkpoint_id: parts::checkpoint(messages::phase::Phase::Planning),
        pinned: true,
        by: parts::user(),
        how: messages::command::Via::Http,
    };
    first.events.extend(append(video(1), vec![(2, pinned)]).events);
    let second = made(video(1), 3);
    commit(store, first.clone()).await;
    commit(store, second.clone()).await;

    let loaded = store.load(video(1)).await.expect("it loads");
    assert_eq!(loaded.journal, [first.events, second.events].concat());
    assert_eq!(loaded.catalogue.as_deref(), Some(catalogue().as_ref()));
    let nobody = store.load(video(2)).await.expect("it loads");
    assert!(nobody.journal.is_empty() && nobody.catalogue.is_none() && nobody.outcomes.is_empty());
}

pub async fn of_two_appends_in_the_same_place_one_is_recorded(store: &dyn Store) {
    commit(store, created(video(1))).await;
    let winner = Append { outcome: Some(outcome("winner", "")), ..made(video(1), 2) };
    let loser = Append {
        plan: vec![job(video(1), 7)],
        ended: vec![job_id(video(1), 8)],
        outcome: Some(outcome("loser", "")),
        ..made(video(1), 2)
    };
    let kept = Append { plan: vec![job(video(1), 8)], ..append(video(1), Vec::new()) };
    commit(store, kept).await;

    let batch = vec![winner.clone().into(), loser.into(), created(video(2)).into()];
    let results = store.append(batch).await.expect("it is recorded");
    assert_eq!(results, [Appended::Committed, Appended::Lost, Appended::Committed]);

    let loaded = store.load(video(1)).await.expect("it loads");
    assert_eq!(loaded.journal[1..], winner.events);
    let outcomes: Vec<_> = loaded.outcomes.keys().map(|(_, id)| id.as_str()).collect();
    assert_eq!(outcomes, ["winner"], "the loser leaves no outcome");
    let planned: Vec<_> = jobs(store, video(1)).await.iter().map(|job| job.id.version).collect();
    assert_eq!(planned, [8], "the loser plans no job and ends none");
    assert_eq!(seqs(store, video(2)).await, [1], "its neighbour is recorded");
}

pub async fn of_many_appends_at_once_one_is_recorded(store: &dyn Store) {
    let create = || store.append(vec![created(video(1)).into()]);
    let results = futures::future::join_all((0..8).map(|_| create())).await;
    let committed = |results: Vec<Result<Vec<Appended>, StoreError>>| {
        let results = results.into_iter().flat_map(|result| result.expect("it is answered"));
        results.filter(|result| *result == Appended::Committed).count()
    };
    assert_eq!(committed(results), 1);
    let next = || store.append(vec![made(video(1), 2).into()]);
    assert_eq!(committed(futures::future::join_all((0..8).map(|_| next())).await), 1);
    assert_eq!(seqs(store, video(1)).await, [1, 2]);
}

pub async fn an_append_after_a_hole_is_lost(store: &dyn Store) {
    commit(store, created(video(1))).await;
    for (video_id, seq) in [(video(1), 3), (video(1), 1), (video(2), 2)] {
        let late = if seq == 1 { created(video_id) } else { made(video_id, seq) };
        let results = store.append(vec![late.into()]).await.expect("it is answered");
        assert_eq!(results, [Appended::Lost], "{video_id} {seq}");
    }
    assert_eq!(seqs(store, video(1)).await, [1]);
    assert_eq!(seqs(store, video(2)).await, [] as [u64; 0]);
}

pub async fn what_changes_nothing_is_lost_too_when_it_was_decided_upon_an_older_journal(store: &dyn Store) {
    let decided = async |id, based_on| {
        let outcome = Some(outcome(&format!("on-{based_on}"), ""));
        let append = Append { based_on: Some(based_on), outcome, ..append(id, Vec::new()) };
        store.append(vec![append.into()]).await.expect("it is answered")[0]
    };
    assert_eq!(decided(video(1), 1).await, Appended::Lost, "there is no such video");
    assert_eq!(decided(video(1), 0).await, Appended::Committed);
    commit(store, created(video(1))).await;
    commit(store, made(video(1), 2)).await;
    for (based_on, expected) in [(0, Appended::Lost), (1, Appended::Lost), (2, Appended::Committed)] {
        assert_eq!(decided(video(1), based_on).await, expected, "{based_on}");
    }
    let loaded = store.load(video(1)).await.expect("it loads");
    let mut outcomes: Vec<_> = loaded.outcomes.keys().map(|(_, id)| id.as_str()).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["on-0", "on-2"], "who lost leaves nothing behind");
}

pub async fn the_first_outcome_of_a_command_stays(store: &dyn Store) {
    commit(store, Append { outcome: Some(outcome("a", "first")), ..created(video(1)) }).await;
    commit(store, Append { outcome: Some(outcome("a", "second")), ..append(video(1), Vec::new()) }).await;
    commit(store, Append { outcome: Some(outcome("a", "elsewhere")), ..created(video(2)) }).await;
    for (video, message) in [(video(1), "first"), (video(2), "elsewhere")] {
        let loaded = store.load(video).await.expect("it loads");
        assert_eq!(loaded.outcomes.into_values().collect::<Vec<_>>(), [outcome("a", message)]);
    }
}

pub async fn one_id_of_two_people_names_two_commands(store: &dyn Store) {
    let (id, eve) = (video(1), "eve".parse::<UserId>().expect("valid"));
    let of_eve = Append { user: eve.clone(), outcome: Some(outcome("a", "in vain")), ..append(id, Vec::new()) };
    commit(store, created(id)).await;
    commit(store, of_eve).await;
    commit(store, Append { outcome: Some(outcome("a", "done")), ..append(id, Vec::new()) }).await;
    let name = |user: &UserId| (user.clone(), "a".parse().expect("valid"));
    let loaded = store.load(id).await.expect("it loads");
    assert_eq!(loaded.outcomes[&name(&eve)], outcome("a", "in vain"));
    assert_eq!(loaded.outcomes[&name(&parts::user())], outcome("a", "done"));

    // Each hears of its own on a subject of its own.
    let told = async || {
        let waiting = store.unpublished(vec![Partition::of(id)]).await.expect("it is read");
        let told = waiting.into_iter().filter(|found| found.video == id && !found.outcomes.is_empty());
        let mut told: Vec<_> = told.map(|found| (found.user, found.outcomes)).collect();
        told.sort_by_key(|(user, _)| *user == eve);
        told
    };
    let ours = (parts::user(), vec![outcome("a", "done")]);
    assert_eq!(told().await, [ours.clone(), (eve.clone(), vec![outcome("a", "in vain")])]);
    let outcomes = vec![(id, eve.clone(), "a".parse().expect("valid"))];
    store.mark_published(Published { outcomes, ..Published::default() }).await.expect("it is marked");
    assert_eq!(told().await, [ours]);
}

pub async fn what_was_asked_in_vain_is_forgotten(store: &dyn Store) {
    for n in 1..=2 {
        commit(store, Append { outcome: Some(outcome("a", "in vain")), ..append(video(n), Vec::new()) }).await;
    }
    commit(store, created(video(2))).await;
    let outcomes = async |n| store.load(video(n)).await.expect("it loads").outcomes.len();
    // Outcomes of these samples are of the ninth second.
    store.forget_commands(at(9)).await.expect("nothing is that old");
    assert_eq!((outcomes(1).await, outcomes(2).await), (1, 1));
    store.forget_commands(at(10)).await.expect("it is forgotten");
    assert_eq!((outcomes(1).await, outcomes(2).await), (0, 1), "a video that came to be keeps its commands");
}

pub async fn the_outcome_of_a_command_about_no_video_is_kept(store: &dyn Store) {
    commit(store, Append { outcome: Some(outcome("a", "in vain")), ..append(video(1), Vec::new()) }).await;
    let loaded = store.load(video(1)).await.expect("it loads");
    assert!(loaded.journal.is_empty());
    assert_eq!(loaded.outcomes.into_values().collect::<Vec<_>>(), [outcome("a", "in vain")]);
}

pub async fn an_owner_alone_says_how_far_a_partition_is_read(store: &dyn Store) {
    let (first, second) = (Partition(3), Partition(9));
    let position =
        Position { stream_created: 1_800_000_000_123_456_789, sequence: u64::from(u32::MAX) + 7, message_time: 42 };
    let of = async |owner: &str, seconds| {
        let leased = store.lease(owner, at(seconds), at(seconds + 6)).await.expect("leased");
        (leased[&first], leased[&second])
    };
    let further = Position { sequence: position.sequence + 1, ..position };
    assert_eq!(of("a", 0).await, (Position::default(), Position::default()));
    // In any order.
    store.mark_read("a", vec![(second, further), (first, position)]).await.expect("it is recorded");
    assert_eq!(of("a", 1).await, (position, further));
    store.mark_read("a", vec![(first, further)]).await.expect("it is recorded");
    assert_eq!(of("a", 2).await, (further, further));

    store.release("a").await.expect("released");
    assert_eq!(of("b", 3).await, (further, further), "the next owner goes on there");

    // Who lost the lease says nothing about where to read on.
    store.mark_read("a", vec![(first, position)]).await.expect("it is answered");
    assert_eq!(of("b", 4).await, (further, further));
}

pub async fn one_append_that_cannot_be_written_takes_its_neighbours_back(store: &dyn Store) {
    commit(store, created(video(1))).await;
    // The second event of the same number cannot be written.
    let mut broken = made(video(1), 2);
    broken.events.extend(made(video(1), 2).events);
    let failed = store.append(vec![created(video(2)).into(), broken.into()]).await;
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
    assert_eq!((seqs(store, video(1)).await, seqs(store, video(2)).await), (vec![1], vec![]));
}

pub async fn what_has_not_left_is_found_until_it_is_marked(store: &dyn Store) {
    let (id, partition) = (video(1), Partition::of(video(1)));
    commit(store, Append { outcome: Some(outcome("a", "")), ..created(id) }).await;
    commit(store, made(id, 2)).await;
    let waiting = async || {
        let mut found = store.unpublished(vec![partition]).await.expect("it is read");
        found.retain(|found| found.video == id);
        assert!(found.len() <= 1, "one entry for a video");
        found.pop()
    };

    let found = waiting().await.expect("nothing has left");
    assert_eq!(found.user, parts::user());
    assert_eq!(found.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(found.outcomes, [outcome("a", "")]);
    let elsewhere = Partition::all().filter(|other| *other != partition).collect();
    assert!(store.unpublished(elsewhere).await.expect("it is read").iter().all(|found| found.video != id));

    let mark = async |events: Vec<_>, outcomes: Vec<_>| {
        store.mark_published(Published { events, outcomes, jobs: Vec::new() }).await.expect("it is marked");
    };
    mark(vec![(id, 1)], vec![]).await;
    let found = waiting().await.expect("something has not left");
    assert_eq!(found.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [2]);
    mark(vec![(id, 2)], vec![(id, parts::user(), "a".parse().expect("valid"))]).await;
    assert!(waiting().await.is_none());
    mark(vec![(id, 1)], vec![]).await;
    assert!(waiting().await.is_none(), "an older mark takes nothing back");

    commit(store, made(id, 3)).await;
    let found = waiting().await.expect("the new one");
    assert_eq!(found.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [3]);
}

pub async fn what_is_unfinished_of_one_video_is_found(store: &dyn Store) {
    let (id, eve) = (video(1), "eve".parse::<UserId>().expect("valid"));
    let first = Append { plan: vec![job(id, 1), job(id, 2)], outcome: Some(outcome("a", "")), ..created(id) };
    commit(store, first).await;
    commit(store, Append { plan: vec![job(video(2), 1)], ..created(video(2)) }).await;
    commit(store, Append { user: eve.clone(), outcome: Some(outcome("b", "")), ..append(id, Vec::new()) }).await;
    let events = vec![(id, 1)];
    store.mark_published(Published { events, ..Published::default() }).await.expect("it is marked");
    commit(store, Append { ended: vec![job_id(id, 1)], ..made(id, 2) }).await;

    let (unpublished, jobs) = store.unfinished(id).await.expect("it is read");
    assert_eq!(jobs, [job(id, 2)]);
    let events = |found: &coordinator::store::Unpublished| found.events.iter().map(|event| event.seq).collect();
    let found: Vec<_> = unpublished
        .iter()
        .map(|found| (found.video, found.user.clone(), events(found), found.outcomes.clone()))
        .collect();
    let ours = parts::user();
    assert_eq!(found[0], (id, ours.clone(), vec![2], vec![]), "events leave before outcomes");
    let mut outcomes = found[1..].to_vec();
    outcomes.sort_by_key(|(_, user, ..)| *user == eve);
    assert_eq!(outcomes, [(id, ours, vec![], vec![outcome("a", "")]), (id, eve, vec![], vec![outcome("b", "")])]);
    let (unpublished, jobs) = store.unfinished(video(9)).await.expect("it is read");
    assert!(unpublished.is_empty() && jobs.is_empty());
}

pub async fn jobs_are_there_from_their_order_to_their_end(store: &dyn Store) {
    let id = video(1);
    commit(store, Append { plan: vec![job(id, 1), job(id, 2)], ..created(id) }).await;
    assert_eq!(jobs(store, id).await, [job(id, 1), job(id, 2)]);
    let elsewhere = Partition::all().filter(|other| *other != Partition::of(id)).collect();
    assert_eq!(store.jobs(elsewhere).await.expect("they are read"), []);

    commit(store, Append { ended: vec![job_id(id, 1)], plan: vec![job(id, 3)], ..made(id, 2) }).await;
    assert_eq!(jobs(store, id).await, [job(id, 2), job(id, 3)]);

    let again = PlannedJob { attempt: 2, interactive: true, body: vec![1].into(), not_before: at(99), ..job(id, 2) };
    commit(store, Append { plan: vec![again.clone()], ..made(id, 3) }).await;
    assert_eq!(jobs(store, id).await, [again, job(id, 3)], "the same job is replaced");

    // A job that ends and is ordered again in one decision is ordered.
    commit(store, Append { ended: vec![job_id(id, 3)], plan: vec![job(id, 3)], ..made(id, 4) }).await;
    assert_eq!(jobs(store, id).await.len(), 2);
}

pub async fn how_often_a_job_was_sent_is_kept_until_its_next_attempt(store: &dyn Store) {
    let id = video(1);
    commit(store, Append { plan: vec![job(id, 1)], ..created(id) }).await;
    let sent = async |times| {
        let job = |version, sends| SentJob { video: id, id: job_id(id, version), attempt: 1, sends };
        let jobs = vec![job(1, times), job(9, 1)];
        store.mark_published(Published { jobs, ..Published::default() }).await.expect("it is marked");
    };
    for times in [1, 2] {
        sent(times).await;
        assert_eq!(jobs(store, id).await[0].sends, times);
    }
    commit(store, Append { plan: vec![PlannedJob { attempt: 2, ..job(id, 1) }], ..made(id, 2) }).await;
    let now = jobs(store, id).await.remove(0);
    assert_eq!((now.attempt, now.sends), (2, 0), "a new attempt was never sent");
    sent(3).await;
    assert_eq!(jobs(store, id).await[0].sends, 0, "late word of the one before says nothing about it");
}

async fn lease(store: &dyn Store, owner: &str, seconds: i64) -> HashSet<Partition> {
    let leased = store.lease(owner, at(seconds), at(seconds + 6)).await.expect("it is leased");
    leased.into_keys().collect()
}

pub async fn one_replica_owns_every_partition(store: &dyn Store) {
    assert_eq!(lease(store, "a", 0).await, Partition::all().collect());
    assert_eq!(lease(store, "a", 2).await.len(), usize::from(PARTITIONS), "also after a renewal");
    assert_eq!(lease(store, "a", 60).await.len(), usize::from(PARTITIONS), "also after a long silence");
}

pub async fn replicas_come_to_share_evenly(store: &dyn Store) {
    lease(store, "a", 0).await;
    assert_eq!(lease(store, "b", 1).await, HashSet::new(), "nothing is taken from a living one");
    let a = lease(store, "a", 2).await;
    let b = lease(store, "b", 3).await;
    assert_eq!((a.len(), b.len()), (16, 16));
    assert!(a.is_disjoint(&b));
    assert_eq!((lease(store, "a", 4).await, lease(store, "b", 5).await), (a, b), "and there it rests");

    lease(store, "c", 5).await;
    let (a, b, c) = (lease(store, "a", 6).await, lease(store, "b", 7).await, lease(store, "c", 7).await);
    let mut shares = [a.len(), b.len(), c.len()];
    shares.sort_unstable();
    assert_eq!(shares, [10, 11, 11]);
    assert_eq!(a.union(&b).chain(&c).collect::<HashSet<_>>().len(), usize::from(PARTITIONS));
}

pub async fn a_silent_replica_is_replaced_when_its_leases_ran_out(store: &dyn Store) {
    lease(store, "a", 0).await;
    lease(store, "b", 1).await;
    lease(store, "a", 2).await;
    assert_eq!(lease(store, "b", 3).await.len(), 16);
    // a is not heard of again; its leases last until 8.
    assert_eq!(lease(store, "b", 7).await.len(), 16, "not before its leases ran out");
    assert_eq!(lease(store, "b", 9).await.len(), usize::from(PARTITIONS));
    assert_eq!(lease(store, "a", 10).await, HashSet::new(), "and it takes nothing back by force");
    lease(store, "b", 11).await;
    assert_eq!(lease(store, "a", 12).await.len(), 16);
}

pub async fn what_is_released_is_free_at_once(store: &dyn Store) {
    lease(store, "a", 0).await;
    store.release("a").await.expect("it is released");
    assert_eq!(lease(store, "b", 0).await.len(), usize::from(PARTITIONS));
    store.release("nobody").await.expect("releasing nothing is fine");
    assert_eq!(lease(store, "b", 1).await.len(), usize::from(PARTITIONS));
}

pub async fn what_dead_owners_left_is_free_at_once_for_whoever_is_alone(store: &dyn Store) {
    lease(store, "killed", 0).await;
    store.release_all().await.expect("it is released");
    assert_eq!(lease(store, "next", 1).await.len(), usize::from(PARTITIONS), "all of it, and nobody to share with");
}

/// Five videos of one user, two of them as old as each other, and one of another user.
async fn fill_lists(store: &dyn Store) {
    let other: UserId = "bob".parse().expect("valid");
    let born = [(1, 10), (2, 20), (3, 20), (4, 30), (5, 40)];
    for (n, seconds) in born {
        let status = if n % 2 == 0 { VideoStatus::Complete } else { VideoStatus::Validating };
        let row = coordinator::store::VideoRow { created_at: at(seconds), status, ..row(seconds) };
        commit(store, Append { row: Some(row), ..created(video(n)) }).await;
    }
    commit(store, Append { user: other, ..created(video(6)) }).await;
}

async fn pages(store: &dyn Store, status: Option<VideoStatus>, limit: u32) -> Vec<Vec<u128>> {
    let (mut pages, mut cursor) = (Vec::new(), None);
    loop {
        let ask = ListVideos { status, limit: Some(limit), cursor };
        let (page, next) = store.videos(&parts::user(), &ask).await.expect("it is read");
        let number = |id| (1..10).find(|n| video(*n) == id).expect("one of ours");
        pages.push(page.iter().map(|video| number(video.video_id)).collect());
        cursor = next;
        if cursor.is_none() {
            return pages;
        }
    }
}

pub async fn videos_are_listed_newest_first_page_by_page(store: &dyn Store) {
    assert_eq!(pages(store, None, 20).await, [[0; 0]], "an empty list is one page");
    fill_lists(store).await;
    assert_eq!(pages(store, None, 20).await, [[5, 4, 3, 2, 1]]);
    assert_eq!(pages(store, None, 2).await, [vec![5, 4], vec![3, 2], vec![1]]);
    assert_eq!(pages(store, None, 3).await, [vec![5, 4, 3], vec![2, 1]], "also between two of the same age");
    assert_eq!(pages(store, None, 5).await, [[5, 4, 3, 2, 1]], "no empty page at the end");
    assert_eq!(pages(store, Some(VideoStatus::Complete), 1).await, [[4], [2]]);
    assert_eq!(pages(store, Some(VideoStatus::Failed), 1).await, [[0; 0]]);

    let ask = ListVideos { limit: Some(1), ..ListVideos::default() };
    let (page, _) = store.videos(&parts::user(), &ask).await.expect("it is read");
    let newest = &page[0];
    assert_eq!((newest.created_at, newest.updated_at), (at(40), at(40)));
    assert_eq!((newest.progress, newest.title.as_deref()), (12.5, Some("Patience")));
    for cursor in ["", "x", "1_", "_", "99999999999999999999_vid-1", "';", "1_\0"] {
        let ask = ListVideos { cursor: Some(cursor.to_owned()), ..ListVideos::default() };
        store.videos(&parts::user(), &ask).await.expect("a cursor of somebody's own making breaks nothing");
    }
}

pub async fn a_moved_video_is_listed_as_it_is_now(store: &dyn Store) {
    commit(store, created(video(1))).await;
    let now = coordinator::store::VideoRow { status: VideoStatus::Complete, progress: 100.0, title: None, ..row(50) };
    commit(store, Append { row: Some(now), ..made(video(1), 2) }).await;
    let (page, next) = store.videos(&parts::user(), &ListVideos::default()).await.expect("it is read");
    assert_eq!(next, None);
    assert_eq!((page[0].status, page[0].progress, &page[0].title), (VideoStatus::Complete, 100.0, &None));
    assert_eq!((page[0].created_at, page[0].updated_at), (at(0), at(50)));
    assert_eq!(pages(store, Some(VideoStatus::Validating), 9).await, [[0; 0]]);
}

pub async fn a_deleted_video_is_in_no_list_and_keeps_its_journal(store: &dyn Store) {
    fill_lists(store).await;
    let gone = Event::VideoDeleted { by: parts::user(), how: messages::command::Via::Http };
    let row = coordinator::store::VideoRow { deleted: Some(parts::command_id()), ..row(60) };
    commit(store, Append { row: Some(row), ..append(video(3), vec![(2, gone)]) }).await;
    assert_eq!(pages(store, None, 2).await, [vec![5, 4], vec![2, 1]]);
    assert_eq!(seqs(store, video(3)).await, [1, 2]);
}

pub async fn an_artifact_leads_to_its_video(store: &dyn Store) {
    commit(store, created(video(1))).await;
    commit(store, made(video(1), 2)).await;
    let edited = Event::SpecEdited {
        checkpoint_id: parts::checkpoint(messages::phase::Phase::Planning),
        artifact: parts::artifact(
            messages::artifact::ArtifactKey::Spec,
            messages::artifact::Content::Spec(Box::new(parts::spec())),
        ),
        warnings: Vec::new(),
        by: parts::user(),
        how: messages::command::Via::Http,
    };
    commit(store, append(video(1), vec![(3, edited)])).await;
    let of = async |id| store.videos_of(&parts::user(), id).await.expect("it is read");
    assert_eq!(of(artifact_id(video(1), 2)).await, [video(1)]);
    assert_eq!(of(parts::artifact_id(messages::artifact::ArtifactKey::Spec, 2)).await, [video(1)]);
    assert_eq!(of(artifact_id(video(2), 2)).await, []);
}

pub async fn an_artifact_that_names_its_video_needs_no_table(store: &dyn Store) {
    // The first two begin alike, as if they had been asked for at the same time.
    let later = VideoId::from_uuid(uuid::Uuid::from_u128(0x0195_f0a0_1112_7000_8000_0000_0000_0001));
    for id in [video(1), video(2), later] {
        commit(store, created(id)).await;
    }
    let of = async |user: &UserId, id| {
        let mut videos = store.videos_of(user, id).await.expect("it is read");
        videos.sort();
        videos
    };
    assert_eq!(of(&parts::user(), naming_artifact_id(video(1), 2)).await, [video(1), video(2)]);
    assert_eq!(of(&parts::user(), naming_artifact_id(later, 2)).await, [later]);
    assert_eq!(of(&UserId::local(), naming_artifact_id(later, 2)).await, [], "somebody else's");
}

pub async fn a_restart_keeps_everything(database: &dyn Database) {
    let (id, partition) = (video(1), Partition::of(video(1)));
    let position = Position { stream_created: 7, sequence: 8, message_time: 9 };
    let store = database.open().await;
    lease(store.as_ref(), "a", 0).await;
    let first = Append { plan: vec![job(id, 1)], outcome: Some(outcome("a", "")), ..created(id) };
    commit(store.as_ref(), first.clone()).await;
    store.mark_read("a", vec![(partition, position)]).await.expect("it is recorded");
    let sent = SentJob { video: id, id: job_id(id, 1), attempt: 1, sends: 3 };
    let jobs_sent = Published { jobs: vec![sent], ..Published::default() };
    store.mark_published(jobs_sent).await.expect("it is marked");
    let before = store.load(id).await.expect("it loads");
    drop(store);

    let store = database.open().await;
    let after = store.load(id).await.expect("it loads");
    assert_eq!((&after.journal, &after.outcomes), (&before.journal, &before.outcomes));
    assert_eq!(after.catalogue, before.catalogue);
    assert_eq!(jobs(store.as_ref(), id).await, [PlannedJob { sends: 3, ..job(id, 1) }]);
    assert_eq!(store.unpublished(vec![partition]).await.expect("it is read").len(), 1);
    let leased = store.lease("a", at(1), at(7)).await.expect("it is leased");
    assert_eq!((leased.len(), leased[&partition]), (usize::from(PARTITIONS), position));
}

/// A caller that goes away in the middle of an append must not take the connection with it (trap T1).
pub async fn an_abandoned_append_holds_nothing_up(database: &dyn Database) {
    let store = database.open().await;
    let mut abandoned = Vec::new();
    for n in 0..60_u128 {
        let task = tokio::spawn({
            let store = store.clone();
            async move { store.append(vec![created(video(n)).into()]).await }
        });
        // Some are dropped before their first step, some while they wait, some while they write.
        for _ in 0..n % 20 {
            tokio::task::yield_now().await;
        }
        if n % 3 == 0 {
            tokio::time::sleep(std::time::Duration::from_micros(n as u64 * 20)).await;
        }
        task.abort();
        abandoned.push(task);
    }
    for task in abandoned {
        let _ = task.await;
    }
    for n in 100..110 {
        commit(store.as_ref(), created(video(n))).await;
    }
    drop(store);
    let store = database.open().await;
    for n in 100..110 {
        assert_eq!(seqs(store.as_ref(), video(n)).await, [1], "what was answered is there");
    }
    for n in 0..60 {
        // Abandoned ones are recorded whole or not at all.
        let loaded = store.load(video(n)).await.expect("it loads");
        assert!(loaded.journal.len() <= 1);
        let results = store.append(vec![created(video(n)).into()]).await.expect("it is answered");
        let expected = if loaded.journal.is_empty() { Appended::Committed } else { Appended::Lost };
        assert_eq!(results, [expected]);
    }
}
