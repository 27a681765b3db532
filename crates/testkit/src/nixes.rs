//! The Nix versions that tests run on: the machine's own, and those that `scripts/nix-roots` made.
//!
//! It makes nothing itself (`./x test` calls the script before): a version that is missing is reported as not run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::{not_run, repository_root};

/// One stock Nix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nix {
    /// Major and minor version: `2.8`, `2.26`, `2.34`.
    pub name: String,
    /// The directory that holds `nix-instantiate`, `nix`, `nix-store`, ….
    pub bin: PathBuf,
}

impl Nix {
    /// One of this Nix's programs with a clean environment and a store of its own below `home`.
    #[must_use]
    pub fn command(&self, program: &str, home: &Path) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env_clear().envs(self.env(home));
        command
    }

    /// The environment for working with this Nix and a store of its own below `home` (an existing, absolute directory
    /// without symlinks in its path). Complete: start from an empty one.
    #[must_use]
    pub fn env(&self, home: &Path) -> Vec<(String, String)> {
        let under = |part: &str| home.join(part).to_string_lossy().into_owned();
        let pairs = [
            ("PATH", format!("{}:/usr/bin:/bin", self.bin.display())),
            ("HOME", under("")),
            ("LANG", "C.UTF-8".to_owned()),
            ("FREEHOLD_NIX_BIN", self.bin.to_string_lossy().into_owned()),
            ("NIX_STORE_DIR", under("nix/store")),
            ("NIX_STATE_DIR", under("nix/var/nix")),
            ("NIX_LOG_DIR", under("nix/var/log/nix")),
            ("NIX_CONF_DIR", under("nix/etc")),
            ("NIX_CONFIG", "build-users-group =\nsubstituters =\nsandbox = false\n".to_owned()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Whether this is Nix `major.minor` or later.
    #[must_use]
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        let mut parts = self.name.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
    }
}

/// Every Nix at hand, oldest first. Each that is missing was reported through [`not_run`] (once per test program).
#[must_use]
pub fn nixes() -> &'static [Nix] {
    static FOUND: OnceLock<Vec<Nix>> = OnceLock::new();
    FOUND.get_or_init(find)
}

/// Calls `check` for every Nix at hand; a failure names the version. Panics when there is no Nix at all.
pub fn each_nix(check: impl Fn(&Nix)) {
    assert!(!nixes().is_empty(), "no Nix at all: apt-get install nix-bin");
    for nix in nixes() {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(nix)));
        if let Err(cause) = outcome {
            eprintln!("failed on Nix {} (`{}`)", nix.name, nix.bin.display());
            std::panic::resume_unwind(cause);
        }
    }
}

fn find() -> Vec<Nix> {
    let script = repository_root().join("scripts/nix-roots");
    let output = Command::new(&script)
        .arg("--list")
        .output()
        .unwrap_or_else(|error| panic!("cannot run `{}`: {error}", script.display()));
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        match line.split_once(": NOT RUN: ") {
            Some((what, reason)) => not_run(what, reason),
            None => eprintln!("{line}"),
        }
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(listing: &str) -> Vec<Nix> {
    listing
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, bin)| Nix { name: name.to_owned(), bin: PathBuf::from(bin) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scratch;

    #[test]
    fn each_nix_evaluates_and_says_its_version() {
        each_nix(|nix| {
            let scratch = Scratch::new();
            let output = nix
                .command("nix-instantiate", scratch.path())
                .args(["--eval", "-E", "builtins.nixVersion"])
                .output()
                .unwrap_or_else(|error| panic!("{error}"));
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.starts_with(&format!("\"{}.", nix.name)), "{text}");
        });
    }

    #[test]
    fn each_nix_builds_in_a_store_of_its_own() {
        each_nix(|nix| {
            let scratch = Scratch::new();
            let expression = "derivation { name = \"t\"; system = builtins.currentSystem; \
                              builder = \"/bin/sh\"; args = [ \"-c\" \"echo built > $out\" ]; }";
            let output = nix
                .command("nix-build", scratch.path())
                .args(["--no-out-link", "-E", expression])
                .output()
                .unwrap_or_else(|error| panic!("{error}"));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            assert!(Path::new(&path).starts_with(scratch.join("nix/store")), "{path}");
            assert_eq!(scratch.read(&path), "built\n");
        });
    }

    #[test]
    fn versions_compare_by_number_and_not_by_text() {
        let nix = |name: &str| Nix { name: name.to_owned(), bin: PathBuf::new() };
        assert!(nix("2.26").at_least(2, 8));
        assert!(!nix("2.8").at_least(2, 26));
        assert!(nix("2.34").at_least(2, 34));
    }
}
