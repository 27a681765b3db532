//! Writing files so that they are there wholly or not at all, and directories that go as they came.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::{CWD, OFlags, RenameFlags, XattrFlags, getxattr, renameat_with, setxattr};
use rustix::io::Errno;

use crate::secret;

/// The extended attribute of a directory that was made here, so that whichever file in it is deleted last removes it.
const MADE_HERE: &str = "user.freehold.made";

/// Directories made by this process, for file systems without extended attributes. The lock is held while one is made, so
/// that no other thread sees it without its mark.
static MADE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Writes `contents` to `path` with exactly `mode`, durably; another file of that name is replaced.
pub(crate) fn write(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    put(path, contents, mode, |temporary| fs_err::rename(temporary, path))
}

/// The same where nothing is yet: `AlreadyExists` when something is, or has come in between.
pub(crate) fn write_new(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    if fs_err::symlink_metadata(path).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    put(path, contents, mode, |temporary| {
        match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
            // Not every file system can; a second name is never given in the place of another either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs_err::hard_link(temporary, path)?;
                fs_err::remove_file(temporary)
            }
            renamed => renamed.map_err(io::Error::from),
        }
    })
}

fn put(path: &Path, contents: &[u8], mode: u32, name_it: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let directory = parent(path);
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no name"))?;
    let suffix = secret::bytes(6).map_err(|e| io::Error::other(e.message().to_owned()))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".freehold-{}", secret::hex(&suffix)));
    let temporary = directory.join(temporary);
    let written = write_temporary(&temporary, contents, mode).and_then(|()| name_it(&temporary));
    if written.is_err() {
        // The first error is the one to tell; this only tidies up.
        let _ = fs_err::remove_file(&temporary);
    }
    written?;
    fs_err::File::open(directory)?.sync_all()
}

/// Opens what is a regular file, and `InvalidInput` for anything else. A pipe does not hold it up until somebody comes to the other
/// end.
pub(crate) fn open_file(path: &Path, options: &mut fs_err::OpenOptions) -> io::Result<fs_err::File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let not_regular = || {
        let message = format!("`{}` is not a regular file", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, message)
    };
    let file = match options.custom_flags(flags).open(path) {
        // Nobody reads the pipe, or it is a socket.
        Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => return Err(not_regular()),
        opened => opened?,
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// Makes the directories above `path`; gives those, outermost first, that were made here, now or before.
pub(crate) fn make_parents(path: &Path) -> io::Result<Vec<PathBuf>> {
    let directory = parent(path);
    let mut made = made();
    let mut missing: Vec<PathBuf> = Vec::new();
    let mut here = directory;
    while !here.as_os_str().is_empty() && !here.is_dir() {
        missing.push(here.to_owned());
        let Some(above) = here.parent() else { break };
        here = above;
    }
    for directory in missing.iter().rev() {
        match fs_err::create_dir(directory) {
            Ok(()) => {
                // Not every file system has extended attributes.
                let _ = setxattr(directory, MADE_HERE, b"1", XattrFlags::empty());
            }
            // Another provider process has made it at this moment.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            Err(error) => return Err(error),
        }
        made.insert(directory.clone());
    }
    drop(made);
    Ok(made_above(path))
}

/// The directories above `path`, outermost first, that were made here.
pub(crate) fn made_above(path: &Path) -> Vec<PathBuf> {
    let made = made();
    let is_ours = |above: &Path| made.contains(above) || getxattr(above, MADE_HERE, &mut [0; 8][..]).is_ok();
    let mut ours: Vec<PathBuf> = parent(path).ancestors().take_while(|above| is_ours(above)).map(Into::into).collect();
    ours.reverse();
    ours
}

/// Removes a file; that it is not there is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes those of `directories` (outermost first) that are empty.
pub(crate) fn remove_empty(directories: &[PathBuf]) {
    for directory in directories.iter().rev() {
        // Not empty, or gone: then it is somebody else's matter.
        if fs_err::remove_dir(directory).is_ok() {
            made().remove(directory);
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn write_temporary(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create_new(true);
    fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(contents)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

fn made() -> std::sync::MutexGuard<'static, BTreeSet<PathBuf>> {
    MADE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, b"one", 0o644).unwrap();
        write(&path, b"two", 0o600).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), b"two");
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_there_already_is_not_replaced_by_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a"), dir.path().join("b"));
        write_new(&file, b"one", 0o644).unwrap();
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for path in [&file, &link] {
            assert_eq!(write_new(path, b"two", 0o644).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(fs_err::read(&file).unwrap(), b"one");
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn only_directories_that_were_made_are_removed_and_only_when_empty() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("old")).unwrap();
        let made_dirs = make_parents(&dir.path().join("old/new/newer/file")).unwrap();
        assert_eq!(made_dirs, [dir.path().join("old/new"), dir.path().join("old/new/newer")]);
        let again = make_parents(&dir.path().join("old/new/newer/other")).unwrap();
        assert_eq!(again, made_dirs);
        fs_err::write(dir.path().join("old/new/keep"), "").unwrap();
        remove_empty(&made_dirs);
        assert!(!dir.path().join("old/new/newer").exists());
        assert!(dir.path().join("old/new/keep").exists());
        assert!(dir.path().join("old").exists());
    }
}
