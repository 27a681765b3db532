//! Our Nix library, which the binary carries, unpacked where Nix can read it.
//!
//! A directory per version in the cache, made complete before it gets its name: whoever finds it finds all of it.

use std::io;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/library.rs"));
}

/// The directory with `default.nix`; unpacks it when it is not there. `FREEHOLD_LIBRARY` names another.
///
/// # Errors
/// When there is no cache directory, or it cannot be written.
pub(crate) fn directory() -> Result<PathBuf, Failure> {
    if let Some(own) = std::env::var_os("FREEHOLD_LIBRARY").filter(|v| !v.is_empty()) {
        return Ok(own.into());
    }
    let cache = crate::places::cache_dir()?;
    unpack(&cache.join("lib")).map_err(|e| {
        Failure::host(format!("cannot unpack the Nix library below `{}`", cache.display()), e)
            .hint("set XDG_CACHE_HOME to a directory that can be written")
    })
}

fn unpack(parent: &Path) -> io::Result<PathBuf> {
    let target = parent.join(embedded::DIGEST);
    if target.join("default.nix").is_file() {
        return Ok(target);
    }
    let making = parent.join(format!(".{}.{}", embedded::DIGEST, std::process::id()));
    for (name, contents) in embedded::FILES {
        let file = making.join(name);
        fs_err::create_dir_all(file.parent().unwrap_or(&making))?;
        fs_err::write(file, contents)?;
    }
    match fs_err::rename(&making, &target) {
        Ok(()) => Ok(target),
        // Another process was faster; ours is the same.
        Err(_) if target.join("default.nix").is_file() => {
            fs_err::remove_dir_all(&making)?;
            Ok(target)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_unpacked_once_and_whole() {
        let scratch = freehold_testkit::Scratch::new();
        let first = unpack(scratch.path()).unwrap();
        assert!(first.join("lib/root.nix").is_file());
        assert!(first.join("providers/local.json").is_file());
        assert!(!first.join("tests").exists());
        let made = fs_err::metadata(first.join("default.nix")).unwrap().modified().unwrap();
        assert_eq!(unpack(scratch.path()).unwrap(), first);
        assert_eq!(fs_err::metadata(first.join("default.nix")).unwrap().modified().unwrap(), made);
        assert_eq!(fs_err::read_dir(scratch.path()).unwrap().count(), 1);
    }
}
