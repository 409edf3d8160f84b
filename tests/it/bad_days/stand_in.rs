//! An `ffmpeg` that does what the real one does, until a test holds it up, breaks it or takes it away.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::harness::{FILM, Setup, until};

/// A script in a folder of its own, told what to do by files beside it.
pub struct StandIn {
    folder: TempDir,
}

impl StandIn {
    /// One that works.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("dailies-stand-in-").tempdir().expect("a folder");
        let stand_in = Self { folder };
        stand_in.bring_back();
        stand_in
    }

    /// A system that uses it.
    pub fn setup(&self) -> Setup {
        Setup::default().with("DAILIES_MEDIA__FFMPEG", self.program().display().to_string())
    }

    /// Every run from now on waits before it begins.
    pub fn hold(&self) {
        let _ = std::fs::remove_file(self.file("waits"));
        std::fs::write(self.file("hold"), "").expect("written");
    }

    /// Waits until a run waits.
    pub async fn is_in_use(&self) {
        until("a job runs ffmpeg", FILM, async || self.file("waits").exists().then_some(())).await;
    }

    /// Runs go on.
    pub fn release(&self) {
        std::fs::remove_file(self.file("hold")).expect("it was held");
    }

    /// Every run from now on fails.
    pub fn break_down(&self) {
        std::fs::write(self.file("broken"), "").expect("written");
    }

    /// Runs succeed again.
    pub fn repair(&self) {
        std::fs::remove_file(self.file("broken")).expect("it was broken");
    }

    /// Every run from now on kills the worker that started it.
    pub fn poison(&self) {
        std::fs::write(self.file("poison"), "").expect("written");
    }

    /// The program is not there any more.
    pub fn take_away(&self) {
        std::fs::remove_file(self.program()).expect("it was there");
    }

    /// The program is there again.
    pub fn bring_back(&self) {
        let folder = self.folder.path().display();
        let script = format!(
            "#!/bin/sh\n\
             [ \"$1\" = -version ] && exec ffmpeg -version\n\
             while [ -e '{folder}/hold' ]; do : > '{folder}/waits'; sleep 0.1; done\n\
             [ -e '{folder}/poison' ] && kill -9 $PPID\n\
             if [ -e '{folder}/broken' ]; then echo 'the stand-in is out of order' >&2; exit 1; fi\n\
             exec ffmpeg \"$@\"\n"
        );
        // Under another name first: a program that is being written cannot be run.
        let draft = self.file("draft");
        std::fs::write(&draft, script).expect("written");
        std::fs::set_permissions(&draft, Permissions::from_mode(0o755)).expect("ours");
        std::fs::rename(draft, self.program()).expect("renamed");
    }

    /// Where it is.
    pub fn program(&self) -> PathBuf {
        self.file("ffmpeg")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
