//! A disk that fills up: a small tmpfs, for tests of what happens when there is no space left.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Scratch, not_run};

/// A mounted tmpfs of a fixed size; unmounted when dropped.
pub struct SmallDisk {
    mount_point: PathBuf,
    _scratch: Scratch,
}

impl SmallDisk {
    /// Mounts a tmpfs that holds `bytes` (rounded up to pages by the kernel).
    ///
    /// `None`, after a report through [`not_run`], where mounting is not allowed: the caller returns then.
    #[must_use]
    pub fn mount(bytes: u64) -> Option<Self> {
        let scratch = Scratch::new();
        let mount_point = scratch.dir("disk");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=755"), "freehold-test"])
            .arg(&mount_point)
            .output();
        let reason = match output {
            Ok(output) if output.status.success() => {
                return Some(Self { mount_point, _scratch: scratch });
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        not_run("a full disk", &format!("a tmpfs cannot be mounted: {reason}"));
        None
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount_point
    }

    /// Writes to `filler` until the disk is full, leaving at most `spare` bytes (whole pages of 4,096).
    pub fn fill(&self, spare: u64) {
        let filler = self.path().join("filler");
        let mut file = std::fs::File::create(&filler)
            .unwrap_or_else(|error| panic!("cannot make `{}`: {error}", filler.display()));
        let page = [0_u8; 4096];
        let mut written = 0_u64;
        while std::io::Write::write_all(&mut file, &page).is_ok() {
            written += 4096;
        }
        file.set_len(written.saturating_sub(spare.next_multiple_of(4096)))
            .unwrap_or_else(|error| panic!("cannot shrink `{}`: {error}", filler.display()));
    }

    /// Removes the filler: there is space again.
    pub fn free(&self) {
        let _ = std::fs::remove_file(self.path().join("filler"));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, so that a process which still has a file open there does not keep the mount.
        let _ = Command::new("umount").arg("--lazy").arg(&self.mount_point).status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_fills_up_and_takes_data_again_once_freed() {
        let Some(disk) = SmallDisk::mount(256 * 1024) else {
            return;
        };
        disk.fill(0);
        let file = disk.path().join("file");
        let error = std::fs::write(&file, [1; 8192]).err().map(|error| error.kind());
        assert_eq!(error, Some(std::io::ErrorKind::StorageFull));
        disk.free();
        assert!(std::fs::write(&file, [1; 8192]).is_ok());
        let path = disk.path().to_owned();
        drop(disk);
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        assert!(!mounts.contains(&*path.to_string_lossy()));
    }
}
