//! Keys for the commands: the one that signs, from a file, and those that are trusted, from the command line.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use freehold_model::limits;
use freehold_nar::{PublicKey, SecretKey, TrustedKeys};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use fs_err::{File, OpenOptions};

use crate::failure::Failure;
use crate::session::Session;

/// The variable that names the file of the signing key.
const VARIABLE: &str = "NIX_CACHE_KEY";
/// The file below the configuration directory where the key is looked for at last.
const USUAL: &str = "nix/cache-priv-key.pem";

/// The key that signs: of `--key`, else of `$NIX_CACHE_KEY`, else `~/.config/nix/cache-priv-key.pem`.
///
/// # Errors
/// When there is none, or its file holds none.
pub(crate) fn signing(given: Option<&Path>, session: &Session) -> Result<SecretKey, Failure> {
    let path = given.map(Path::to_owned).or_else(|| variable(VARIABLE)).or_else(usual).ok_or_else(|| {
        Failure::user("there is no key to sign with")
            .hint(format!("say `--key FILE`, set {VARIABLE} to the file, or keep it in ~/.config/{USUAL}"))
            .hint("`freehold cache keygen NAME` makes one")
    })?;
    let text = read(&path)?;
    let key = SecretKey::parse(&text).map_err(|error| named(&path, error))?;
    let mode = fs_err::metadata(&path)?.mode();
    if mode & 0o077 != 0 {
        session.ui.warn(&format!("others can read the signing key `{}`: `chmod 600` it", path.display()));
    }
    Ok(key)
}

/// The keys that are trusted: each `NAME:BASE64`, or a file that holds such lines. There is none only when none was given.
///
/// # Errors
/// When one is neither, or a file without a key.
pub(crate) fn trusted(given: &[String]) -> Result<TrustedKeys, Failure> {
    let mut keys = Vec::new();
    for text in given {
        if let Ok(key) = PublicKey::parse(text) {
            keys.push(key);
            continue;
        }
        let path = Path::new(text);
        if !text.contains(':') && !path.exists() {
            return Err(Failure::user(format!("there is no file `{text}` with a key")).hint(
                "a key is `NAME:BASE64`, or a file of such lines as `freehold cache keygen` writes it (`NAME.pub`)",
            ));
        }
        if !path.is_file() {
            // What is wrong with it as a key says more than that there is no such file.
            return Err(PublicKey::parse(text).err().map_or_else(|| Failure::user("no key"), Failure::from));
        }
        let found = TrustedKeys::parse(&read(path)?).map_err(|error| named(path, error))?;
        if found.is_empty() {
            // What checks nothing must not look like what found everything well.
            return Err(Failure::user(format!("there is no key in `{}`", path.display())).hint(
                "it should hold a line `NAME:BASE64`, as in the `.pub` file that `freehold cache keygen` writes",
            ));
        }
        keys.extend(found.keys().iter().cloned());
    }
    Ok(TrustedKeys::new(keys))
}

/// Writes a file that must not be there yet.
///
/// # Errors
/// When it is, or the system refuses.
pub(crate) fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(file.sync_all()?)
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    File::open(path)?.take(limits::NARINFO_BYTES as u64).read_to_string(&mut text)?;
    Ok(text)
}

fn named(path: &Path, error: freehold_nar::NarError) -> Failure {
    let hint = error.hint();
    let failure = Failure::user(format!("`{}`: {error}", path.display()));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn usual() -> Option<PathBuf> {
    let own = variable("XDG_CONFIG_HOME");
    let home = variable("HOME").map(|home| home.join(".config"));
    [own, home].into_iter().flatten().map(|dir| dir.join(USUAL)).find(|path| path.is_file())
}
