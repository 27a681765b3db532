//! Which Nix is used, and its programs as commands.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::StoreError;
use crate::run;

/// Where Nix lies on NixOS, and where its installer puts it, when `PATH` does not say so.
const USUAL: [&str; 2] = ["/run/current-system/sw/bin", "/nix/var/nix/profiles/default/bin"];
/// Programs that a Nix has at least.
const PROGRAMS: [&str; 2] = ["nix-store", "nix-instantiate"];

/// A stock Nix: the directory of its programs, and what its processes find in their environment.
#[derive(Debug, Clone)]
pub struct Nix {
    bin: PathBuf,
    environment: Option<Vec<(String, String)>>,
    traces: bool,
}

/// Programs that evaluate.
const EVALUATING: [&str; 2] = ["nix", "nix-instantiate"];

impl Nix {
    /// The Nix of `FREEHOLD_NIX_BIN` if that is set and not empty, else the first on `PATH`, else one in the usual places. Evaluations,
    /// builds and providers all find the same.
    ///
    /// # Errors
    /// When there is none.
    pub fn find() -> Result<Self, StoreError> {
        let (own, path) = (std::env::var_os("FREEHOLD_NIX_BIN"), std::env::var_os("PATH"));
        Self::find_in(own.as_deref(), path.as_deref(), &USUAL)
    }

    /// The Nix whose programs lie in `bin`; nothing is checked.
    pub fn at(bin: impl Into<PathBuf>) -> Self {
        Self { bin: bin.into(), environment: None, traces: false }
    }

    /// Runs its programs with exactly this environment instead of our own.
    #[must_use]
    pub fn with_environment(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Lets errors of evaluations say how Nix got there.
    #[must_use]
    pub fn with_traces(mut self, traces: bool) -> Self {
        self.traces = traces;
        self
    }

    /// Where its programs lie.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// One of its programs, ready for arguments.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        if let Some(environment) = &self.environment {
            command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        }
        if self.traces && EVALUATING.contains(&program) {
            command.arg("--show-trace");
        }
        command
    }

    /// Its version: `2.26.3`.
    ///
    /// # Errors
    /// When it does not run, or says something odd.
    pub fn version(&self) -> Result<String, StoreError> {
        let mut command = self.command("nix-store");
        command.arg("--version");
        let text = run::short(command, "say its version")?;
        text.trim()
            .rsplit(' ')
            .next()
            .filter(|last| last.starts_with(|c: char| c.is_ascii_digit()))
            .map(str::to_owned)
            .ok_or_else(|| StoreError::Answer {
                what: "say its version".to_owned(),
                reason: format!("it says `{}`", text.trim()),
            })
    }

    /// Where it keeps its database, profiles and GC roots.
    pub fn state_dir(&self) -> PathBuf {
        PathBuf::from(self.variable("NIX_STATE_DIR").unwrap_or_else(|| "/nix/var/nix".to_owned()))
    }

    /// A variable as its processes see it.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        match &self.environment {
            Some(environment) => environment.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.clone()),
            None => std::env::var(name).ok(),
        }
    }

    fn find_in(own: Option<&OsStr>, path: Option<&OsStr>, usual: &[&str]) -> Result<Self, StoreError> {
        let has_all = |dir: &Path| PROGRAMS.iter().all(|program| dir.join(program).is_file());
        if let Some(own) = own.filter(|own| !own.is_empty()) {
            let bin = PathBuf::from(own);
            return if has_all(&bin) {
                Ok(Self::at(bin))
            } else {
                Err(StoreError::NoNix { looked: format!("`{}` (FREEHOLD_NIX_BIN)", bin.display()) })
            };
        }
        std::env::split_paths(path.unwrap_or_default())
            .chain(usual.iter().map(PathBuf::from))
            .find(|dir| dir.is_absolute() && has_all(dir))
            .map(Self::at)
            .ok_or_else(|| StoreError::NoNix { looked: "any directory of PATH".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_testkit::{Scratch, each_nix};

    #[test]
    fn a_named_directory_wins_over_the_path() {
        let scratch = Scratch::new();
        for place in ["own", "path", "usual"] {
            PROGRAMS.iter().for_each(|program| drop(scratch.write(format!("{place}/{program}"), "")));
        }
        let usual = scratch.join("usual").display().to_string();
        let find = |own: Option<&Path>, path: &str| {
            let path = scratch.join(path);
            let own = own.map(Path::as_os_str);
            Nix::find_in(own, Some(path.as_os_str()), &[&usual]).unwrap().bin().to_owned()
        };
        assert_eq!(find(Some(&scratch.join("own")), "path"), scratch.join("own"));
        assert_eq!(find(None, "path"), scratch.join("path"));
        assert_eq!(find(Some(Path::new("")), "path"), scratch.join("path"), "an empty variable says nothing");
        assert_eq!(find(None, "elsewhere"), scratch.join("usual"));
    }

    #[test]
    fn no_nix_is_said_with_what_helps() {
        let error = Nix::find_in(None, Some(OsStr::new("/nonexistent")), &[]).unwrap_err();
        assert_eq!(error.to_string(), "cannot find Nix: no `nix-store` in any directory of PATH");
        assert!(error.hint().unwrap().contains("apt-get install nix-bin"));
        let error = Nix::find_in(Some(OsStr::new("/nonexistent")), None, &[]).unwrap_err();
        assert_eq!(error.to_string(), "cannot find Nix: no `nix-store` in `/nonexistent` (FREEHOLD_NIX_BIN)");
    }

    #[test]
    fn each_nix_says_its_version() {
        each_nix(|nix| {
            let version = Nix::at(&nix.bin).version().unwrap();
            assert!(version.starts_with(&format!("{}.", nix.name)), "{version}");
        });
    }
}
