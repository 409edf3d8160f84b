//! Who is next, told step by step.

use chrono::TimeDelta;
use messages::artifact::ArtifactKey;
use messages::id::{BranchName, CheckpointId};
use messages::phase::Phase;
use uuid::Uuid;

use super::*;

const WIDE: Quotas = Quotas { video: 100, user: 100, service: 100 };

fn at(milliseconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::milliseconds(milliseconds)
}

/// The n-th chunk of a user's video.
fn chunk(user: &str, video: u128, n: u32) -> PlannedJob {
    let video = VideoId::from_uuid(Uuid::from_u128(video));
    let checkpoint = CheckpointId::derived(video, &BranchName::main(), Phase::Chunks, 1);
    PlannedJob {
        id: JobId { checkpoint, artifact: ArtifactKey::Chunk(n), version: 1 },
        video,
        user: user.parse().expect("a user"),
        service: Service::Chunk,
        attempt: 1,
        sends: 0,
        interactive: false,
        not_before: at(0),
        body: Bytes::new(),
    }
}

/// The same, ordered by somebody who waits for it.
fn ordered(user: &str, video: u128, n: u32) -> PlannedJob {
    PlannedJob { interactive: true, ..chunk(user, video, n) }
}

/// Sends what may be sent, and says what that was.
fn send(lines: &mut Lines, now: DateTime<Utc>) -> Vec<JobId> {
    let picked = lines.pick(now);
    lines.sent(&picked, now);
    picked
}

/// Sends until nothing more may be sent, each job being begun as soon as it is sent.
fn send_and_begin(lines: &mut Lines, now: DateTime<Utc>) -> Vec<JobId> {
    let mut all = Vec::new();
    loop {
        let sent = send(lines, now);
        if sent.is_empty() {
            return all;
        }
        sent.iter().for_each(|id| lines.alive(*id, now));
        all.extend(sent);
    }
}

#[test]
fn a_queue_that_nobody_takes_from_is_short() {
    let mut lines = Lines::new(Quotas { video: 1000, user: 1000, service: 1000 });
    (0..200).for_each(|n| lines.plan(chunk("a", 1, n), at(0)));
    let sent = send(&mut lines, at(0));
    assert_eq!(sent.len(), QUEUE);
    assert_eq!(send(&mut lines, at(0)), []);
    lines.alive(sent[0], at(5));
    assert_eq!(send(&mut lines, at(5)).len(), 1, "a worker has begun one");
}

#[test]
fn a_queue_that_is_taken_from_fast_holds_what_is_taken_in_a_tenth_of_a_second() {
    let mut lines = Lines::new(Quotas { video: 1000, user: 1000, service: 1000 });
    (0..1000).for_each(|video| lines.plan(chunk("a", video, 0), at(0)));
    let mut sent = Vec::new();
    for round in 0..4 {
        let now = send(&mut lines, at(10 * round));
        sent.push(now.len());
        now.iter().for_each(|id| lines.done(*id, at(10 * round + 5)));
    }
    assert_eq!(sent, [QUEUE, QUEUE, 2 * QUEUE, 4 * QUEUE], "it doubles as long as everything is taken");
    assert_eq!(send(&mut lines, at(1000)).len(), QUEUE, "and forgets what was long ago");
}

#[test]
fn nobody_has_more_under_way_than_the_quotas_allow() {
    for (quotas, sent) in [
        (Quotas { video: 2, ..WIDE }, 2 + 2 + 2),
        (Quotas { user: 3, ..WIDE }, 3 + 3),
        (Quotas { service: 4, ..WIDE }, 4),
        (WIDE, 15),
    ] {
        let mut lines = Lines::new(quotas);
        for n in 0..5 {
            for (user, video) in [("a", 1), ("a", 2), ("b", 3)] {
                lines.plan(chunk(user, video, n), at(0));
            }
        }
        assert_eq!(send_and_begin(&mut lines, at(0)).len(), sent, "{quotas:?}");
    }
}

#[test]
fn what_ends_makes_room_for_the_next_of_the_same_video() {
    let mut lines = Lines::new(Quotas { video: 1, ..WIDE });
    (0..3).for_each(|n| lines.plan(chunk("a", 1, n), at(0)));
    assert_eq!(send_and_begin(&mut lines, at(0)), [chunk("a", 1, 0).id]);
    lines.done(chunk("a", 1, 0).id, at(1));
    assert_eq!(send_and_begin(&mut lines, at(1)), [chunk("a", 1, 1).id]);
    assert_eq!(lines.counts(), Counts { waiting: 1, sent: 1 });
}

#[test]
fn whoever_has_the_fewest_under_way_is_next() {
    let mut lines = Lines::new(WIDE);
    (0..100).for_each(|video| lines.plan(chunk("many", video, 0), at(0)));
    let first = send(&mut lines, at(0));
    lines.plan(chunk("one", 1000, 0), at(1));
    lines.alive(first[0], at(1));
    assert_eq!(send(&mut lines, at(1)), [chunk("one", 1000, 0).id]);
}

#[test]
fn what_somebody_waits_for_goes_before_what_is_only_queued() {
    let mut lines = Lines::new(WIDE);
    (0..100).for_each(|video| lines.plan(chunk("many", video, 0), at(0)));
    // The only slot works on the first, the others are in the queue or in line.
    let mut queued = send(&mut lines, at(0));
    let running = queued.remove(0);
    lines.alive(running, at(5));
    queued.extend(send(&mut lines, at(5)));

    lines.plan(ordered("other", 1000, 0), at(1_000));

    let in_the_way: Vec<_> = lines.in_the_way(at(1_000)).into_iter().map(|(id, _)| id).collect();
    let sorted = |ids: &[JobId]| ids.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(sorted(&in_the_way), sorted(&queued), "what runs is left alone");
    in_the_way.iter().for_each(|id| lines.call_back(*id, at(1_000)));
    // What was never sent fills the queue again, behind what somebody waits for.
    let sent = send(&mut lines, at(1_000));
    assert_eq!(sent[0], ordered("other", 1000, 0).id);
    assert!(sorted(&sent).is_disjoint(&sorted(&in_the_way)), "they wait for a moment");
    assert!(lines.in_the_way(at(1_001)).is_empty(), "nobody else waits");

    // Half a second later it is their turn again, before their neighbours.
    sent.iter().for_each(|id| lines.done(*id, at(1_500)));
    let next = send(&mut lines, at(1_601));
    assert_eq!(sorted(&next), sorted(&in_the_way));
}

#[test]
fn what_was_sent_before_a_restart_fills_the_queue_and_gives_way_once_no_worker_has_it() {
    let mut lines = Lines::new(Quotas { service: 1000, ..WIDE });
    (0..QUEUE as u128).for_each(|video| lines.plan(PlannedJob { sends: 1, ..chunk("many", video, 0) }, at(0)));
    (100..200).for_each(|video| lines.plan(chunk("many", video, 0), at(0)));
    assert_eq!(send(&mut lines, at(0)), [], "the queue is as full as it was");

    let running = chunk("many", 0, 0).id;
    lines.alive(running, at(4_000));
    assert_eq!(send(&mut lines, at(4_000)).len(), 1, "a worker said that it has one");
    lines.plan(ordered("other", 1000, 0), at(5_000));
    let sent_since = lines.in_the_way(at(5_000)).len();
    assert_eq!(sent_since, 1, "whether a worker has one of the others is not known yet");

    lines.keep(Partition::all().collect());
    let silent = lines.silent(at(11_000), SILENCE);
    silent.iter().for_each(|(id, _)| lines.still_queued(*id, at(11_000)));
    let in_the_way: HashSet<_> = lines.in_the_way(at(11_000)).into_iter().map(|(id, _)| id).collect();
    assert_eq!(in_the_way.len(), QUEUE);
    assert!(!in_the_way.contains(&running));
}

#[test]
fn a_job_of_another_coordinators_video_is_sent_once_and_then_forgotten() {
    let mut lines = Lines::new(WIDE);
    let (ours, other) = (chunk("a", 1, 0), chunk("a", 2, 0));
    lines.keep(HashSet::from([Partition::of(ours.video)]));
    assert_ne!(Partition::of(ours.video), Partition::of(other.video));
    // It was recorded while its partition went to somebody else, who may have looked for its jobs before.
    [&ours, &other].into_iter().for_each(|job| lines.plan(job.clone(), at(0)));
    assert_eq!(send(&mut lines, at(0)).len(), 2);
    let silent: Vec<_> = lines.silent(at(30_000), SILENCE).into_iter().map(|(id, _)| id).collect();
    assert_eq!((silent, lines.counts()), (vec![ours.id], Counts { waiting: 0, sent: 1 }));
}

#[test]
fn what_waits_elsewhere_goes_before_what_is_only_queued_here() {
    let mut lines = Lines::new(WIDE);
    (0..3).for_each(|video| lines.plan(chunk("many", video, 0), at(0)));
    lines.plan(ordered("many", 3, 0), at(0));
    let queued: HashSet<_> = send(&mut lines, at(0)).into_iter().collect();
    lines.waited_for_elsewhere.insert(Service::Storyboard);
    assert_eq!(lines.in_the_way(at(1_000)), [], "they are in nobody's way there");
    lines.waited_for_elsewhere.insert(Service::Chunk);
    let in_the_way: HashSet<_> = lines.in_the_way(at(1_000)).into_iter().map(|(id, _)| id).collect();
    assert_eq!(in_the_way, &queued - &HashSet::from([ordered("many", 3, 0).id]), "somebody waits for that one, too");
    assert_eq!(lines.in_the_way(at(1_001)), [], "once is enough");
}

#[test]
fn what_cannot_go_yet_has_nothing_called_back() {
    let plan = |lines: &mut Lines| {
        (0..3).for_each(|video| lines.plan(chunk("many", video, 0), at(0)));
        send(lines, at(0));
    };
    for quotas in [Quotas { user: 1, ..WIDE }, Quotas { video: 1, ..WIDE }] {
        let mut lines = Lines::new(quotas);
        lines.plan(chunk("other", 9, 0), at(0));
        send_and_begin(&mut lines, at(0));
        plan(&mut lines);
        // All that its user, or its video, may have under way is with a worker.
        lines.plan(ordered("other", 9, 1), at(1_000));
        assert_eq!((lines.waited_for(), lines.in_the_way(at(1_000))), (BTreeSet::new(), Vec::new()), "{quotas:?}");
        lines.done(chunk("other", 9, 0).id, at(2_000));
        assert_eq!(lines.waited_for(), BTreeSet::from([Service::Chunk]), "{quotas:?}");
        assert!(!lines.in_the_way(at(3_000)).is_empty(), "{quotas:?}");
    }
    // What is only queued of the same user makes room itself.
    let mut lines = Lines::new(Quotas { user: 3, ..WIDE });
    plan(&mut lines);
    lines.plan(ordered("many", 9, 0), at(1_000));
    assert_eq!(lines.in_the_way(at(1_000)).len(), 3);
}

#[test]
fn a_job_that_was_called_back_too_late_stays_with_its_worker() {
    let mut lines = Lines::new(WIDE);
    lines.plan(chunk("many", 1, 0), at(0));
    let queued = send(&mut lines, at(0))[0];
    lines.plan(ordered("other", 1000, 0), at(500));
    lines.call_back(queued, at(500));
    // A worker took it in the same moment.
    lines.alive(queued, at(520));
    send(&mut lines, at(520));
    assert_eq!(send(&mut lines, at(2_000)), [], "it is not sent a second time");
    assert_eq!(lines.counts(), Counts { waiting: 0, sent: 2 });
}

#[test]
fn word_of_an_older_attempt_does_not_start_the_next_one_early() {
    let mut lines = Lines::new(WIDE);
    let again = PlannedJob { attempt: 2, not_before: at(2_000), ..chunk("a", 1, 0) };
    lines.plan(again.clone(), at(0));
    lines.alive(again.id, at(10));
    assert_eq!(send(&mut lines, at(1_999)), []);
    assert_eq!(send(&mut lines, at(2_000)), [again.id]);
}

#[test]
fn what_ends_is_forgotten_wherever_it_stood() {
    let mut lines = Lines::new(WIDE);
    (0..3).for_each(|n| lines.plan(chunk("a", 1, n), at(0)));
    lines.plan(PlannedJob { not_before: at(500), ..chunk("a", 1, 3) }, at(0));
    send(&mut lines, at(0));
    (0..4).for_each(|n| lines.end(chunk("a", 1, n).id));
    assert_eq!(lines.counts(), Counts::default());
    assert_eq!(send(&mut lines, at(1_000)), []);
    assert!(lines.under_way_of_user.is_empty() && lines.under_way_of_video.is_empty() && lines.later.is_empty());
}
