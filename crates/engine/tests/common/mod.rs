//! A deployment in a scratch directory, and the real program on it with a real Nix.
#![allow(dead_code, clippy::panic, reason = "shared by several test programs; a panic is the report of a test")]

use std::path::{Path, PathBuf};

use freehold_testkit::{Finished, Freehold, Scratch, repository_root};

/// A directory with a deployment, and the home of whoever works on it.
pub(crate) struct Place {
    pub(crate) scratch: Scratch,
    pub(crate) dir: PathBuf,
    env: Vec<(String, String)>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        let dir = scratch.dir("d");
        Self { scratch, dir, env: Vec::new() }
    }

    /// With a `freehold.nix` whose one module has these members.
    pub(crate) fn with(members: &str) -> Self {
        let place = Self::new();
        place.deploy(members);
        place
    }

    /// Writes the `freehold.nix`.
    pub(crate) fn deploy(&self, members: &str) {
        let text = format!(
            "{{ freehold, ... }}:\nfreehold.lib.mkRoot {{ modules = [ (top@{{ providers, members, ... }}: {{\n{members}\n}}) ]; }}\n"
        );
        self.write("freehold.nix", text);
    }

    /// Sets a variable for each command.
    pub(crate) fn env(&mut self, name: &str, value: impl Into<String>) {
        self.env.push((name.to_owned(), value.into()));
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&self.dir)).unwrap_or_default();
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("cannot write `{}`: {e}", path.display()));
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.dir.join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read `{}`: {e}", path.display()))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    /// A call of the program, not begun.
    pub(crate) fn call(&self, args: &[&str]) -> Freehold {
        self.call_in(&self.dir, args)
    }

    pub(crate) fn call_in(&self, dir: &Path, args: &[&str]) -> Freehold {
        let call = Freehold::new(&self.scratch, dir).args(args);
        self.env.iter().fold(call, |call, (name, value)| call.env(name, value))
    }

    /// Runs it to its end, which is to be a good one.
    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        self.call(args).run().success()
    }

    /// Runs it to its end, which is to be this exit code.
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> Finished {
        self.call(args).run().code(code)
    }

    /// The plan is to say that nothing changes.
    pub(crate) fn assert_no_change(&self) {
        let plan = self.call(&["plan", "--detailed-exitcode"]).run();
        assert_eq!(plan.code, 0, "{}{}", plan.stdout, plan.stderr);
    }

    /// The deployment without its own state, as a second machine has it: same files, same key.
    pub(crate) fn second_machine(&self) -> Self {
        let scratch = Scratch::new();
        copy(&self.scratch.join("home/.config"), &scratch.join("home/.config"));
        copy(&self.scratch.join("home/config"), &scratch.join("home/config"));
        let dir = scratch.dir("d");
        copy(&self.dir, &dir);
        let _ = std::fs::remove_dir_all(dir.join("freehold.state"));
        let _ = std::fs::remove_dir_all(dir.join(".freehold"));
        Self { scratch, dir, env: self.env.clone() }
    }
}

/// All of it, as `cp -r`.
pub(crate) fn copy(from: &Path, to: &Path) {
    let Ok(entries) = std::fs::read_dir(from) else { return };
    std::fs::create_dir_all(to).unwrap_or_else(|e| panic!("cannot make `{}`: {e}", to.display()));
    for entry in entries.flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap_or_else(|e| panic!("cannot copy `{}`: {e}", target.display()));
        }
    }
}

/// A file of these tests.
pub(crate) fn fixture(name: &str) -> PathBuf {
    repository_root().join("crates/engine/tests/fixtures").join(name)
}

#[track_caller]
pub(crate) fn assert_has(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in:\n{text}");
}

#[track_caller]
pub(crate) fn assert_lacks(text: &str, part: &str) {
    assert!(!text.contains(part), "`{part}` is in:\n{text}");
}
