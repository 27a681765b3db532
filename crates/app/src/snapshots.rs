//! Copies of an app's volumes: made while it is stopped, compared, named after release and time, put back as a whole.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use freehold_model::limits;
use freehold_runtime::write_durably;
use freehold_swarm::{Copy, Docker, Volume};

use crate::AppError;
use crate::composed::remove;

/// The copies of one app.
#[derive(Debug, Clone)]
pub struct Snapshots {
    dir: PathBuf,
}

const CONTENTS: &str = "contents.json";
/// How the name of a copy ends that is not finished.
const DRAFT: &str = ".draft";

impl Snapshots {
    /// The copies in this directory, which is made when it is first needed.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Their names, in order.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn names(&self) -> Result<Vec<String>, AppError> {
        let entries = match fs_err::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(AppError::file("list", &self.dir)(error)),
        };
        let is_whole = |path: &Path| path.join(CONTENTS).exists() && path.extension().is_none_or(|end| end != "draft");
        let whole = entries.flatten().filter(|entry| is_whole(&entry.path()));
        let mut names: Vec<String> = whole.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// What is in one.
    ///
    /// # Errors
    /// There is none of that name, or it cannot be read.
    pub fn contents(&self, name: &str) -> Result<Vec<Copy>, AppError> {
        let missing = || AppError::NoSnapshot { name: name.to_owned(), known: self.names().unwrap_or_default() };
        if !is_name(name) {
            return Err(missing());
        }
        let path = self.dir.join(name).join(CONTENTS);
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing()),
            Err(error) => return Err(AppError::file("read", path)(error)),
        };
        serde_json::from_slice(&bytes).map_err(|error| AppError::file("read", path)(error.into()))
    }

    /// Whether there is room for copies of these volumes, without what broken off ones have left.
    ///
    /// # Errors
    /// There is none, in bytes or in inodes. What Docker cannot tell is found out while copying.
    pub fn check_room(&self, docker: &Docker, volumes: &[Volume]) -> Result<(), AppError> {
        self.remove_drafts()?;
        let Some(needed) = docker.volume_bytes(volumes).filter(|bytes| *bytes > 0) else { return Ok(()) };
        fs_err::create_dir_all(&self.dir).map_err(AppError::file("make", &self.dir))?;
        // Headers of an archive, and some air for everybody else.
        let needed = needed.saturating_add(needed / 10).saturating_add(16 * 1024 * 1024);
        crate::room::check(&self.dir, needed, limits::SNAPSHOT_INODES)
    }

    /// Whether a copy can be made under this name without touching another.
    ///
    /// # Errors
    /// [`AppError::SnapshotName`], [`AppError::SnapshotExists`].
    pub fn check_new(&self, name: &str) -> Result<(), AppError> {
        if !is_name(name) {
            return Err(AppError::SnapshotName { name: name.to_owned() });
        }
        if self.names()?.iter().any(|known| known == name) {
            return Err(AppError::SnapshotExists { name: name.to_owned() });
        }
        Ok(())
    }

    /// Copies volumes; the copy is there as a whole, or not at all. It takes the place of one of that name: a rollout that was
    /// interrupted makes its copy again.
    ///
    /// # Errors
    /// [`AppError::SnapshotName`], and what reading, writing or comparing gives.
    pub fn make(&self, docker: &Docker, name: &str, volumes: &[Volume]) -> Result<Vec<Copy>, AppError> {
        if !is_name(name) {
            return Err(AppError::SnapshotName { name: name.to_owned() });
        }
        let draft = self.dir.join(format!("{name}{DRAFT}"));
        self.remove_drafts()?;
        let made = self.fill(docker, &draft, name, volumes);
        if made.is_err() {
            // The disk may be full: a half copy is of no use to anybody.
            let _ = remove(&draft);
        }
        made
    }

    /// Drafts of copies that were broken off; whoever works on the app has it for itself.
    fn remove_drafts(&self) -> Result<(), AppError> {
        let entries = match fs_err::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(AppError::file("read", &self.dir)(error)),
        };
        let drafts = entries.filter_map(|entry| Some(entry.ok()?.path()));
        drafts.filter(|path| path.to_string_lossy().ends_with(DRAFT)).try_for_each(|path| remove(&path))
    }

    fn fill(&self, docker: &Docker, draft: &Path, name: &str, volumes: &[Volume]) -> Result<Vec<Copy>, AppError> {
        fs_err::create_dir_all(draft).map_err(AppError::file("make", draft))?;
        let mut copies = Vec::new();
        for (at, volume) in volumes.iter().enumerate() {
            copies.push(docker.copy_volume(volume, &draft.join(format!("{at}.tar")))?);
        }
        let bytes = serde_json::to_vec_pretty(&copies).unwrap_or_default();
        write_durably(&draft.join(CONTENTS), &bytes)?;
        let to = self.dir.join(name);
        remove(&to)?;
        fs_err::rename(draft, &to).map_err(AppError::file("put in its place", &to))?;
        let synced = fs_err::File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(AppError::file("write", &self.dir))?;
        Ok(copies)
    }

    /// Checks that a copy can be put back: its files are those that were made.
    ///
    /// # Errors
    /// One is damaged, or cannot be read.
    pub fn check(&self, name: &str, copies: &[Copy]) -> Result<(), AppError> {
        for (at, copy) in copies.iter().enumerate() {
            copy.check(&self.dir.join(name).join(format!("{at}.tar")))?;
        }
        Ok(())
    }

    /// Puts volumes back as they were; those that the copy does not have stay as they are.
    ///
    /// # Errors
    /// The copy is damaged, or a volume differs from it afterwards.
    pub fn restore(&self, docker: &Docker, name: &str) -> Result<Vec<Copy>, AppError> {
        let copies = self.contents(name)?;
        for (at, copy) in copies.iter().enumerate() {
            docker.restore_volume(copy, &self.dir.join(name).join(format!("{at}.tar")))?;
        }
        Ok(copies)
    }

    /// Removes one; one that is gone is as good.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), AppError> {
        if is_name(name) { remove(&self.dir.join(name)) } else { Ok(()) }
    }
}

/// The longest name; file systems take 255 bytes, and a draft's is longer.
const NAME_BYTES: usize = 200;

/// Whether a name leads to nothing but a copy in the directory.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES
        && !name.starts_with('.')
        && !name.contains(['/', '\0'])
        && !name.ends_with(DRAFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_new_and_leads_to_nothing_else() {
        let scratch = freehold_testkit::Scratch::new();
        let snapshots = Snapshots::new(scratch.join("snapshots"));
        scratch.write("snapshots/monday/contents.json", "[]");
        // A draft that nobody finished is no copy.
        scratch.write("snapshots/tuesday.draft/contents.json", "[]");
        let told = |name: &str| snapshots.check_new(name).map_err(|error| error.to_string()).err();
        assert_eq!(told("tuesday"), None);
        assert_eq!(told("manual-1700000000000"), None);
        for name in ["", ".", "..", "../releases", "a/b", ".hidden", "monday.draft", &"x".repeat(256)] {
            assert_eq!(told(name), Some(format!("`{name}` cannot be the name of a snapshot")));
            assert_eq!(snapshots.contents(name).unwrap_err().to_string(), format!("there is no snapshot `{name}`"));
            snapshots.remove(name).unwrap();
        }
        assert_eq!(told("monday"), Some("there is a snapshot `monday` already".to_owned()));
        assert_eq!(snapshots.names().unwrap(), ["monday"]);
        snapshots.remove_drafts().unwrap();
        assert!(!scratch.join("snapshots/tuesday.draft").exists() && scratch.join("snapshots/monday").exists());
        Snapshots::new(scratch.join("nowhere")).remove_drafts().unwrap();
    }
}
