//! Comparing what is written today with fixtures that nobody edits.
//!
//! A fixture is a promise: a peer, or a database of yesterday, still holds these bytes. So a missing one may be written,
//! and an existing one never is.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use messages::codec;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Set to `1` to write fixtures that are missing.
const WRITE: &str = "DAILIES_WRITE_FIXTURES";

/// Whether a frozen text reads back as the value that it was written from.
type Reads = Box<dyn Fn(&str) -> Result<(), String>>;

/// One value and the fixture that it is compared with.
pub struct Case {
    /// The fixture, relative to its folder: `v1/job_plan.msgpack.hex`.
    pub file: String,
    written: String,
    read: Reads,
}

impl Case {
    /// A value that is written as `written` and whose frozen text `read` must accept.
    pub fn new(file: impl Into<String>, written: String, read: impl Fn(&str) -> Result<(), String> + 'static) -> Self {
        Self { file: file.into(), written, read: Box::new(read) }
    }

    /// A public body, written with line breaks so that it can be checked by eye.
    pub fn json<T>(name: &str, value: T) -> Self
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
    {
        let written = serde_json::to_string_pretty(&value).expect("it can be written");
        Self::new(format!("v1/{name}.json"), written, move |text| {
            same(&value, &serde_json::from_str(text).map_err(|error| error.to_string())?)
        })
    }

    /// An internal message, as hex digits.
    pub fn packed<T>(name: &str, value: T) -> Self
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
    {
        let written = hex(&codec::encode(&value).expect("it can be written"));
        Self::new(format!("v1/{name}.msgpack.hex"), written, move |text| {
            same(&value, &codec::decode(&bytes(text)).map_err(|error| format!("{error:?}"))?)
        })
    }
}

impl Case {
    /// The same among the fixtures of a later version, beside what was written before.
    pub fn of_version(self, version: u32) -> Self {
        Self { file: self.file.replacen("v1/", &format!("v{version}/"), 1), ..self }
    }
}

/// Whether what was read is what was meant.
pub fn same<T: PartialEq + Debug>(meant: &T, read: &T) -> Result<(), String> {
    if meant == read { Ok(()) } else { Err(format!("it reads as {read:#?}\nbut means {meant:#?}")) }
}

/// Every case against its fixture, both ways.
pub fn check(folder: &str, cases: &[Case]) {
    for Case { file, written, read } in cases {
        let frozen = text(folder, file, written);
        assert!(
            frozen == *written,
            "{file}: today's program writes other bytes than the frozen ones.\n\
             The frozen ones are in use: do not edit them. Make the change readable (an optional field), freeze the new\n\
             form as the next version beside the old (v2/...), and keep a test that the old one still reads.\n\
             frozen:\n{frozen}\nwritten today:\n{written}"
        );
        if let Err(reason) = read(&frozen) {
            panic!("{file}: the frozen bytes are not read as they were meant: {reason}");
        }
    }
}

/// A fixture's text. One that is missing is written when that was asked for, from what is `written` today.
pub fn text(folder: &str, file: &str, written: &str) -> String {
    let path = Path::new(folder).join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim_end_matches('\n').to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(
                std::env::var(WRITE).is_ok_and(|value| value == "1"),
                "there is no fixture {file}. If it is new, run the test once with {WRITE}=1, look at what it wrote, and\n\
                 commit it. If it was there before, bring it back: somebody still holds such bytes.\n\
                 written today:\n{written}"
            );
            let parent = path.parent().expect("it lies in a folder");
            std::fs::create_dir_all(parent).expect("the folder can be made");
            std::fs::write(&path, format!("{written}\n")).expect("the fixture can be written");
            written.to_owned()
        }
        Err(error) => panic!("{file} cannot be read: {error}"),
    }
}

/// The fixtures of a folder's version, as `v1/name`.
pub fn files(folder: &str, version: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(Path::new(folder).join(version)).expect("there are fixtures");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("readable").file_name();
    entries.map(|entry| format!("{version}/{}", name(entry).to_string_lossy())).collect()
}

/// Bytes as text that a diff can show: 32 of them a line.
pub fn hex(bytes: &[u8]) -> String {
    let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.chunks(32).map(line).collect::<Vec<_>>().join("\n")
}

/// The inverse of [`hex`].
pub fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}
