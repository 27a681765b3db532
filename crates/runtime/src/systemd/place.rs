//! Where unit files are: one directory for what is tried, which is gone after a reboot, and one for what is committed.
//!
//! What is tried lies above what is committed (`/run/systemd/system.control` comes before `/etc/systemd/system`, systemd.unit(5)), so
//! that a host that restarts in the middle of a rollout starts the release that was good. Each write is atomic.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::marker::Mark;
use crate::records::write_durably;
use crate::{RuntimeError, host};

/// Which unit of a workload: one alone, or one of two that take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Single,
    Blue,
    Green,
}

impl Slot {
    pub(super) const ALL: [Self; 3] = [Self::Single, Self::Blue, Self::Green];

    /// The unit's name.
    pub(super) fn unit(self, workload: &str) -> String {
        match self {
            Self::Single => format!("freehold-{workload}.service"),
            Self::Blue => format!("freehold-{workload}-blue.service"),
            Self::Green => format!("freehold-{workload}-green.service"),
        }
    }
}

/// The directories of unit files.
#[derive(Debug, Clone)]
pub(super) struct Places {
    tried: PathBuf,
    etc: PathBuf,
    run: PathBuf,
    copies: PathBuf,
}

impl Places {
    /// systemd's own, and copies below `state`.
    pub(super) fn new(state: &Path) -> Self {
        Self {
            tried: PathBuf::from("/run/systemd/system.control"),
            etc: PathBuf::from("/etc/systemd/system"),
            run: PathBuf::from("/run/systemd/system"),
            copies: state.join("services"),
        }
    }

    /// Whether committed units are gone after a reboot, too: where `/etc` is not to be written, as on NixOS.
    pub(super) fn forgets(&self) -> bool {
        let is_in_store = self.etc.canonicalize().is_ok_and(|dir| dir.starts_with("/nix/store"));
        is_in_store || rustix::fs::access(&self.etc, rustix::fs::Access::WRITE_OK).is_err()
    }

    /// The file of a committed unit.
    pub(super) fn committed(&self, unit: &str) -> PathBuf {
        if self.forgets() { self.run.join(unit) } else { self.etc.join(unit) }
    }

    /// The file of a unit that is tried.
    pub(super) fn tried(&self, unit: &str) -> PathBuf {
        self.tried.join(unit)
    }

    /// A copy of the unit as it was started last.
    pub(super) fn copy(&self, unit: &str) -> PathBuf {
        self.copies.join(unit)
    }

    /// Refuses a directory below `/var/lib` in which our own state lies, or that lies in it: systemd would give it to a service.
    pub(super) fn refuse_own(&self, directory: &str) -> Result<(), RuntimeError> {
        let state = self.copies.parent().unwrap_or(&self.copies);
        let theirs = Path::new("/var/lib").join(directory);
        if !theirs.starts_with(state) && !state.starts_with(&theirs) {
            return Ok(());
        }
        let reason = format!("`{}` is where freehold keeps its own state", theirs.display());
        Err(RuntimeError::Unwritable { field: "systemd/stateDirectory".to_owned(), reason })
    }

    /// The workloads whose units were started with this state, in order.
    pub(super) fn workloads(&self) -> Result<Vec<String>, RuntimeError> {
        let mut workloads = BTreeSet::new();
        for name in host::names(&self.copies)? {
            let mark = read(&self.copies.join(name))?.as_deref().and_then(Mark::of);
            workloads.extend(mark.map(|mark| mark.workload));
        }
        Ok(workloads.into_iter().collect())
    }

    /// Whether there is a file for this unit in one of our places.
    pub(super) fn has(&self, unit: &str) -> bool {
        [&self.tried, &self.etc, &self.run].into_iter().any(|dir| dir.join(unit).symlink_metadata().is_ok())
    }

    /// Puts a unit on trial.
    pub(super) fn write_tried(&self, unit: &str, text: &str) -> Result<(), RuntimeError> {
        write_durably(&self.tried(unit), text.as_bytes())
    }

    /// The text that systemd starts this unit by: what is tried, else what is committed.
    pub(super) fn text(&self, unit: &str) -> Result<Option<String>, RuntimeError> {
        for file in [self.tried(unit), self.committed(unit)] {
            if let Some(text) = read(&file)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// What the files of this unit say of releases: what is tried first, then what was started last, then what is committed.
    pub(super) fn marks(&self, unit: &str) -> Result<Vec<Mark>, RuntimeError> {
        let mut marks = Vec::new();
        for file in [self.tried(unit), self.copy(unit), self.committed(unit)] {
            marks.extend(read(&file)?.and_then(|text| Mark::of(&text)));
        }
        Ok(marks)
    }

    /// Removes every file of a unit that is ours; whether there was one.
    pub(super) fn remove(&self, unit: &str) -> Result<bool, RuntimeError> {
        let mut was_there = false;
        for dir in [&self.tried, &self.etc, &self.run, &self.copies] {
            let file = dir.join(unit);
            let is_ours = read(&file)?.is_some_and(|text| Mark::of(&text).is_some());
            if is_ours {
                remove(&file)?;
                was_there = true;
            }
        }
        Ok(was_there)
    }
}

/// A file's text; `None` when it is not there.
pub(super) fn read(file: &Path) -> Result<Option<String>, RuntimeError> {
    match fs_err::read(file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RuntimeError::file("read", file)(error)),
    }
}

/// Removes a file; one that is not there is as good.
pub(super) fn remove(file: &Path) -> Result<(), RuntimeError> {
    match fs_err::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(RuntimeError::file("remove", file)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_service_is_given_our_own_state() {
        let places = Places::new(Path::new("/var/lib/freehold"));
        let given = ["freehold-web", "postgresql", "freehold", "freehold/services/x"];
        assert_eq!(given.map(|directory| places.refuse_own(directory).is_ok()), [true, true, false, false]);
        assert!(Places::new(Path::new("/srv/state")).refuse_own("freehold").is_ok());
    }
}
