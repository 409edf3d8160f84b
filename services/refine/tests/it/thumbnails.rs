//! The picture that stands for a film.

use messages::artifact::{ArtifactKey, MediaType};
use messages::job::Work;
use messages::refine::{MakeThumbnail, MixFilm, RefineWork};

use crate::studio::{Studio, audio, object};

#[tokio::test]
async fn a_thumbnail_is_a_lively_frame_of_the_films_size() {
    let studio = Studio::new();
    // Black for three seconds, a picture for two, black again.
    let picture = "testsrc2=size=320x180:rate=30:duration=8,drawbox=color=black:t=fill:enable='lt(t,3)+gt(t,5)'";
    let film = studio.film_of(picture, 8.0, None);
    let made = studio.work(RefineWork::Thumbnail(MakeThumbnail { film, duration_s: 8.0 })).await.expect("a thumbnail");

    assert_eq!(made.key, ArtifactKey::Thumbnail);
    assert_eq!(object(&made).media_type, MediaType::Jpeg);
    let at = made.metadata["at_s"].as_f64().expect("a moment");
    assert!((3.0..=5.0).contains(&at), "the frame at {at} s is black");
    let file = studio.file(&made);
    assert_eq!(studio.probe(&file, "v:0", "stream=codec_name,width,height"), "mjpeg,320,180");
}

#[tokio::test]
async fn a_very_short_film_has_a_thumbnail_too() {
    let studio = Studio::new();
    let film = studio.film(0.2, None);
    let made = studio.work(RefineWork::Thumbnail(MakeThumbnail { film, duration_s: 0.2 })).await;
    assert!(made.is_ok(), "{made:?}");
}

#[tokio::test]
async fn a_mix_brings_the_thumbnail_that_a_job_of_its_own_would_make() {
    let studio = Studio::new();
    let film = studio.film(4.0, None);
    let alone = MakeThumbnail { film: film.clone(), duration_s: 4.0 };
    let alone = studio.work(RefineWork::Thumbnail(alone)).await.expect("a thumbnail");

    let mix = MixFilm { film, music: None, audio: audio(), duration_s: 4.0, thumbnail: true };
    let made = studio.run_all(Work::Refine(Box::new(RefineWork::Mix(mix)))).await.expect("both");
    let keys: Vec<_> = made.iter().map(|made| made.key).collect();
    assert_eq!(keys, [ArtifactKey::Final, ArtifactKey::Thumbnail]);
    assert_eq!(object(&made[1]).sha256, object(&alone).sha256);
    assert_eq!(made[1].metadata, alone.metadata);
}
