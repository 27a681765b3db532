//! Recipes in real repositories, made for one test.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

use freehold_recipe_source::Settings;
use freehold_testkit::Scratch;

/// A directory with repositories below `recipes/`, an `$ABRA_DIR` and a cache.
pub struct World {
    pub scratch: Scratch,
    pub settings: Settings,
}

impl World {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let mut settings = Settings::new(scratch.join("cache"), scratch.dir("abra"));
        settings.base = Some(format!("file://{}", scratch.dir("recipes").display()));
        Self { scratch, settings }
    }

    /// A repository with one commit, whose `compose.yml` says `text`.
    pub fn recipe(&self, name: &str, text: &str) -> Repository {
        let repository = Repository { path: self.scratch.dir(format!("recipes/{name}")) };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.commit(text);
        repository
    }
}

pub struct Repository {
    pub path: PathBuf,
}

impl Repository {
    pub fn git(&self, args: &[&str]) -> String {
        git(&self.path, args)
    }

    /// Commits a `compose.yml` with this text and gives the hash.
    pub fn commit(&self, text: &str) -> String {
        std::fs::write(self.path.join("compose.yml"), text).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", text]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits and tags.
    pub fn release(&self, version: &str) -> String {
        let commit = self.commit(version);
        self.git(&["tag", "--annotate", "--message", version, version]);
        commit
    }
}

pub fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    for (name, value) in [("NAME", "A Maintainer"), ("EMAIL", "maintainer@example.org")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    let output = command.args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
