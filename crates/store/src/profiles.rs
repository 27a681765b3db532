//! Profiles: a link to a store path with its earlier values, each of them a GC root, as `nix-env` keeps them.

use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::nix::Nix;
use crate::run;

impl Nix {
    /// Makes `path` the current value of a profile; nothing when it is already. Missing directories are made.
    ///
    /// # Errors
    /// When Nix refuses.
    pub fn set_profile(&self, profile: &Path, path: &str) -> Result<(), StoreError> {
        if self.profile(profile).is_some_and(|current| current == Path::new(path)) {
            return Ok(());
        }
        if let Some(parent) = profile.parent() {
            let root = |source| StoreError::Root { link: profile.to_owned(), source };
            fs_err::create_dir_all(parent).map_err(root)?;
        }
        let mut command = self.command("nix-env");
        command.arg("--profile").arg(profile).arg("--set").arg(path);
        run::short(command, "change a profile").map(drop)
    }

    /// What a profile leads to now; `None` when there is none.
    pub fn profile(&self, profile: &Path) -> Option<PathBuf> {
        fs_err::canonicalize(profile).ok()
    }

    /// The path that a profile was set to last, as its links name it; `None` when there is no such profile.
    pub fn profile_value(profile: &Path) -> Option<PathBuf> {
        let value = fs_err::read_link(profile).ok()?;
        // Joined with an absolute one it is that.
        fs_err::read_link(profile.with_file_name(value)).ok()
    }

    /// Forgets all earlier values but the newest `keep`.
    ///
    /// # Errors
    /// When Nix refuses.
    pub fn trim_profile(&self, profile: &Path, keep: u32) -> Result<(), StoreError> {
        let mut command = self.command("nix-env");
        command.arg("--profile").arg(profile).arg("--delete-generations").arg(format!("+{keep}"));
        run::short(command, "change a profile").map(drop)
    }

    /// Removes a profile with all its values; that there was none is no error.
    ///
    /// # Errors
    /// When a link cannot be removed.
    pub fn remove_profile(&self, profile: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::Root { link: profile.to_owned(), source };
        let (Some(dir), Some(name)) = (profile.parent(), profile.file_name().and_then(|name| name.to_str())) else {
            return Ok(());
        };
        let entries = match fs_err::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries.flatten() {
            let text = entry.file_name().to_string_lossy().into_owned();
            let number = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')?.strip_suffix("-link"));
            let is_value =
                number.is_some_and(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()));
            if text == name || is_value {
                fs_err::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }
}
