//! GC roots: links that keep store paths from being collected.
//!
//! A root is a symlink anywhere (beside the deployment), which Nix knows of through a second link under `gcroots/auto`. Removing
//! the first is enough: Nix forgets the second at its next collection.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::error::StoreError;
use crate::nix::Nix;
use crate::realise::{RealiseOptions, Target};

impl Nix {
    /// Keeps a store path that is there with a root at `link`, replacing an older root in one step. Missing directories are made.
    ///
    /// # Errors
    /// When the path is not there, or something that is no link is at `link`.
    pub fn add_root(&self, path: &str, link: &Path) -> Result<(), StoreError> {
        let root = |source| StoreError::Root { link: link.to_owned(), source };
        match link.symlink_metadata() {
            Ok(found) if !found.is_symlink() => return Err(StoreError::RootTaken { link: link.to_owned() }),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                if let Some(parent) = link.parent() {
                    fs_err::create_dir_all(parent).map_err(root)?;
                }
            }
            Err(e) => return Err(root(e)),
        }
        let targets = [Target::Path(path.to_owned())];
        let options = RealiseOptions { root: Some(link), ..RealiseOptions::default() };
        self.realise(&targets, options, &AtomicBool::new(false), &mut |_| {})?;
        Ok(())
    }

    /// Removes a root; that there was none is no error.
    ///
    /// # Errors
    /// When something that is no link is at `link`, or it cannot be removed.
    pub fn remove_root(&self, link: &Path) -> Result<(), StoreError> {
        let root = |source| StoreError::Root { link: link.to_owned(), source };
        match link.symlink_metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(root(e)),
            Ok(found) if !found.is_symlink() => Err(StoreError::RootTaken { link: link.to_owned() }),
            Ok(_) => fs_err::remove_file(link).map_err(root),
        }
    }

    /// The path that a root keeps; `None` when there is no root at `link`, or Nix does not know of it.
    ///
    /// # Errors
    /// When the link cannot be read.
    pub fn rooted(&self, link: &Path) -> Result<Option<PathBuf>, StoreError> {
        let kept = match fs_err::read_link(link) {
            Ok(kept) => kept,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidInput) => {
                return Ok(None);
            }
            Err(source) => return Err(StoreError::Root { link: link.to_owned(), source }),
        };
        Ok(self.is_registered(link).then_some(kept))
    }

    /// Whether a link under `gcroots/auto` leads to `link`. Where that cannot be read, the link alone is believed.
    fn is_registered(&self, link: &Path) -> bool {
        let Ok(known) = fs_err::read_dir(self.state_dir().join("gcroots/auto")) else { return true };
        let Ok(link) = std::path::absolute(link) else { return true };
        known.flatten().any(|entry| fs_err::read_link(entry.path()).is_ok_and(|target| target == link))
    }
}
