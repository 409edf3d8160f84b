//! What must not be in the code: the architecture's invariants, read from the sources.

use std::path::{Path, PathBuf};

use crate::harness::root;

const SERVICES: [&str; 6] = ["coordinator", "planner", "storyboard", "chunk", "refine", "gateway"];

#[test]
fn the_contract_does_no_io() {
    let manifest = read(&root().join("messages/Cargo.toml"));
    for io in ["tokio", "async-nats", "sqlx", "reqwest", "aws-sdk-s3", "axum"] {
        assert!(!depends_on(&manifest, io), "messages depends on {io}");
    }
    for file in sources("messages/src") {
        assert_pure(&file);
    }
}

#[test]
fn what_is_decided_depends_on_no_clock_no_bus_and_no_database() {
    let mut pure = sources("services/coordinator/src/video");
    pure.push(root().join("services/coordinator/src/video.rs"));
    for file in pure {
        assert_pure(&file);
    }
}

#[test]
fn services_never_depend_on_each_other() {
    for service in SERVICES {
        let manifest = read(&root().join(format!("services/{service}/Cargo.toml")));
        for other in SERVICES.iter().chain(&["dailies", "objects"]).filter(|other| **other != service) {
            assert!(!depends_on(&manifest, other), "{service} depends on {other}");
        }
    }
}

#[test]
fn only_the_coordinator_opens_the_database() {
    let manifests = manifests();
    assert!(manifests.len() > SERVICES.len(), "{manifests:?}");
    for manifest in manifests.iter().filter(|file| !file.ends_with("coordinator/Cargo.toml")) {
        assert!(!depends_on(&read(manifest), "sqlx"), "{} depends on sqlx", manifest.display());
    }
}

#[test]
fn the_time_is_read_in_one_place() {
    // A benchmark measures and no service runs it; the object store stamps files as any file system does.
    let exceptions = ["runtime/src/clock.rs", "objects/src/store.rs", "dailies/src/bench/direct.rs"];
    for file in all_sources().iter().filter(|file| !exceptions.iter().any(|exception| file.ends_with(exception))) {
        let code = without_tests(file);
        for reading in ["Utc::now", "Local::now", "SystemTime::now"] {
            assert!(!code.contains(reading), "{} reads the time with {reading}", file.display());
        }
    }
}

#[test]
fn subjects_are_spelled_in_one_file() {
    // These listen to progress notes of one video, whose subject ends in a wildcard.
    let exceptions = ["messages/src/subject.rs", "dailies/src/follow.rs"];
    for file in all_sources().iter().filter(|file| !exceptions.iter().any(|exception| file.ends_with(exception))) {
        let code = without_tests(file);
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for start in ["\"video.", "\"job.", "\"query.", "\"stop.", "\"make_way.", "\"dead."] {
                let place = || format!("{}:{}", file.display(), number + 1);
                assert!(!line.contains(start) || is_file_name(line), "{} spells a subject: {line}", place());
            }
        }
    }
}

#[test]
fn nothing_is_left_to_do_and_no_test_is_ignored() {
    let unfinished = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore"];
    let this_file = Path::new(file!()).file_name().expect("a name");
    for file in all_sources().iter().filter(|file| file.file_name() != Some(this_file)) {
        let text = read(file);
        for word in unfinished {
            assert!(!text.contains(word), "{} says {word}", file.display());
        }
    }
}

fn assert_pure(file: &Path) {
    let code = without_tests(file);
    for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        for impure in
            ["tokio", "async_nats", "sqlx", "Utc::now", "SystemTime", "Instant", "rand::", "std::fs", "std::env"]
        {
            assert!(!line.contains(impure), "{}:{} mentions {impure}", file.display(), number + 1);
        }
    }
}

/// `"job.json"` is an object, not a subject.
fn is_file_name(line: &str) -> bool {
    line.contains(".json\"")
}

fn depends_on(manifest: &str, name: &str) -> bool {
    let without_dev = manifest.split("[dev-dependencies]").next().unwrap_or_default();
    without_dev.lines().any(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('.') || rest.trim_start().starts_with('='))
    })
}

/// The code of a file before its `mod tests`.
fn without_tests(file: &Path) -> String {
    let text = read(file);
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

/// Every source file that is part of a program.
fn all_sources() -> Vec<PathBuf> {
    let files = [sources("messages/src"), sources("services")].concat();
    assert!(files.len() > 50, "the sources were not found");
    files
}

/// The `.rs` files below a folder, tests and examples excepted.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    let own = |file: &PathBuf| {
        let inside = file.strip_prefix(root()).unwrap_or(file);
        let test = inside.components().any(|part| ["tests", "examples"].iter().any(|name| part.as_os_str() == *name));
        !test
            && !["tests.rs", "history.rs", "stage.rs", "table.rs", "lessons.rs"].iter().any(|name| file.ends_with(name))
    };
    found.retain(own);
    found
}

fn manifests() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(root().join("services")).expect("services/");
    let services = folders.map(|folder| folder.expect("readable").path().join("Cargo.toml"));
    services.chain(["messages", "tests"].map(|name| root().join(name).join("Cargo.toml"))).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
