//! Ten thousand random histories: every command and every result in any order, duplicated, reordered, dropped and
//! restarted, with what must always hold checked after each step.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use chrono::TimeDelta;
use messages::artifact::{ArtifactKey, Digest};
use messages::command::{Code, Rejection};
use messages::event::Event;
use messages::id::{ArtifactId, BranchName, CheckpointId, JobId};
use messages::job::FailureKind;
use messages::money::Usd;
use messages::phase::Phase;
use messages::query::Allowed;
use serde_json::{Value, json};

use super::stage::{Stage, priced_catalogue, with_prompt};
use super::{BranchState, CheckpointState, Input, JobState, Video};

const HISTORIES: u64 = 10_000;
const STEPS: u32 = 40;

#[test]
fn whatever_happens_in_whatever_order_the_invariants_hold() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || (first..HISTORIES).step_by(threads as usize).for_each(tell));
        }
    });
}

/// One history from its beginning, checked after every step.
fn tell(seed: u64) {
    let mut history = History::new(seed);
    for _ in 0..STEPS {
        history.step();
        history.check();
    }
    history.check_replay();
}

struct History {
    seed: u64,
    random: u64,
    stage: Stage,
    /// Jobs that workers once had in their hands: they may report them at any later time.
    taken: Vec<JobId>,
    progress: BTreeMap<BranchName, f64>,
    versions: HashSet<ArtifactId>,
    ledger: Usd,
    ordered: HashSet<(JobId, u32)>,
    checked: usize,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut history = Self {
            seed,
            random: seed,
            stage: Stage::with_catalogue(priced_catalogue()),
            taken: Vec::new(),
            progress: BTreeMap::new(),
            versions: HashSet::new(),
            ledger: Usd::ZERO,
            ordered: HashSet::new(),
            checked: 0,
        };
        let auto = history.one_of(&[json!(false), json!(false), json!(true), json!({"until": "chunks"})]);
        let budget = history.one_of(&[Value::Null, json!(3), json!(50)]);
        let duration = history.one_of(&[json!(5), json!(15), json!(30)]);
        let body = json!({"auto_continue": auto, "budget_usd": budget, "duration": duration});
        history.stage.ask("create", with_prompt(body)).expect("a video can be created");
        history
    }

    /// SplitMix64: the same seed tells the same story.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn step(&mut self) {
        self.taken.extend(self.stage.planned());
        match self.below(10) {
            // Workers: mostly they finish what is planned, sometimes they report twice, late or in vain.
            0..=4 => {
                let planned = self.stage.planned();
                let jobs = if self.below(4) == 0 || planned.is_empty() { self.taken.clone() } else { planned };
                if jobs.is_empty() {
                    return;
                }
                let job = self.one_of(&jobs);
                match self.below(15) {
                    12 => drop(self.stage.claim(job, 1)),
                    13 => drop(self.stage.claim(job, 2)),
                    14 => drop(self.stage.submit(job, 1, "pred")),
                    0 => drop(self.stage.fail(job, FailureKind::RetryLater)),
                    1 => drop(self.stage.fail(job, FailureKind::GiveUp)),
                    2 => drop(self.stage.fail_attempt(job, 1, FailureKind::Crashed)),
                    _ => drop(self.stage.finish(job)),
                }
            }
            // A restart: the video is what its journal says.
            5 if self.below(4) == 0 => self.check_replay(),
            // Retention that keeps nothing.
            5 if self.below(3) == 0 => drop(self.stage.put(&Input::Collect { keep_for: Duration::ZERO })),
            _ => self.command(),
        }
    }

    fn command(&mut self) {
        let checkpoints: Vec<_> = self.stage.video().checkpoints.keys().copied().collect();
        let waiting: Vec<_> = checkpoints.iter().copied().filter(|id| self.is_pending(*id)).collect();
        let favoured = if self.below(4) > 0 && !waiting.is_empty() { &waiting } else { &checkpoints };
        let id = self.one_of(favoured);
        let keys: Vec<_> = self.stage.video().checkpoints[&id].selection.keys().copied().collect();
        let key = if keys.is_empty() { ArtifactKey::Spec } else { self.one_of(&keys) };
        let branch = self.one_of(&[json!("same"), json!("main"), json!("dusk"), json!("main-1"), Value::Null]);
        let digest = self
            .one_of(&[Value::Null, json!(self.stage.video().digest(&self.stage.video().checkpoints[&id].selection))]);
        let other = self.one_of(&checkpoints);
        let lighting = format!("light {}", self.below(3));
        let (verb, body) = match self.below(20) {
            0..=5 => (
                "approve",
                json!({"checkpoint_id": id, "branch": branch, "digest": digest, "accept_stale": self.below(3) == 0}),
            ),
            6 => ("fork", json!({"checkpoint_id": id, "branch": self.one_of(&[Value::Null, json!("dawn")])})),
            7 => ("edit", json!({"checkpoint_id": id, "patch": {"style": {"lighting": lighting}}})),
            8 => (
                "edit",
                json!({"checkpoint_id": id, "patch": {"audio": {"music": self.below(2) == 0, "tempo": "fast"}}}),
            ),
            9 | 10 => ("regenerate", json!({"checkpoint_id": id, "artifact_key": key, "seed": self.below(3)})),
            11 => ("select", json!({"checkpoint_id": id, "artifact_key": key, "version": self.below(3) + 1})),
            12 => ("take", json!({"checkpoint_id": id, "from_checkpoint": other, "artifact_key": key})),
            13 => ("reject", json!({"checkpoint_id": id, "notes": "again"})),
            14 if self.below(2) == 0 => ("retry", json!({})),
            14 => {
                self.stage.now += TimeDelta::seconds(40);
                let job = self.taken.last().copied();
                ("resolve", json!({"job": job, "decision": self.one_of(&["pay_again", "give_up", "collect"])}))
            }
            15 => match self.below(4) {
                0 => ("abandon", json!({"checkpoint_id": id})),
                1 => ("cancel", json!({})),
                _ => ("settings", json!({"budget_usd": self.below(60)})),
            },
            16 => (
                "settings",
                json!({"auto_continue": self.one_of(&[json!(true), json!(false), json!({"until": "refine"})])}),
            ),
            17 | 18 => {
                let upload =
                    json!({"sha256": Digest::of(b"upload"), "size": 1 + self.below(2), "media_type": "image/png"});
                ("import", json!({"checkpoint_id": id, "artifact_key": key, "upload": upload}))
            }
            _ => match self.below(6) {
                0 => ("delete", json!({})),
                1 | 2 => ("pin", json!({"checkpoint_id": id, "pinned": self.below(2) == 0})),
                _ => ("approve", json!({"checkpoint_id": id})),
            },
        };
        let rules = self.rules(verb, id);
        let answer = self.stage.ask(verb, body.clone());
        self.compare_with_the_list(&rules, verb, &body, &answer);
        if let Err(refusal) = answer {
            assert!(!refusal.reason.is_empty());
        }
    }

    /// What the lists of a checkpoint and of its video's branches say now; nothing about what is not there.
    fn rules(&self, verb: &str, id: CheckpointId) -> Vec<Allowed> {
        let video = self.stage.video();
        match verb {
            _ if video.deleted.is_some() => Vec::new(),
            "retry" | "cancel" => video.branches.keys().flat_map(|branch| video.allowed_on(branch)).collect(),
            _ => video.allowed_at(id),
        }
    }

    /// One rule for lists and commands (W53): what a list forbids is refused, and what it allows is done wherever the
    /// command says nothing more than the list knows.
    fn compare_with_the_list(&self, rules: &[Allowed], verb: &str, body: &Value, answer: &Result<Value, Rejection>) {
        let of_verb: Vec<_> = rules.iter().filter(|rule| rule.command == verb).collect();
        if of_verb.is_empty() {
            return;
        }
        let listed = of_verb.iter().any(|rule| rule.allowed);
        let plain = match verb {
            "approve" => body["branch"].is_null() && body["digest"].is_null() && body["accept_stale"] != true,
            "fork" => body["branch"].is_null(),
            "reject" | "abandon" | "pin" | "retry" | "cancel" => true,
            _ => false,
        };
        let seed = self.seed;
        if plain {
            assert_eq!(listed, answer.is_ok(), "seed {seed}: `{verb}` in the list {of_verb:?} and decided {answer:?}");
        } else if listed && verb != "approve" {
            let forbidden = answer.as_ref().err().is_some_and(|refusal| refusal.code == Code::NotPending);
            assert!(!forbidden, "seed {seed}: `{verb}` is allowed in general, and refused in general: {answer:?}");
        } else if !listed && verb != "approve" && verb != "fork" {
            // A name makes some approvals and forks possible that would find no name by themselves.
            assert!(answer.is_err(), "seed {seed}: `{verb}` is forbidden and was done: {answer:?}");
        }
    }

    fn is_pending(&self, id: CheckpointId) -> bool {
        self.stage.video().checkpoints[&id].state == CheckpointState::Pending
    }

    fn check(&mut self) {
        let seed = self.seed;
        let video = self.stage.video();
        lineage(video, seed);
        selections_resolve(video, seed);
        unapproved_phases_do_not_run(video, seed);
        what_lives_is_not_collected(video, seed);
        for (name, branch) in &video.branches {
            let works = video.in_flight(branch.head).next().is_some() || video.has_unknown(branch.head);
            assert!(
                branch.state != BranchState::Running || works || video.deleted.is_some(),
                "seed {seed}: {name} is stuck"
            );
            let before = self.progress.insert(name.clone(), branch.progress).unwrap_or(0.0);
            assert!(branch.progress >= before, "seed {seed}: progress fell on {name}");
        }
        for recorded in &self.stage.journal[self.checked..] {
            self.checked += 1;
            assert_eq!(recorded.seq, self.checked as u64, "seed {seed}: numbers have no holes");
            match &recorded.event {
                Event::JobDone { artifacts, spent, .. } => {
                    self.ledger += spent.iter().map(|spent| spent.amount).sum::<Usd>();
                    for artifact in artifacts {
                        assert!(self.versions.insert(artifact.id), "seed {seed}: version used twice: {artifact:?}");
                    }
                }
                Event::SpecEdited { artifact, .. } => {
                    assert!(self.versions.insert(artifact.id), "seed {seed}: version used twice: {artifact:?}");
                }
                _ => {}
            }
        }
        assert_eq!(video.spent(), self.ledger, "seed {seed}: the cost is the ledger's sum");
        // Every planned job has its inputs, and what it would be told can be worded.
        for id in self.stage.planned() {
            let known = self.ordered.insert((id, video.jobs[&id].attempt));
            assert!(!known || video.work_order(id).is_some(), "seed {seed}: {id} has no inputs");
        }
    }

    /// Recovery: the journal, written and read again, gives the same video.
    fn check_replay(&self) {
        let text = serde_json::to_string(&self.stage.journal).expect("writes");
        let journal: Vec<_> = serde_json::from_str(&text).expect("reads");
        let video = self.stage.video();
        let again = Video::replay(video.id, &journal, video.catalogue.clone());
        assert_eq!(again.as_ref(), Some(video), "seed {}", self.seed);
    }
}

/// A parent is of the phase before, of the same video, and approved; branch, phase and version name one checkpoint.
fn lineage(video: &Video, seed: u64) {
    let mut places = BTreeSet::new();
    for (id, checkpoint) in &video.checkpoints {
        let place = (checkpoint.branch.clone(), checkpoint.phase, checkpoint.version);
        assert!(places.insert(place.clone()), "seed {seed}: two checkpoints at {place:?}");
        match checkpoint.parent {
            None => assert_eq!(checkpoint.phase, Phase::Planning, "seed {seed}: {id} has no parent"),
            Some(parent) => {
                let parent = &video.checkpoints[&parent];
                assert_eq!(Some(parent.phase), checkpoint.phase.previous(), "seed {seed}: {id}");
                assert_eq!(parent.state, CheckpointState::Approved, "seed {seed}: {id} was fed by an unapproved one");
            }
        }
    }
}

fn selections_resolve(video: &Video, seed: u64) {
    for (id, checkpoint) in &video.checkpoints {
        for (key, artifact) in &checkpoint.selection {
            let artifact = video.artifacts.get(artifact);
            assert!(
                artifact.is_some_and(|artifact| artifact.key == *key),
                "seed {seed}: {id} selects nothing as {key}"
            );
        }
        if checkpoint.state != CheckpointState::Making {
            let missing = checkpoint.expected.iter().find(|key| !checkpoint.selection.contains_key(key));
            assert_eq!(missing, None, "seed {seed}: {id} lacks what it was to make");
        }
    }
}

/// Of whatever waits, runs or is finished on a branch, and of what it came from, no object is ever missing.
fn what_lives_is_not_collected(video: &Video, seed: u64) {
    let abandoned = |id: &CheckpointId| matches!(video.checkpoints[id].state, CheckpointState::Abandoned { .. });
    for head in video.branches.values().map(|branch| branch.head).filter(|head| !abandoned(head)) {
        let mut next = Some(head);
        while let Some(id) = next {
            let checkpoint = &video.checkpoints[&id];
            let versions = checkpoint.versions.values().flatten().chain(checkpoint.selection.values());
            let gone: Vec<_> = versions.filter(|id| video.collected.contains(*id)).collect();
            assert!(gone.is_empty() && !checkpoint.collected, "seed {seed}: {id} lost {gone:?}");
            next = checkpoint.parent;
        }
    }
}

/// Money is only spent on what was approved: a phase has one approved parent, which feeds one phase of one branch.
fn unapproved_phases_do_not_run(video: &Video, seed: u64) {
    let mut fed = BTreeMap::new();
    for (id, checkpoint) in &video.checkpoints {
        // Siblings share a parent with the checkpoint that they were forked from; a version made again does too.
        if let (Some(parent), None, 1) = (checkpoint.parent, checkpoint.forked_from, checkpoint.version) {
            let first = fed.insert((parent, checkpoint.branch.clone()), *id);
            assert_eq!(first, None, "seed {seed}: {parent} feeds two phases of one branch");
        }
    }
    for (id, job) in &video.jobs {
        let checkpoint = &video.checkpoints[&id.checkpoint];
        let fed = checkpoint.parent.is_none_or(|parent| video.checkpoints[&parent].state == CheckpointState::Approved);
        assert!(fed || job.state != JobState::Planned, "seed {seed}: {id} runs and nobody approved it");
    }
}
