//! Gives the committed corpus, and mutations of it, to the functions that the fuzzers call.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use freehold_fuzz::TARGETS;

/// Mutations of each seed: enough to find what is shallow, in a second.
const MUTATIONS: u64 = 300;

/// Bytes that mean something in JSON, and one that does not.
const TELLING: &[u8] = b"{}[]\",:\\0-9enul\n\xff";

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn check(run: fn(&[u8]), what: &str, input: &[u8]) {
    if let Err(cause) = catch_unwind(AssertUnwindSafe(|| run(input))) {
        eprintln!("{what} fails on:\n{}", String::from_utf8_lossy(input));
        std::panic::resume_unwind(cause);
    }
}

#[test]
fn every_target_has_a_corpus_and_passes_it() {
    for (target, run) in TARGETS {
        let seeds = corpus(target);
        assert!(!seeds.is_empty(), "fuzz/corpus/{target} is empty");
        for (path, bytes) in seeds {
            check(run, &path.display().to_string(), &bytes);
        }
    }
}

#[test]
fn small_changes_of_the_corpus_pass_as_well() {
    for (target, run) in TARGETS {
        for (path, bytes) in corpus(target) {
            for number in 0..MUTATIONS {
                let what = format!("mutation {number} of {}", path.display());
                check(run, &what, &mutate(&bytes, number));
            }
        }
    }
}

/// A change that follows from the number alone: bytes flipped, removed, repeated or cut off.
fn mutate(bytes: &[u8], number: u64) -> Vec<u8> {
    let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % (below.max(1) as u64)).unwrap()
    };
    let mut out = bytes.to_vec();
    for _ in 0..=next(3) {
        if out.is_empty() {
            return out;
        }
        let at = next(out.len());
        let end = at + next(out.len() - at).min(40);
        match next(5) {
            0 => out[at] ^= 1 << next(8),
            1 => out[at] = TELLING[next(TELLING.len())],
            2 => drop(out.drain(at..end)),
            3 => drop(out.splice(at..at, bytes[at.min(bytes.len())..end.min(bytes.len())].to_vec())),
            _ => out.truncate(at),
        }
    }
    out
}

#[test]
fn the_seeds_reach_past_the_first_check() {
    let seeds = corpus("state_log");
    let read = seeds.iter().filter(|(_, bytes)| freehold_state::parse_log(bytes).is_ok()).count();
    assert!(read > 0, "no seed of the state log can be read");
    let changed = seeds.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).replace("ada@host", "bob@host"));
    let summed =
        changed.filter(|log| freehold_state::parse_log(&freehold_fuzz::with_checksums(log.as_bytes())).is_ok());
    assert_eq!(summed.count(), read, "a changed log is not read although its checksums were made right");
}
