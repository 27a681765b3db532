//! Writes what is made from code: reference pages, JSON Schemas, provider tables for Nix, the manual page.
//!
//! The binary makes them (`freehold internal generate DIR` writes a tree with the same paths as this repository), so there is one
//! source; this only copies or compares. In folders that hold nothing but generated files, a file that is no longer made is
//! removed, or reported by `--check`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Outcome;
use crate::cargo::cargo;

/// Folders in which every file is generated.
const OWNED: [&str; 2] = ["docs/reference/generated", "docs/schemas"];

/// Brings the repository up to date.
pub(crate) fn write(root: &Path) -> Outcome<()> {
    for (path, state) in compare(root)? {
        let target = root.join(&path);
        match state {
            State::Fresh => continue,
            State::Stale(contents) => {
                make_parent(&target)?;
                std::fs::write(&target, contents).map_err(|error| failed("write", &target, &error))?;
            }
            State::Orphan => std::fs::remove_file(&target).map_err(|error| failed("remove", &target, &error))?,
        }
        println!("{path}");
    }
    Ok(())
}

/// Fails when a generated file is not what the code makes.
pub(crate) fn check(root: &Path) -> Outcome<()> {
    let stale: Vec<String> = compare(root)?
        .into_iter()
        .filter(|(_, state)| !matches!(state, State::Fresh))
        .map(|(path, _)| format!("`{path}`"))
        .collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("not fresh: {}; run `cargo run -p xtask -- generate`", stale.join(", ")))
}

enum State {
    Fresh,
    Stale(Vec<u8>),
    Orphan,
}

fn compare(root: &Path) -> Outcome<BTreeMap<String, State>> {
    let made = make(root)?;
    if made.is_empty() {
        return Err("`freehold internal generate` made nothing".to_owned());
    }
    let mut states = BTreeMap::new();
    for folder in OWNED {
        for path in files_below(&root.join(folder))?.into_keys() {
            states.insert(format!("{folder}/{path}"), State::Orphan);
        }
    }
    for (path, contents) in made {
        let same = std::fs::read(root.join(&path)).is_ok_and(|present| present == contents);
        states.insert(path, if same { State::Fresh } else { State::Stale(contents) });
    }
    Ok(states)
}

/// Everything that the binary generates, by path.
fn make(root: &Path) -> Outcome<BTreeMap<String, Vec<u8>>> {
    let scratch = tempfile::tempdir().map_err(|error| format!("cannot make a directory: {error}"))?;
    let status = cargo(root)
        .args(["run", "--quiet", "--package", "freehold-cli", "--bin", "freehold", "--", "internal", "generate"])
        .arg(scratch.path())
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err(format!("`freehold internal generate` failed: {status}"));
    }
    files_below(scratch.path())
}

fn files_below(folder: &Path) -> Outcome<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut next = vec![folder.to_owned()];
    while let Some(directory) = next.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries {
            let path = entry.map_err(|error| failed("list", &directory, &error))?.path();
            if path.is_dir() {
                next.push(path);
                continue;
            }
            let contents = std::fs::read(&path).map_err(|error| failed("read", &path, &error))?;
            let relative = path.strip_prefix(folder).unwrap_or(&path);
            found.insert(relative.to_string_lossy().into_owned(), contents);
        }
    }
    Ok(found)
}

fn make_parent(path: &Path) -> Outcome<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    std::fs::create_dir_all(parent).map_err(|error| failed("make", parent, &error))
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> String {
    format!("cannot {verb} `{}`: {error}", path.display())
}
