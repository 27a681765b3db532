//! What of services is in the Nix store: fetched from the cache, kept by a GC root for every release that may still be wanted, and by
//! a profile per service, whose values are the releases that were committed.
//!
//! Roots and profiles are where Nix has its own if we may write there, else in the agent's state.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use freehold_cache::pull;
use freehold_manifest::Service;
use freehold_nar::StorePath;
use freehold_rollout::{Outcome, Record};
use freehold_runtime::ServiceRelease;
use freehold_store::{Nix, StoreError};

use crate::agent::Shared;
use crate::workload::Converged;

/// Below the state: what is on its way into the store, a directory for each path that is pulled.
pub(crate) const STAGING: &str = "staging";

impl Shared {
    /// Brings a closure into the store and keeps it there.
    pub(crate) fn fetch(&self, name: &str, path: &str) -> Result<(), String> {
        let root = StorePath::parse(path).map_err(|error| error.to_string())?;
        let link = self.root_of(name, path);
        // What a collection took between its arrival and its root is fetched once more.
        self.pull(&root)?;
        if self.options.nix.add_root(path, &link).is_ok() {
            return Ok(());
        }
        self.pull(&root)?;
        self.options.nix.add_root(path, &link).map_err(|error| text(&error))
    }

    fn pull(&self, root: &StorePath) -> Result<(), String> {
        let options = &self.options;
        let staging = options.state.join(STAGING).join(root.hash_part());
        let roots = std::slice::from_ref(root);
        pull(&options.nix, options.board.depot(), roots, &options.trusted, &staging, &|_| {}, &self.stop).map_err(
            |error| match (freehold_model::chain(&error), error.hint()) {
                (text, Some(hint)) => format!("{text} ({hint})"),
                (text, None) => text,
            },
        )?;
        Ok(())
    }

    /// Makes a committed release what the service's profile leads to; so many of its values are kept.
    pub(crate) fn commit(&self, name: &str, path: &str, keep: u32) -> Result<(), String> {
        let profile = self.profile_of(name);
        self.options.nix.set_profile(&profile, path).map_err(|error| text(&error))?;
        self.options.nix.trim_profile(&profile, keep).map_err(|error| text(&error))
    }

    /// Looks whether what runs is still kept by its root and its profile: others may have taken them away, and a profile may have been
    /// moved by hand. What is missing is made again; gives what is to be told, by service.
    pub(crate) fn look_after(&self, declared: &[&Service], done: &BTreeMap<String, Converged>) -> Vec<String> {
        let (roots, profiles) = (self.roots(), self.profiles());
        let mut problems = Vec::new();
        for service in declared {
            let state = done.get(&service.name).map(|done| &done.state).filter(|state| state.action != Outcome::Failed);
            let Some(path) = state.and_then(|state| state.running.as_deref()) else { continue };
            let name = &service.name;
            let link = roots.join(name).join(base_name(path));
            let kept = match link.is_symlink() {
                true => Ok(()),
                false => self.fetch(name, path).map(|()| self.keep_earlier(name)),
            };
            let value = Nix::profile_value(&profiles.join(name));
            let kept = kept.and_then(|()| match &value {
                Some(_) => Ok(()),
                None => self.commit(name, path, service.kept_releases()),
            });
            if let Err(reason) = kept {
                problems.push(format!("what service `{name}` runs cannot be kept from Nix's collector: {reason}"));
            }
            if let Some(other) = value.filter(|value| value != Path::new(path)) {
                problems.push(format!(
                    "the profile of service `{name}` leads to `{}`, and `{path}` runs: it was moved by hand, which changes nothing here (`freehold rollback {name}` does)",
                    other.display()
                ));
            }
        }
        problems
    }

    /// Roots for what a rollback may want, if it is still here.
    fn keep_earlier(&self, name: &str) {
        let Ok(record) = self.records.read(name) else { return };
        for service in record.kept().filter_map(|release| ServiceRelease::from_release(release).ok()) {
            let path = &service.artifact.store_path;
            if Path::new(path).exists() {
                // The next release that is gone back to is fetched anyway.
                let _ = self.options.nix.add_root(path, &self.root_of(name, path));
            }
        }
    }

    /// Lets go of every release of a service that its record no longer keeps.
    pub(crate) fn sweep(&self, name: &str, record: &Record) -> Result<(), String> {
        let of = |release| ServiceRelease::from_release(release).ok().map(|service| service.artifact.store_path);
        let kept: BTreeSet<PathBuf> = record.kept().filter_map(of).map(|path| self.root_of(name, &path)).collect();
        let dir = self.roots().join(name);
        let links = match fs_err::read_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|error| error.to_string())?,
        };
        for link in links {
            let link = link.map_err(|error| error.to_string())?.path();
            if !kept.contains(&link) {
                self.options.nix.remove_root(&link).map_err(|error| text(&error))?;
            }
        }
        Ok(())
    }

    /// Lets go of everything in the store that was kept for a service.
    pub(crate) fn let_go(&self, name: &str) -> Result<(), String> {
        self.options.nix.remove_profile(&self.profile_of(name)).map_err(|error| text(&error))?;
        match fs_err::remove_dir_all(self.roots().join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    fn root_of(&self, name: &str, path: &str) -> PathBuf {
        self.roots().join(name).join(base_name(path))
    }

    fn roots(&self) -> PathBuf {
        self.with_nix("gcroots/freehold").unwrap_or_else(|| self.options.state.join("gcroots"))
    }

    fn profile_of(&self, name: &str) -> PathBuf {
        self.profiles().join(name)
    }

    fn profiles(&self) -> PathBuf {
        self.with_nix("profiles/freehold").unwrap_or_else(|| self.options.state.join("profiles"))
    }

    /// A directory in Nix's state, if we may write there.
    fn with_nix(&self, part: &str) -> Option<PathBuf> {
        let dir = self.options.nix.state_dir().join(part);
        fs_err::create_dir_all(&dir).ok()?;
        is_writable(&dir).then_some(dir)
    }
}

/// The last part of a store path.
fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn text(error: &StoreError) -> String {
    freehold_model::chain(error)
}

/// Whether files can be made in this directory.
fn is_writable(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok()
}
