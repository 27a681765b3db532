//! A directory of its own for each test, removed when the test ends, whatever its result.
//!
//! Its path is short and free of symlinks: unix socket paths are limited to 107 bytes and Nix refuses a store
//! below a symlink.

use std::fs;
use std::path::{Path, PathBuf};

/// A temporary directory with a few helpers that panic with the path in the text.
pub struct Scratch {
    root: PathBuf,
    _guard: tempfile::TempDir,
}

impl Scratch {
    /// Makes an empty directory named `fh-…` in the system's temporary directory.
    #[must_use]
    pub fn new() -> Self {
        let guard = tempfile::Builder::new()
            .prefix("fh-")
            .rand_bytes(6)
            .tempdir()
            .unwrap_or_else(|error| panic!("cannot make a scratch directory: {error}"));
        let root =
            guard.path().canonicalize().unwrap_or_else(|error| panic!("cannot resolve the scratch directory: {error}"));
        Self { root, _guard: guard }
    }

    /// The absolute path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The absolute path of something in it.
    #[must_use]
    pub fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// Makes a directory, with its parents, and returns its path.
    pub fn dir(&self, relative: impl AsRef<Path>) -> PathBuf {
        let path = self.join(relative);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot make `{}`: {error}", path.display()));
        path
    }

    /// Writes a file, making its parents, and returns its path.
    pub fn write(&self, relative: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(relative);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).unwrap_or_else(|error| panic!("cannot make `{}`: {error}", parent.display()));
        }
        fs::write(&path, contents).unwrap_or_else(|error| panic!("cannot write `{}`: {error}", path.display()));
        path
    }

    /// Reads a file as text.
    #[must_use]
    pub fn read(&self, relative: impl AsRef<Path>) -> String {
        let path = self.join(relative);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read `{}`: {error}", path.display()))
    }

    /// Whether something is there.
    #[must_use]
    pub fn exists(&self, relative: impl AsRef<Path>) -> bool {
        self.join(relative).symlink_metadata().is_ok()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_is_gone_after_its_test() {
        let scratch = Scratch::new();
        let path = scratch.path().to_owned();
        scratch.write("deep/down/file", "text");
        assert_eq!(scratch.read("deep/down/file"), "text");
        drop(scratch);
        assert!(!path.exists());
    }
}
