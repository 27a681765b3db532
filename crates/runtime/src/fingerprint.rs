//! Which bytes lie under a name, told without reading them: what was read once need not be read again while this is the same.
//!
//! Two versions of a file may look alike when both were written within one tick of the clock that files are stamped by. So a
//! fingerprint is good for comparing only when it [`is settled`](Fingerprint::is_settled): old enough for any later change to
//! be stamped differently. Whoever replaces a file, by whatever means, changes it; only the clock being set back could hide that.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use freehold_model::limits;

/// The file that lies under a name, and when its bytes were changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds since 1970 and nanoseconds, as the owner may have set it.
    modified: (i64, i64),
    /// The same, as the kernel says: nobody can set it.
    changed: (i64, i64),
}

impl Fingerprint {
    /// Of the file at this path, which must be there.
    pub fn of(path: &Path) -> Option<Self> {
        let meta = fs_err::metadata(path).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Whether whatever is done to the file from now on gives it another fingerprint.
    pub fn is_settled(&self) -> bool {
        let since = |(seconds, nanos): (i64, i64)| {
            let seconds = u64::try_from(seconds).ok()?;
            let at = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(nanos).ok()?);
            SystemTime::now().duration_since(at).ok()
        };
        let is_old = |time| since(time).is_some_and(|age| age >= limits::FILE_SETTLED);
        is_old(self.modified) && is_old(self.changed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

    use freehold_testkit::Scratch;

    use super::*;

    #[test]
    fn what_was_written_just_now_is_not_settled_and_what_is_replaced_is_another() {
        let scratch = Scratch::new();
        let path = scratch.write("record", "one");
        let first = Fingerprint::of(&path).unwrap();
        assert!(!first.is_settled());
        assert_eq!(Fingerprint::of(&path), Some(first));
        // A time that somebody sets is not believed: the kernel's own says when it was done.
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        let dated = Fingerprint::of(&path).unwrap();
        assert_ne!(dated, first);
        assert!(!dated.is_settled());
        std::fs::rename(scratch.write("record.new", "two"), &path).unwrap();
        assert_ne!(Fingerprint::of(&path), Some(dated));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Fingerprint::of(&path), None);
    }
}
