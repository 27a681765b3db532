//! Room on a disk, in bytes and in inodes: a disk of many small files is full before its bytes are.

use std::path::Path;

use freehold_model::limits;
use freehold_swarm::{Docker, SwarmError};

use crate::AppError;

/// Whether a directory's disk has this much room.
///
/// # Errors
/// [`SwarmError::NoRoom`], [`SwarmError::NoInodes`].
pub(crate) fn check(path: &Path, bytes: u64, inodes: u64) -> Result<(), AppError> {
    let facts = rustix::fs::statvfs(path).map_err(|error| AppError::file("look at", path)(error.into()))?;
    let free = facts.f_bavail.saturating_mul(facts.f_frsize);
    if free < bytes {
        return Err(SwarmError::NoRoom { path: path.to_owned(), needed: bytes, free }.into());
    }
    // A file system that makes inodes as it needs them tells of none.
    if facts.f_files > 0 && facts.f_favail < inodes {
        return Err(SwarmError::NoInodes { path: path.to_owned(), needed: inodes, free: facts.f_favail }.into());
    }
    Ok(())
}

/// Whether Docker has room for images that are still to be fetched. One on another machine is not looked at.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_for_images(docker: &Docker, images: &[String]) -> Result<(), AppError> {
    let Some(root) = docker.local_root()?.filter(|root| root.is_dir()) else { return Ok(()) };
    for image in images {
        if !docker.has_image(image)? {
            return check(&root, limits::IMAGE_ROOM_BYTES, limits::IMAGE_ROOM_INODES);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_counted_in_bytes_and_in_inodes() {
        let scratch = freehold_testkit::Scratch::new();
        check(scratch.path(), 1, 1).unwrap();
        let told = |bytes, inodes| check(scratch.path(), bytes, inodes).unwrap_err().to_string();
        assert!(told(u64::MAX, 1).contains("bytes are free"), "{}", told(u64::MAX, 1));
        // A file system without a count of them has room for any.
        let facts = rustix::fs::statvfs(scratch.path()).unwrap();
        if facts.f_files > 0 {
            assert!(told(1, u64::MAX).contains("inodes are free"), "{}", told(1, u64::MAX));
        }
    }
}
