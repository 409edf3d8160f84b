//! Leave to spend money: only the coordinator's answer makes it.
//!
//! Invariant: at most one submission per approved intent. A provider is called with a [`Reservation`]; what it answers is
//! on record (in SQL, or in the object store when no coordinator is there) before anybody polls for the result.

use std::time::Duration;

use futures::FutureExt as _;
use messages::artifact::{Digest, MediaType};
use messages::catalogue::LOCAL;
use messages::job::{Claim, ClaimReply, NotWanted, Spent, Submitted};
use messages::money::Usd;
use uuid::Uuid;

use super::Task;
use super::desk::{Desk, Subject};
use crate::artifacts::ObjectMeta;
use crate::job_error::JobError;

/// How long a submission waits for a coordinator before the object store is told as well.
const COORDINATOR: Duration = Duration::from_secs(5);
/// How long a held claim waits before it asks again.
const HELD: Duration = Duration::from_secs(5);

/// Leave to call a paid provider once, or the name under which it was called already. It cannot be made, copied or kept:
/// whoever submits takes it by value.
#[derive(Debug)]
pub struct Reservation {
    provider_job: Option<String>,
}

impl Reservation {
    /// What the provider calls the job that another worker submitted: collect that one, and submit nothing.
    pub fn provider_job(&self) -> Option<&str> {
        self.provider_job.as_deref()
    }
}

impl Task {
    /// Asks for leave to send the request whose SHA-256 is `input`. Waits as long as another worker holds it, and as long
    /// as there is no coordinator.
    pub async fn reserve(&self, input: Digest) -> Result<Reservation, JobError> {
        if self.job.price.micros() == 0 {
            return Err(JobError::give_up("this job may cost nothing, but its model is paid: choose the model again"));
        }
        let Some(desk) = &self.desk else {
            return Err(JobError::give_up("there is no coordinator to reserve money from"));
        };
        let about = Subject::from(self.job.as_ref());
        if let Some(submitted) = self.earlier_submission().await? {
            let provider_job = submitted.provider_job.clone();
            self.or_cancelled(desk.report(&about, submitted)).await?;
            return Ok(Reservation { provider_job: Some(provider_job) });
        }
        self.claim(desk, &about, self.nonce(), input).await
    }

    /// What making this costs where the catalogue prices a built-in generator: claimed before it is made, booked with the
    /// result. Nothing is submitted anywhere, so every worker of an attempt has the same claim, and one that dies over
    /// it leaves no fate unknown.
    pub(super) async fn book_local(&self) -> Result<Vec<Spent>, JobError> {
        let Some((model, seconds)) = self.job.work.generation().filter(|(model, _)| model.provider == LOCAL) else {
            return Ok(Vec::new());
        };
        let (Some((unit, quantity)), Some(desk)) = (model.price.units(seconds), &self.desk) else {
            return Ok(Vec::new());
        };
        if self.job.price == Usd::ZERO {
            return Ok(Vec::new());
        }
        let claimed = format!("{}.{}", self.job.id, self.job.attempt);
        let nonce = Uuid::new_v5(&Uuid::NAMESPACE_OID, claimed.as_bytes());
        self.claim(desk, &Subject::from(self.job.as_ref()), nonce, Digest::of(claimed.as_bytes())).await?;
        let (model, unit) = (model.name.clone(), unit.to_owned());
        Ok(vec![Spent { model, unit, quantity, amount: self.job.price }])
    }

    fn nonce(&self) -> Uuid {
        *self.nonce.get_or_init(Uuid::new_v4)
    }

    async fn claim(&self, desk: &Desk, about: &Subject, nonce: Uuid, input: Digest) -> Result<Reservation, JobError> {
        loop {
            let claim = Claim { nonce, input, price: self.job.price };
            match self.or_cancelled(desk.report(about, claim)).await?.ok_or(JobError::Cancelled)? {
                ClaimReply::Granted => return Ok(Reservation { provider_job: None }),
                ClaimReply::Attach { provider_job } => return Ok(Reservation { provider_job: Some(provider_job) }),
                ClaimReply::Held => self.or_cancelled(desk.clock.sleep(HELD)).await?,
                ClaimReply::Refused(NotWanted::OverBudget) => {
                    return Err(JobError::give_up("the video's budget does not allow this: raise it, then retry"));
                }
                ClaimReply::Refused(
                    NotWanted::UnknownVideo | NotWanted::UnknownJob | NotWanted::Cancelled | NotWanted::Superseded,
                ) => return Err(JobError::Cancelled),
            }
        }
    }

    /// Puts on record what the provider calls the job. Not cut short by a cancel: what may be billed must be known.
    pub async fn submitted(&self, provider_job: &str) -> Result<(), JobError> {
        let Some(desk) = &self.desk else { return Ok(()) };
        let submitted = Submitted { nonce: self.nonce(), provider_job: provider_job.to_owned() };
        let bytes = serde_json::to_vec(&submitted)
            .map_err(|error| JobError::give_up(format!("a submission cannot be written: {error}")))?;
        let about = Subject::from(self.job.as_ref());
        let mut telling = std::pin::pin!(desk.report(&about, submitted).fuse());
        let mut told = tokio::select! {
            reply = &mut telling => Some(reply),
            () = desk.clock.sleep(COORDINATOR) => None,
        };
        loop {
            if told.take().flatten().is_some() {
                return Ok(());
            }
            let meta = ObjectMeta {
                media_type: MediaType::Json,
                sha256: Digest::of(&bytes),
                size: bytes.len() as u64,
                job: self.job.id.to_string(),
            };
            match self.objects.put_once(&self.submission_key(), bytes.clone(), &meta).await {
                Ok(_) => return Ok(()),
                Err(error) => tracing::warn!(error = %error, "a submission is not on record yet"),
            }
            if desk.hurry.is_cancelled() {
                return Err(JobError::retry_later("a submission could not be put on record before the stop"));
            }
            told = tokio::select! {
                reply = &mut telling => Some(reply),
                () = desk.clock.sleep(COORDINATOR) => None,
            };
        }
    }

    /// Each attempt has a file of its own: after a provider failed, the next attempt submits anew.
    fn submission_key(&self) -> String {
        format!("{}{}.{}.submitted.json", self.job.prefix, self.job.id, self.job.attempt)
    }

    async fn earlier_submission(&self) -> Result<Option<Submitted>, JobError> {
        let Some(bytes) = self.objects.get(&self.submission_key()).await? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| JobError::give_up(format!("the record of a submission is not readable: {error}")))
    }

    async fn or_cancelled<T>(&self, waiting: impl Future<Output = T>) -> Result<T, JobError> {
        tokio::select! {
            done = waiting => Ok(done),
            () = self.cancelled.cancelled() => Err(JobError::Cancelled),
        }
    }
}
