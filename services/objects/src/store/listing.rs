//! The keys of a bucket in order, a page at a time, reading only the folders that can hold keys of that page.

use std::io;
use std::path::{Path, PathBuf};

use super::names::{self, Entry};

/// Which keys.
#[derive(Debug)]
pub struct Query {
    /// They start with this.
    pub prefix: String,
    /// They come behind this.
    pub after: After,
    /// Keys that share what is in front of this (behind the prefix) are given as one.
    pub delimiter: Option<String>,
    /// At most so many keys and shared beginnings.
    pub limit: usize,
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// At the first key.
    Nothing,
    /// Behind this key.
    Key(String),
    /// Behind all keys that start with this.
    Prefix(String),
}

/// Some keys in order.
#[derive(Debug, Default)]
pub struct Page {
    /// The objects and their files.
    pub objects: Vec<(String, PathBuf)>,
    /// Shared beginnings, in order.
    pub prefixes: Vec<String>,
    /// Where the next page begins; none when this is the last one.
    pub next: Option<After>,
}

/// Lists a bucket's folder.
pub fn list(bucket: &Path, query: &Query) -> io::Result<Page> {
    let (folder, covered) = names::folder_of(&query.prefix);
    let mut page = Page::default();
    let (mut last, mut listed) = (None, None::<String>);
    let mut open = children(&bucket.join(folder), &query.prefix.as_bytes()[..covered], query)?;
    while let Some(node) = open.pop() {
        if listed.as_ref().is_some_and(|listed| node.key.starts_with(listed.as_bytes())) {
            continue;
        }
        if node.folder {
            open.extend(children(&node.path, &node.key, query)?);
            continue;
        }
        let Ok(key) = String::from_utf8(node.key) else { continue };
        if page.objects.len() + page.prefixes.len() == query.limit {
            page.next = last;
            return Ok(page);
        }
        match shared_beginning(&key, query) {
            Some(beginning) => {
                page.prefixes.push(beginning.to_owned());
                last = Some(After::Prefix(beginning.to_owned()));
                listed = Some(beginning.to_owned());
            }
            None => {
                page.objects.push((key.clone(), node.path));
                last = Some(After::Key(key));
            }
        }
    }
    Ok(page)
}

struct Node {
    /// The key, or what all keys below begin with.
    key: Vec<u8>,
    path: PathBuf,
    folder: bool,
}

/// What may hold keys of the page, last one first, since the walk takes from the end.
fn children(folder: &Path, key: &[u8], query: &Query) -> io::Result<Vec<Node>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        // Pruned meanwhile, or never there: no keys.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut nodes = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(kind) = entry.file_name().to_str().and_then(names::entry_of) else { continue };
        let (part, is_folder) = match kind {
            Entry::Object(part) => (part, false),
            Entry::Folder(part) => (part, true),
        };
        let key = [key, &part].concat();
        if matters(&key, is_folder, query) {
            nodes.push(Node { key, path: entry.path(), folder: is_folder });
        }
    }
    // A folder's key ends in `/` (or is a piece that only longer segments share), so byte order of these keys is the
    // order of everything below them.
    nodes.sort_unstable_by(|a, b| b.key.cmp(&a.key).then(a.folder.cmp(&b.folder)));
    if query.delimiter.is_none() {
        // One more object than asked for says that there are more; what comes behind it is for another page.
        let enough = nodes.iter().rev().scan(0, |objects, node| {
            *objects += usize::from(!node.folder);
            (*objects <= query.limit).then_some(())
        });
        let surplus = nodes.len().saturating_sub(enough.count() + 1);
        nodes.drain(..surplus);
    }
    Ok(nodes)
}

fn matters(key: &[u8], folder: bool, query: &Query) -> bool {
    let prefix = query.prefix.as_bytes();
    let wanted = key.starts_with(prefix) || (folder && prefix.starts_with(key));
    let behind = match &query.after {
        After::Nothing => true,
        After::Key(last) => key > last.as_bytes() || (folder && last.as_bytes().starts_with(key)),
        After::Prefix(last) => {
            let last = last.as_bytes();
            (key > last && !key.starts_with(last)) || (folder && key.len() < last.len() && last.starts_with(key))
        }
    };
    wanted && behind
}

fn shared_beginning<'a>(key: &'a str, query: &Query) -> Option<&'a str> {
    let delimiter = query.delimiter.as_deref()?;
    let rest = key.get(query.prefix.len()..)?;
    rest.find(delimiter).map(|at| &key[..query.prefix.len() + at + delimiter.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(keys: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        for key in keys {
            let file = folder.path().join(names::file_of(key));
            std::fs::create_dir_all(file.parent().expect("parent")).expect("folders");
            std::fs::write(file, key).expect("file");
        }
        folder
    }

    fn all(bucket: &Path, prefix: &str, delimiter: Option<&str>, limit: usize) -> (Vec<String>, Vec<String>) {
        let (mut keys, mut prefixes, mut after) = (Vec::new(), Vec::new(), After::Nothing);
        loop {
            let query = Query { prefix: prefix.into(), after, delimiter: delimiter.map(Into::into), limit };
            let page = list(bucket, &query).expect("list");
            assert!(page.objects.len() + page.prefixes.len() <= limit);
            keys.extend(page.objects.into_iter().map(|(key, _)| key));
            prefixes.extend(page.prefixes);
            match page.next {
                Some(next) => after = next,
                None => return (keys, prefixes),
            }
        }
    }

    fn awkward() -> Vec<String> {
        let long = "l".repeat(80);
        let mut keys: Vec<String> = [
            "a",
            "a!",
            "a!b",
            "a/",
            "a/b",
            "a/b/c",
            "a/bc",
            "a0",
            "aé",
            "A",
            "b//c",
            "b//",
            "/r",
            "z/z/z/z",
            "\u{1}",
            "🎬/🎬",
        ]
        .map(str::to_owned)
        .to_vec();
        for rest in ["", "!", "/", "/x", "0", "m", "~"] {
            keys.push(format!("{long}{rest}"));
            keys.push(format!("{}{rest}", &long[1..]));
        }
        keys
    }

    #[test]
    fn pages_of_any_size_give_every_key_once_in_order() {
        let keys = awkward();
        let folder = bucket(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        let mut sorted = keys.clone();
        sorted.sort();
        for limit in [1, 2, 3, 7, 1000] {
            assert_eq!(all(folder.path(), "", None, limit).0, sorted, "pages of {limit}");
        }
    }

    #[test]
    fn any_prefix_gives_exactly_its_keys() {
        let mut keys = awkward();
        let folder = bucket(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        keys.sort();
        for prefix in keys.iter().flat_map(|key| key.char_indices().map(|(end, _)| &key[..end])) {
            let expected: Vec<_> = keys.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
            assert_eq!(all(folder.path(), prefix, None, 2).0, expected, "prefix {prefix:?}");
        }
    }

    #[test]
    fn a_delimiter_folds_what_is_below() {
        let folder = bucket(&["a", "a/1", "a/2/x", "a/2/y", "b", "c/x"]);
        for limit in [1, 2, 1000] {
            let (keys, prefixes) = all(folder.path(), "", Some("/"), limit);
            assert_eq!((keys, prefixes), (vec!["a".into(), "b".into()], vec!["a/".into(), "c/".into()]));
            let (keys, prefixes) = all(folder.path(), "a/", Some("/"), limit);
            assert_eq!((keys, prefixes), (vec!["a/1".to_owned()], vec!["a/2/".to_owned()]));
        }
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing() {
        let folder = bucket(&["a/b"]);
        assert!(all(folder.path(), "x/y/z", None, 10).0.is_empty());
    }
}
