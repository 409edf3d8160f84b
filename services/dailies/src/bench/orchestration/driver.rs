//! The person of the benchmark: asks for videos and approves every checkpoint as soon as it hears of it, over plain NATS.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use messages::id::{CheckpointId, UserId, VideoId};
use messages::phase::Phase;
use messages::subject::{self, VideoSubject};
use runtime::bus::Bus;
use runtime::clock::{Clock as _, SystemClock};
use serde::Deserialize;

use super::super::{BenchError, noop};
use super::served::Shape;

/// How many people ask.
const USERS: u32 = 64;
/// How long nothing may happen until the driver gives up.
const SILENCE: Duration = Duration::from_secs(60);

/// A person at NATS.
pub struct Driver {
    bus: Bus,
    shape: Shape,
    events: futures::stream::SelectAll<async_nats::Subscriber>,
}

/// What is heard of a video.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Whose.
    pub user: UserId,
    /// Which video.
    pub video: VideoId,
    /// What happened.
    pub news: News,
}

/// What matters to the driver.
#[derive(Debug, Clone)]
pub enum News {
    /// A checkpoint waits.
    Waits(CheckpointId, Phase),
    /// An approval was decided.
    Approved,
    /// Its film is there.
    Complete,
}

/// Videos that were completed.
#[derive(Debug, Clone, Copy)]
pub struct Throughput {
    /// How many.
    pub videos: u32,
    /// In how many seconds.
    pub seconds: f64,
}

impl Driver {
    /// Hears what waits, what is done and what goes wrong from now on.
    pub async fn new(bus: Bus, shape: Shape) -> Result<Self, BenchError> {
        let mut events = futures::stream::SelectAll::new();
        for name in
            ["checkpoint_created", "checkpoint_approved", "branch_completed", "phase_failed", "command_rejected"]
        {
            events.push(bus.client().subscribe(subject::event_filter(name)).await.map_err(connection)?);
        }
        bus.client().flush().await.map_err(connection)?;
        Ok(Self { bus, shape, events })
    }

    /// Makes videos, `in_flight` at a time.
    pub async fn make(&mut self, videos: u32, in_flight: u32) -> Result<Throughput, BenchError> {
        let started = Instant::now();
        let (mut asked, mut done) = (0, 0);
        while asked < videos.min(in_flight) {
            self.create(asked).await?;
            asked += 1;
        }
        while done < videos {
            let heard = self.next().await?;
            match heard.news {
                News::Waits(checkpoint, _) => self.approve(&heard, checkpoint).await?,
                News::Approved => {}
                News::Complete => {
                    done += 1;
                    if asked < videos {
                        self.create(asked).await?;
                        asked += 1;
                    }
                }
            }
        }
        Ok(Throughput { videos, seconds: started.elapsed().as_secs_f64() })
    }

    /// Makes videos one after the other, and gives how long each approval took until the next phase's job was in a worker's
    /// hands.
    pub async fn make_one_by_one(&mut self, videos: u32) -> Result<Vec<Duration>, BenchError> {
        let mut received = self.bus.client().subscribe(noop::RECEIVED).await.map_err(connection)?;
        let mut taken = Vec::new();
        for number in 0..videos {
            self.create(number).await?;
            let mut approved_at = None;
            loop {
                tokio::select! {
                    biased;
                    note = received.next() => {
                        let at = note.as_ref().and_then(|note| time_of(&note.payload));
                        if let (Some(at), Some(approved)) = (at, approved_at.take()) {
                            taken.push(at.saturating_sub(approved));
                        }
                    }
                    heard = self.next() => match heard? {
                        Heard { news: News::Complete, .. } => break,
                        Heard { news: News::Approved, .. } => {}
                        heard @ Heard { news: News::Waits(checkpoint, phase), .. } => {
                            // After the last phase no job follows.
                            approved_at = (phase != Phase::Refine).then(now);
                            self.approve(&heard, checkpoint).await?;
                        }
                    },
                }
            }
        }
        Ok(taken)
    }

    /// Brings videos to their first checkpoint and leaves them there.
    pub async fn pause(
        &mut self,
        videos: u32,
        in_flight: u32,
    ) -> Result<HashMap<VideoId, (UserId, CheckpointId)>, BenchError> {
        let (mut asked, mut waiting) = (0, HashMap::new());
        while asked < videos.min(in_flight) {
            self.create(asked).await?;
            asked += 1;
        }
        while waiting.len() < videos as usize {
            let heard = self.next().await?;
            if let News::Waits(checkpoint, _) = heard.news {
                waiting.insert(heard.video, (heard.user, checkpoint));
                if asked < videos {
                    self.create(asked).await?;
                    asked += 1;
                }
            }
        }
        Ok(waiting)
    }

    /// Approves one checkpoint, again and again, until its approval is decided.
    pub async fn approve_until_decided(
        &mut self,
        user: &UserId,
        video: VideoId,
        checkpoint: CheckpointId,
    ) -> Result<(), BenchError> {
        loop {
            let heard = Heard { user: user.clone(), video, news: News::Approved };
            self.approve(&heard, checkpoint).await?;
            match tokio::time::timeout(Duration::from_millis(100), self.next()).await {
                Ok(Ok(Heard { news: News::Approved, video: approved, .. })) if approved == video => return Ok(()),
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    async fn create(&self, number: u32) -> Result<(), BenchError> {
        let video = VideoId::from_uuid(uuid::Uuid::now_v7());
        let user: UserId = format!("bench-{}", number % USERS).parse().map_err(connection)?;
        let body = format!(r#"{{"prompt":"A film about nothing in particular","duration":{}}}"#, self.shape.seconds());
        let body = Bytes::from(body);
        self.bus.client().publish(subject::command(&user, video, "create"), body).await.map_err(connection)
    }

    async fn approve(&self, heard: &Heard, checkpoint: CheckpointId) -> Result<(), BenchError> {
        let to = subject::command(&heard.user, heard.video, "approve");
        let body = format!("{{\"checkpoint_id\":\"{checkpoint}\"}}");
        self.bus.client().publish(to, body.into()).await.map_err(connection)
    }

    async fn next(&mut self) -> Result<Heard, BenchError> {
        #[derive(Deserialize)]
        struct Body {
            checkpoint_id: Option<CheckpointId>,
            phase: Option<Phase>,
        }
        let silent = || BenchError::NoFilm { by: "the cluster", reason: "nothing happens any more".to_owned() };
        loop {
            let message = tokio::time::timeout(SILENCE, self.events.next()).await.map_err(|_| silent())?;
            let message = message.ok_or_else(silent)?;
            let Some(about) = VideoSubject::parse(&message.subject) else { continue };
            let (Ok(user), Ok(video)) = (about.user.parse(), about.video.parse()) else { continue };
            let news = match about.name {
                "branch_completed" => News::Complete,
                "checkpoint_approved" => News::Approved,
                "checkpoint_created" => match serde_json::from_slice::<Body>(&message.payload) {
                    Ok(Body { checkpoint_id: Some(checkpoint), phase: Some(phase) }) => News::Waits(checkpoint, phase),
                    _ => continue,
                },
                _ => {
                    let reason = String::from_utf8_lossy(&message.payload).into_owned();
                    return Err(BenchError::NoFilm { by: "the cluster", reason });
                }
            };
            return Ok(Heard { user, video, news });
        }
    }
}

/// Since 1970, as workers say it: both read one machine's clock.
fn now() -> Duration {
    Duration::from_nanos(SystemClock.now().timestamp_nanos_opt().and_then(|nanos| nanos.try_into().ok()).unwrap_or(0))
}

fn time_of(note: &[u8]) -> Option<Duration> {
    let nanos: u64 = std::str::from_utf8(note).ok()?.rsplit(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

fn connection(error: impl std::fmt::Display) -> BenchError {
    BenchError::NoFilm { by: "the cluster", reason: format!("the NATS connection cannot be used: {error}") }
}
