//! The object store has no room: the phase fails with the reason, and with more room `retry` finishes the film.

use super::media_tool::{failed, retried};
use super::smallest_film_unattended;
use crate::harness::{Setup, System, text};

#[tokio::test]
async fn without_space_the_phase_fails_with_the_reason_and_a_retry_with_more_space_finishes() {
    // Enough for the plan and not for pictures, chunks and film.
    let mut system = System::start_with(Setup::default().with(QUOTA, "1")).await;
    let video = system.create(&smallest_film_unattended()).await;
    let failed = failed(&system, &video).await;
    let reason = text(&failed["error"]);
    assert!(reason.contains("no space left in the object store"), "{reason}");

    system.stop().await;
    system.setup = Setup::default().with(QUOTA, "100");
    system.up().await;
    retried(&system, &video).await;
    system.wait_for(&video, "complete").await;
}

/// The room for objects, in MiB.
const QUOTA: &str = "DAILIES_STORE__QUOTA_MIB";
