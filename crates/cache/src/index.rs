//! What this machine remembers of a cache: paths that it has with a key's signature, and NARs that were uploaded and not yet made known.
//!
//! A file of lines per cache and key, appended to as things happen, so that a killed push can be taken up. It saves work and is never
//! believed alone: the epoch of the cache must be the same, which every collection changes, and the paths that are asked for
//! are looked at in any case. A lost index costs time only.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use freehold_model::limits;
use freehold_nar::{PublicKey, Sha256};
use fs_err::{File, OpenOptions};

use crate::pool::locked;

/// First word of the file.
const FORMAT: &str = "freehold.cache-index/2";

/// A NAR that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) nar_hash: Sha256,
    pub(crate) key: String,
    pub(crate) file_hash: Sha256,
    pub(crate) file_size: u64,
}

pub(crate) struct Index {
    present: HashMap<String, u64>,
    stored: Mutex<HashMap<String, Stored>>,
    file: Option<Mutex<File>>,
    now: u64,
}

impl Index {
    /// What is remembered of the cache with this address and epoch, for whoever signs with `key`. What cannot be read or written is
    /// not remembered.
    pub(crate) fn open(dir: Option<&Path>, url: &str, key: &PublicKey, epoch: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut index = Self { present: HashMap::new(), stored: Mutex::default(), file: None, now };
        let Some(path) = dir.map(|dir| file_of(dir, url, key)) else { return index };
        let head = format!("{FORMAT} {epoch} {key} {url}");
        let text = fs_err::read_to_string(&path).unwrap_or_default();
        let fits = text.lines().next() == Some(head.as_str());
        if fits {
            text.lines().skip(1).for_each(|line| index.read(line));
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true).truncate(false);
        if !fits {
            if let Some(parent) = path.parent() {
                // The next line tells.
                let _ = fs_err::create_dir_all(parent);
            }
            // Another push may be writing to the old one: it is left to it.
            let fresh = path.with_extension(format!("{}.new", std::process::id()));
            if fs_err::write(&fresh, format!("{head}\n")).and_then(|()| fs_err::rename(&fresh, &path)).is_err() {
                return index;
            }
        }
        index.file = options.open(&path).ok().map(Mutex::new);
        if fits && !text.ends_with('\n') {
            index.append("\n");
        }
        index
    }

    /// Whether the cache had this path, signed with the key, not long ago.
    pub(crate) fn has(&self, hash_part: &str) -> bool {
        let age = limits::CACHE_INDEX_AGE.as_secs();
        self.present.get(hash_part).is_some_and(|seen| self.now.saturating_sub(*seen) < age)
    }

    /// The NAR of a path, if it was uploaded from here.
    pub(crate) fn stored(&self, hash_part: &str) -> Option<Stored> {
        locked(&self.stored).get(hash_part).cloned()
    }

    /// Remembers that the cache has these paths, signed with the key.
    pub(crate) fn note_present<'a>(&self, hash_parts: impl Iterator<Item = &'a str>) {
        let lines: String =
            hash_parts.filter(|hash| !self.has(hash)).map(|hash| format!("has {hash} {}\n", self.now)).collect();
        self.append(&lines);
    }

    /// Remembers that a NAR was uploaded.
    pub(crate) fn note_stored(&self, hash_part: &str, stored: &Stored) {
        let Stored { nar_hash, key, file_hash, file_size } = stored;
        self.append(&format!("nar {hash_part} {nar_hash} {file_hash} {file_size} {key}\n"));
        locked(&self.stored).insert(hash_part.to_owned(), stored.clone());
    }

    fn append(&self, lines: &str) {
        if let Some(file) = &self.file
            && !lines.is_empty()
        {
            // One write, so that two pushes do not mix their lines. What is not written is not remembered.
            let _ = locked(file).write_all(lines.as_bytes());
        }
    }

    /// A line that makes no sense (the last of a killed push) is passed over.
    fn read(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["has", hash, seen] => {
                if let Ok(seen) = seen.parse() {
                    self.present.insert((*hash).to_owned(), seen);
                }
            }
            ["nar", hash, nar_hash, file_hash, file_size, key] => {
                if let (Ok(nar_hash), Ok(file_hash), Ok(file_size)) =
                    (Sha256::parse(nar_hash), Sha256::parse(file_hash), file_size.parse())
                {
                    let stored = Stored { nar_hash, key: (*key).to_owned(), file_hash, file_size };
                    locked(&self.stored).insert((*hash).to_owned(), stored);
                }
            }
            _ => {}
        }
    }
}

fn file_of(dir: &Path, url: &str, key: &PublicKey) -> PathBuf {
    let name = Sha256::of(format!("{key} {url}").as_bytes()).to_base32();
    dir.join(format!("{name}.index"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_nar::SecretKey;
    use freehold_testkit::Scratch;

    fn key() -> PublicKey {
        SecretKey::generate("k-1").unwrap().public()
    }

    fn stored() -> Stored {
        let hash = Sha256::of(b"x");
        Stored { nar_hash: hash, key: "nar/x.nar.zst".to_owned(), file_hash: hash, file_size: 7 }
    }

    #[test]
    fn what_was_noted_is_known_until_the_epoch_changes() {
        let scratch = Scratch::new();
        let key = key();
        let open = |epoch| Index::open(Some(scratch.path()), "s3://b", &key, epoch);
        open("1").note_present(["a", "b"].into_iter());
        open("1").note_stored("c", &stored());
        let index = open("1");
        assert!(index.has("a") && index.has("b") && !index.has("c"));
        assert_eq!(index.stored("c"), Some(stored()));
        assert!(!Index::open(Some(scratch.path()), "s3://other", &key, "1").has("a"));
        assert!(
            !Index::open(Some(scratch.path()), "s3://b", &self::key(), "1").has("a"),
            "another key has signed nothing"
        );
        assert!(!open("2").has("a"), "a collection changes the epoch");
        assert!(!open("1").has("a"), "and what was known before is forgotten");
    }

    #[test]
    fn a_torn_line_and_old_news_are_passed_over() {
        let scratch = Scratch::new();
        let key = key();
        let file = file_of(scratch.path(), "s3://b", &key);
        std::fs::write(&file, format!("{FORMAT} 1 {key} s3://b\nhas old 1\nhas new 99999999999\nnar c sha256:"))
            .unwrap();
        let open = || Index::open(Some(scratch.path()), "s3://b", &key, "1");
        let index = open();
        assert!(index.has("new"));
        assert!(!index.has("old"));
        assert_eq!(index.stored("c"), None);
        index.note_present(["a"].into_iter());
        assert!(open().has("a"), "what follows a torn line is whole");
    }

    #[test]
    fn without_a_place_nothing_is_remembered() {
        let index = Index::open(Some(Path::new("/proc/no/such")), "s3://b", &key(), "1");
        index.note_present(["a"].into_iter());
        assert!(!index.has("a"));
    }
}
