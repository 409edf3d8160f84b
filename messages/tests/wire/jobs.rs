//! Jobs, what workers say of them and what they are told: MessagePack by field name. Progress and dead letters: JSON.

use messages::artifact::{ArtifactKey, Content, Digest, Made, MediaType};
use messages::catalogue::{Catalogue, Energy, ModelKind};
use messages::chunk::{ChunkWork, RenderChunk, StitchChunk, StitchFilm};
use messages::import::{ImportClip, ImportMusic, ImportPicture, ImportWork};
use messages::job::{
    Claim, ClaimReply, DeadLetter, Done, Failed, FailureKind, Job, NotWanted, Progress, Recorded, Report, Returned,
    Stop, Submitted, Work,
};
use messages::planner::PlanSpec;
use messages::refine::{ComposeMusic, MakeThumbnail, MixFilm, MusicSection, RefineWork};
use messages::spec::AspectRatio;
use messages::storyboard::DrawBeat;
use messages::subject::Partition;

use crate::frozen::Case;
use crate::parts::{
    audio, beat, catalogue, free_model, job, made, metadata, model, nonce, object, planned_chunk, product, spec, spent,
    style, time, transition, usd, user, video,
};

every_variant!(every_work_is_here, service_name, Work, {
    Work::Plan(_) => "plan",
    Work::Draw(_) => "draw",
    Work::Chunk(_) => "chunk",
    Work::Refine(_) => "refine",
    Work::Import(_) => "import",
});

every_variant!(every_chunk_work_is_here, chunk_work_name, ChunkWork, {
    ChunkWork::Render(_) => "render",
    ChunkWork::Stitch(_) => "stitch",
});

every_variant!(every_refine_work_is_here, refine_work_name, RefineWork, {
    RefineWork::Compose(_) => "compose",
    RefineWork::Mix(_) => "mix",
    RefineWork::Thumbnail(_) => "thumbnail",
});

every_variant!(every_import_work_is_here, import_work_name, ImportWork, {
    ImportWork::Picture(_) => "picture",
    ImportWork::Clip(_) => "clip",
    ImportWork::Music(_) => "music",
});

every_variant!(every_failure_is_here, failure_name, FailureKind, {
    FailureKind::RetryLater => "retry_later",
    FailureKind::GiveUp => "give_up",
    FailureKind::Cancelled => "cancelled",
    FailureKind::Crashed => "crashed",
    FailureKind::NeedsUpgrade => "needs_upgrade",
});

every_variant!(every_claim_reply_is_here, claim_reply_name, ClaimReply, {
    ClaimReply::Granted => "granted",
    ClaimReply::Attach { .. } => "attach",
    ClaimReply::Held => "held",
    ClaimReply::Refused(_) => "refused",
});

every_variant!(every_recorded_is_here, recorded_name, Recorded, {
    Recorded::Recorded => "recorded",
    Recorded::NotWanted(_) => "not_wanted",
});

every_variant!(every_reason_is_here, reason_name, NotWanted, {
    NotWanted::UnknownVideo => "unknown_video",
    NotWanted::UnknownJob => "unknown_job",
    NotWanted::Cancelled => "cancelled",
    NotWanted::Superseded => "superseded",
    NotWanted::OverBudget => "over_budget",
});

/// One job of every kind of work.
pub fn jobs() -> Vec<Case> {
    let work = every_work();
    every_work_is_here(&work);
    let (mut chunk_work, mut refine_work, mut import_work) = (Vec::new(), Vec::new(), Vec::new());
    let cases = work
        .into_iter()
        .map(|work| {
            let (name, key) = match &work {
                Work::Plan(_) => ("plan".to_owned(), ArtifactKey::Spec),
                Work::Draw(_) => ("draw".to_owned(), ArtifactKey::Beat(1)),
                Work::Chunk(work) => {
                    chunk_work.push(work.as_ref().clone());
                    (format!("chunk_{}", chunk_work_name(work)), ArtifactKey::Chunk(1))
                }
                Work::Refine(work) => {
                    refine_work.push(work.as_ref().clone());
                    (format!("refine_{}", refine_work_name(work)), ArtifactKey::Background)
                }
                Work::Import(work) => {
                    import_work.push(work.as_ref().clone());
                    (format!("import_{}", import_work_name(work)), ArtifactKey::Chunk(1))
                }
            };
            Case::packed(&format!("job_{name}"), order(key, work))
        })
        .collect();
    every_chunk_work_is_here(&chunk_work);
    every_refine_work_is_here(&refine_work);
    every_import_work_is_here(&import_work);
    cases
}

/// What workers say.
pub fn reports() -> Vec<Case> {
    let chunk = ArtifactKey::Chunk(1);
    let mut spec_made = made(ArtifactKey::Spec, MediaType::Json);
    spec_made.content = Content::Spec(Box::new(spec()));
    let claim = Claim { nonce: nonce(), input: Digest::of(b"a request"), price: usd(280_000) };
    let submitted = Submitted { nonce: nonce(), provider_job: "prediction-17".into() };
    let last_frame = Made { metadata: metadata(), ..made(ArtifactKey::ChunkLastFrame(1), MediaType::Png) };
    let done = Done { made: vec![made(chunk, MediaType::Mp4), last_frame, spec_made], spent: vec![spent()] };
    let kinds = [
        FailureKind::RetryLater,
        FailureKind::GiveUp,
        FailureKind::Cancelled,
        FailureKind::Crashed,
        FailureKind::NeedsUpgrade,
    ];
    every_failure_is_here(&kinds);
    let mut cases = vec![
        Case::packed("report_claim", report(claim)),
        Case::packed("report_submitted", report(submitted)),
        Case::packed("report_done", report(done)),
        Case::packed("report_returned", report(Returned {})),
    ];
    cases.extend(kinds.map(|kind| {
        let retry_after_s = (kind == FailureKind::RetryLater).then_some(30);
        let failed = Failed { kind, reason: "the provider is busy".into(), retry_after_s };
        Case::packed(&format!("report_failed_{}", failure_name(&kind)), report(failed))
    }));
    cases
}

/// What the coordinator answers, and its hint to stop.
pub fn replies() -> Vec<Case> {
    let claims = [
        ClaimReply::Granted,
        ClaimReply::Attach { provider_job: "prediction-17".into() },
        ClaimReply::Held,
        ClaimReply::Refused(NotWanted::OverBudget),
    ];
    every_claim_reply_is_here(&claims);
    let reasons = [
        NotWanted::UnknownVideo,
        NotWanted::UnknownJob,
        NotWanted::Cancelled,
        NotWanted::Superseded,
        NotWanted::OverBudget,
    ];
    every_reason_is_here(&reasons);
    every_recorded_is_here(&[Recorded::Recorded, Recorded::NotWanted(NotWanted::Cancelled)]);

    let mut cases: Vec<_> = claims
        .into_iter()
        .map(|reply| Case::packed(&format!("reply_claim_{}", claim_reply_name(&reply)), reply))
        .collect();
    cases.push(Case::packed("reply_recorded", Recorded::Recorded));
    cases.extend(reasons.map(|reason| {
        let name = format!("reply_not_wanted_{}", reason_name(&reason));
        Case::packed(&name, Recorded::NotWanted(reason))
    }));
    cases.push(Case::packed("stop", Stop { job: job(ArtifactKey::ChunkLastFrame(1)) }));
    cases
}

/// What people may watch of a job, and what they find where it could not be handled.
pub fn notices() -> Vec<Case> {
    let progress = Progress {
        kind: "progress".into(),
        job: job(ArtifactKey::Chunk(1)),
        attempt: 3,
        worker: "host-0195f0a0".into(),
        fraction: 0.125,
        time: time(7),
    };
    let letter = DeadLetter {
        subject: "job.chunk.ada.vid-1.cp-1".into(),
        reason: "not a readable Job".into(),
        deliveries: 4,
        time: time(8),
        payload: "3q2+7w==".into(),
    };
    vec![Case::json("progress", progress), Case::json("dead_letter", letter)]
}

/// A job as it is queued.
pub fn order(key: ArtifactKey, work: Work) -> Job {
    Job {
        id: job(key),
        attempt: 3,
        send: 2,
        user: user(),
        video: video(),
        partition: Partition::of(video()),
        prefix: "ada/videos/vid-1/main/cp-1/".into(),
        deadline_s: 1800,
        price: usd(280_000),
        trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok(),
        planned_at: None,
        work,
    }
}

/// What is said with the trace that it belongs to, and with the time since when it waits.
pub fn traced() -> Vec<Case> {
    let film = object(ArtifactKey::Stitched, MediaType::Mp4);
    let work = Work::Refine(Box::new(RefineWork::Thumbnail(MakeThumbnail { film, duration_s: 15.0 })));
    let job = Job { planned_at: Some(time(7)), ..order(ArtifactKey::Thumbnail, work) };
    let report = Report { trace: job.trace, ..report(Returned {}) };
    vec![Case::packed("job_planned_at", job).of_version(2), Case::packed("report_traced", report).of_version(2)]
}

/// A mix that is asked for the film's thumbnail too.
pub fn mixes_with_thumbnail() -> Vec<Case> {
    let film = object(ArtifactKey::Stitched, MediaType::Mp4);
    let mix = MixFilm { film, music: None, audio: audio(), duration_s: 15.0, thumbnail: true };
    let job = order(ArtifactKey::Final, Work::Refine(Box::new(RefineWork::Mix(mix))));
    vec![Case::packed("job_refine_mix", job).of_version(2)]
}

/// A worker's report.
pub fn report<T>(outcome: T) -> Report<T> {
    let job = job(ArtifactKey::Chunk(1));
    Report { user: user(), video: video(), job, attempt: 3, worker: "host-0195f0a0".into(), trace: None, outcome }
}

fn every_work() -> Vec<Work> {
    let film = object(ArtifactKey::Stitched, MediaType::Mp4);
    let size = AspectRatio::Feed.size();
    let plan = PlanSpec {
        prompt: "An ad for a mechanical watch".into(),
        title: Some("Patience".into()),
        description: Some("For people who wait".into()),
        duration: Some(15),
        aspect_ratio: Some(AspectRatio::Feed),
        template: Some("luxury_showcase".into()),
        creativity: 0.25,
        notes: vec!["warmer".into(), "slower".into()],
        seed: 9_007_199_254_740_991,
        model: free_model("rules", ModelKind::Language),
        video_model: model(),
        library: Catalogue { models: Vec::new(), ..catalogue() },
    };
    let draw = DrawBeat {
        beat_index: 1,
        beat_count: 2,
        beat: beat(),
        style: style(),
        product: product(),
        size,
        seed: 11,
        model: free_model("painter", ModelKind::Image),
    };
    let render = RenderChunk {
        chunk: planned_chunk(),
        beat: beat(),
        style: style(),
        start_image: object(ArtifactKey::ChunkLastFrame(0), MediaType::Png),
        size,
        fps: 30,
        seed: 12,
        model: model(),
    };
    let joined = StitchChunk { beat_index: 0, duration_s: 6.0, object: object(ArtifactKey::Chunk(0), MediaType::Mp4) };
    let stitch = StitchFilm { chunks: vec![joined], transitions: vec![transition()], size, fps: 30, duration_s: 15.0 };
    let compose = ComposeMusic {
        audio: audio(),
        duration_s: 15.0,
        sections: vec![MusicSection { start_s: 10.0, energy: Energy::Low }],
        seed: 13,
        model: free_model("band", ModelKind::Music),
    };
    let music = Some(object(ArtifactKey::Background, MediaType::Mp3));
    let mix = MixFilm { film: film.clone(), music, audio: audio(), duration_s: 15.0, thumbnail: false };
    vec![
        Work::Plan(Box::new(plan)),
        Work::Draw(Box::new(draw)),
        Work::Chunk(Box::new(ChunkWork::Render(render))),
        Work::Chunk(Box::new(ChunkWork::Stitch(stitch))),
        Work::Refine(Box::new(RefineWork::Compose(compose))),
        Work::Refine(Box::new(RefineWork::Mix(mix))),
        Work::Refine(Box::new(RefineWork::Thumbnail(MakeThumbnail { film, duration_s: 15.0 }))),
        Work::Import(Box::new(ImportWork::Picture(ImportPicture {
            upload: object(ArtifactKey::Beat(1), MediaType::Webp),
            beat_index: 1,
            size,
        }))),
        Work::Import(Box::new(ImportWork::Clip(ImportClip {
            upload: object(ArtifactKey::Chunk(1), MediaType::QuickTime),
            chunk: planned_chunk(),
            size,
            fps: 30,
        }))),
        Work::Import(Box::new(ImportWork::Music(ImportMusic {
            upload: object(ArtifactKey::Background, MediaType::Ogg),
            duration_s: 15.0,
        }))),
    ]
}
