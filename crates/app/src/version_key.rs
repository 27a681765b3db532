//! Versions of secrets that come from their values: `v` and eight digits, made with a key that this machine's apps share.
//!
//! Names of secrets and the `.env` are shown to many. Without a key a digest in them would tell whoever guesses a short password that
//! the guess is right. When the key is lost, every such secret becomes another version once.

use std::io::{ErrorKind, Write as _};

use freehold_model::Sensitive;

use crate::release::hex;
use crate::{AppError, Places};

/// Below the apps' directory.
const FILE: &str = "versions.key";
/// Its length. It is fixed, and digests are cut, so that key and value one after the other are as good as an HMAC.
const BYTES: usize = 32;

/// The version of a secret of this value.
///
/// # Errors
/// The key cannot be read or made.
pub(crate) fn version(places: &Places, value: &[u8]) -> Result<String, AppError> {
    let keyed = Sensitive::new([key(places)?.expose(), value].concat());
    Ok(format!("v{}", hex(keyed.expose(), 8)))
}

/// The key; made when there is none. Of several that make it at once one is first, and all take its.
fn key(places: &Places) -> Result<Sensitive<Vec<u8>>, AppError> {
    let path = places.state.join(FILE);
    let read = || fs_err::read(&path).map(Sensitive::new);
    match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        found => return found.map_err(AppError::file("read", &path)),
    }
    let mut bytes = [0_u8; BYTES];
    getrandom::fill(&mut bytes).map_err(|_| AppError::Random)?;
    fs_err::create_dir_all(&places.state).map_err(AppError::file("make", &places.state))?;
    let make = || -> std::io::Result<()> {
        // A file of its owner alone, and whole once it has its name.
        let mut file = tempfile::NamedTempFile::new_in(&places.state)?;
        file.write_all(&bytes)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(&path) {
            Err(failed) if failed.error.kind() != ErrorKind::AlreadyExists => Err(failed.error),
            _ => Ok(()),
        }
    };
    make().and_then(|()| read()).map_err(AppError::file("make", &path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use freehold_testkit::Scratch;

    use super::*;
    use crate::testing::places;

    #[test]
    fn a_version_is_the_same_each_time_and_tells_nothing_without_the_key() {
        let (here, there) = (Scratch::new(), Scratch::new());
        let first = version(&places(&here), b"hunter2").unwrap();
        assert_eq!(version(&places(&here), b"hunter2").unwrap(), first);
        assert_ne!(version(&places(&here), b"hunter3").unwrap(), first);
        assert_ne!(version(&places(&there), b"hunter2").unwrap(), first);
        assert_ne!(first, format!("v{}", hex("hunter2", 8)));
        assert!(first.len() == 9 && first[1..].chars().all(|digit| digit.is_ascii_hexdigit()), "{first}");
        let key = fs_err::metadata(here.join("state/versions.key")).unwrap();
        assert_eq!((key.len(), key.permissions().mode() & 0o777), (32, 0o600));
        assert_eq!(fs_err::read_dir(here.join("state")).unwrap().count(), 1, "nothing else is left");
    }
}
