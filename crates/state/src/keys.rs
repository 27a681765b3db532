//! Who may read the secrets of the state: age recipients (a file in the repository) and identities (a file outside of it).
//!
//! Deliberately not here: the encryption of values, see `seal`. A second operator is one recipient more and a `rekey`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use age::x25519::{Identity, Recipient};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::StateError;
use crate::seal::{self, DataKey};

/// Name of the file of recipients, beside the deployment.
pub const RECIPIENTS_FILE: &str = "freehold.recipients";

/// Recipients that secrets are encrypted for, and the identities at hand that open them.
#[derive(Clone, Default)]
pub struct Keys {
    recipients: Vec<Recipient>,
    identities: Vec<Identity>,
}

/// What [`Keys::load_or_create`] has made, to be told to the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeKeys {
    /// A new private key, to be kept safe and never committed.
    pub identity: Option<PathBuf>,
    /// A new recipients file, to be committed.
    pub recipients: Option<PathBuf>,
    /// The recipient that was made or listed.
    pub recipient: String,
}

/// How the data key of a segment is kept: encrypted by age for each recipient.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WrappedKey {
    /// For whom.
    pub recipients: Vec<String>,
    /// Base64 of an age file that holds the data key; empty when there was no recipient.
    pub wrapped: String,
}

impl Keys {
    /// Neither recipients nor identities: what has no secrets can be written, and everything but secrets be read.
    pub fn none() -> Self {
        Self::default()
    }

    /// A fresh pair that lives in memory only: for tests and simulation.
    pub fn ephemeral() -> Self {
        let identity = Identity::generate();
        Self { recipients: vec![identity.to_public()], identities: vec![identity] }
    }

    /// Where the identity is unless told otherwise: `$FREEHOLD_IDENTITY`, else `freehold/identity.age` in the
    /// configuration directory. `env` looks a variable up. `None` without a home.
    pub fn identity_path(env: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
        let set = |name| env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        set("FREEHOLD_IDENTITY").or_else(|| {
            let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
            Some(config.join("freehold").join("identity.age"))
        })
    }

    /// Reads both files; what is not there counts as empty.
    ///
    /// # Errors
    /// When a file that is there cannot be read or understood.
    pub fn load(recipients: &Path, identity: Option<&Path>) -> Result<Self, StateError> {
        Ok(Self {
            recipients: read_recipients(recipients)?,
            identities: identity.map(read_identities).transpose()?.unwrap_or_default(),
        })
    }

    /// Reads both files, and makes what is missing when there is no recipient yet: an identity (mode 0600) and the
    /// recipients file that lists it. A deployment that has recipients is left alone.
    ///
    /// # Errors
    /// When a file cannot be read, understood or written.
    pub fn load_or_create(recipients: &Path, identity: &Path) -> Result<(Self, Option<MadeKeys>), StateError> {
        let mut keys = Self::load(recipients, Some(identity))?;
        if !keys.recipients.is_empty() {
            return Ok((keys, None));
        }
        let made_identity = keys.identities.is_empty();
        if made_identity {
            let new = Identity::generate();
            write_identity(identity, &new)?;
            keys.identities.push(new);
        }
        let own = keys.identities[0].to_public();
        write_recipients(recipients, &own)?;
        let made = MadeKeys {
            identity: made_identity.then(|| identity.to_owned()),
            recipients: Some(recipients.to_owned()),
            recipient: own.to_string(),
        };
        keys.recipients.push(own);
        Ok((keys, Some(made)))
    }

    /// The recipient of the identity in a file: what a further operator sends to one who can `rekey`. Makes the identity (mode 0600)
    /// unless the file is there, and tells whether it did.
    ///
    /// # Errors
    /// When the file cannot be read, understood or written.
    pub fn make_identity(path: &Path) -> Result<(String, bool), StateError> {
        if let Some(identity) = read_identities(path)?.first() {
            return Ok((identity.to_public().to_string(), false));
        }
        let identity = Identity::generate();
        write_identity(path, &identity)?;
        Ok((identity.to_public().to_string(), true))
    }

    /// The recipients, as written (`age1…`).
    pub fn recipients(&self) -> Vec<String> {
        self.recipients.iter().map(ToString::to_string).collect()
    }

    /// The recipients of the identities at hand.
    pub fn own_recipients(&self) -> Vec<String> {
        self.identities.iter().map(|i| i.to_public().to_string()).collect()
    }

    /// A new data key with its wrapped form; `None` without recipients.
    pub(crate) fn new_data_key(&self) -> Result<(Option<DataKey>, WrappedKey), StateError> {
        if self.recipients.is_empty() {
            return Ok((None, WrappedKey::default()));
        }
        let key = seal::new_data_key()?;
        let failed = |e: &dyn std::fmt::Display| StateError::Seal { reason: e.to_string() };
        let recipients = self.recipients.iter().map(|r| r as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients).map_err(|e| failed(&e))?;
        let mut wrapped = Vec::new();
        let mut writer = encryptor.wrap_output(&mut wrapped).map_err(|e| failed(&e))?;
        writer.write_all(&*key).and_then(|()| writer.finish().map(drop)).map_err(|e| failed(&e))?;
        Ok((Some(key), WrappedKey { recipients: self.recipients(), wrapped: BASE64.encode(wrapped) }))
    }

    /// Opens a wrapped data key; `None` when no identity at hand fits.
    pub(crate) fn open(&self, wrapped: &WrappedKey) -> Option<DataKey> {
        let bytes = BASE64.decode(&wrapped.wrapped).ok()?;
        self.identities.iter().find_map(|identity| {
            let clear = Zeroizing::new(age::decrypt(identity, &bytes).ok()?);
            Some(Zeroizing::new(<[u8; 32]>::try_from(clear.as_slice()).ok()?))
        })
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("recipients", &self.recipients()).finish_non_exhaustive()
    }
}

fn read_recipients(path: &Path) -> Result<Vec<Recipient>, StateError> {
    let Some(text) = read_optional(path)? else { return Ok(Vec::new()) };
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| parse_recipient(path, number, line))
        .collect()
}

fn parse_recipient(path: &Path, line: usize, text: &str) -> Result<Recipient, StateError> {
    text.parse().map_err(|_| StateError::Recipient { path: path.display().to_string(), line, text: text.to_owned() })
}

fn read_identities(path: &Path) -> Result<Vec<Identity>, StateError> {
    let Some(text) = read_optional(path)?.map(Zeroizing::new) else { return Ok(Vec::new()) };
    let bad = |reason: String| StateError::Identity { path: path.display().to_string(), reason };
    let mut identities = Vec::new();
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The text itself may be half a key: it is not shown.
        let identity: Identity = line.parse().map_err(|_| bad(format!("line {} is not an age identity", index + 1)))?;
        identities.push(identity);
    }
    if identities.is_empty() {
        return Err(bad("it holds no identity".to_owned()));
    }
    Ok(identities)
}

fn read_optional(path: &Path) -> Result<Option<String>, StateError> {
    match fs_err::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(StateError::io("read", path.display().to_string(), e)),
    }
}

fn write_identity(path: &Path, identity: &Identity) -> Result<(), StateError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let failed = |step, e| StateError::io(step, path.display().to_string(), e);
    let above = path.ancestors().skip(1).take_while(|above| !above.as_os_str().is_empty() && !above.exists());
    let made: Vec<PathBuf> = above.map(Path::to_owned).collect();
    if let Some(parent) = path.parent() {
        // 0700: only the directories that are made here.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|e| failed("make", e))?;
    }
    let secret = identity.to_string();
    let text = Zeroizing::new(format!(
        "# Private key of a Freehold operator: opens the secrets in the state. Keep it, and keep it to yourself.\n\
         # recipient: {}\n{}\n",
        identity.to_public(),
        secret.expose_secret()
    ));
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = write_private(&temporary, text.as_bytes()).and_then(|()| take_name(&temporary, path));
    // Gone already when it was given its name by renaming.
    let _ = fs_err::remove_file(&temporary);
    written.map_err(|e| failed("write", e))?;
    sync_directories(path, &made).map_err(|e| failed("sync the directory of", e))
}

/// A new file that its owner alone can read, durably.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs_err::OpenOptions::new();
    let options = options.write(true).create_new(true);
    fs_err::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all())
}

/// Gives a whole file its name, if nothing has that name. Not every file system has hard links.
fn take_name(temporary: &Path, path: &Path) -> io::Result<()> {
    match fs_err::hard_link(temporary, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => fs_err::rename(temporary, path),
        linked => linked,
    }
}

/// Makes durable that a file is there, and the directories above it that were made for it.
fn sync_directories(path: &Path, made: &[PathBuf]) -> io::Result<()> {
    let holding = made.iter().filter_map(|directory| directory.parent()).chain(path.parent());
    holding
        .filter(|directory| !directory.as_os_str().is_empty())
        .try_for_each(|directory| fs_err::File::open(directory)?.sync_all())
}

fn write_recipients(path: &Path, recipient: &Recipient) -> Result<(), StateError> {
    let failed = |e| StateError::io("write", path.display().to_string(), e);
    let text = format!(
        "# Who may read the secrets in the state of this deployment: one age recipient per line. Commit this file.\n\
         # After a change run `freehold state rekey`.\n{recipient}\n"
    );
    let mut file = fs_err::OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_use_makes_a_private_identity_and_lists_it() {
        let dir = tempfile::tempdir().unwrap();
        let (recipients, identity) = (dir.path().join(RECIPIENTS_FILE), dir.path().join("config/identity.age"));
        let (keys, made) = Keys::load_or_create(&recipients, &identity).unwrap();
        let made = made.unwrap();
        assert_eq!(made.identity.as_deref(), Some(identity.as_path()));
        assert_eq!(keys.recipients(), std::slice::from_ref(&made.recipient));
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs_err::metadata(&identity).unwrap().permissions().mode() & 0o777, 0o600);
        let (again, made_again) = Keys::load_or_create(&recipients, &identity).unwrap();
        assert_eq!(made_again, None);
        let (key, wrapped) = keys.new_data_key().unwrap();
        assert_eq!(again.open(&wrapped), key);
    }

    #[test]
    fn an_identity_that_cannot_be_written_leaves_nothing_in_the_way_of_the_next() {
        let Some(disk) = freehold_testkit::SmallDisk::mount(1 << 20) else { return };
        let identity = disk.path().join("identity.age");
        disk.fill(0);
        Keys::make_identity(&identity).unwrap_err();
        assert!(!identity.exists());
        disk.free();
        assert!(Keys::make_identity(&identity).unwrap().1);
        let left = fs_err::read_dir(disk.path()).unwrap().count();
        assert_eq!(left, 1, "the identity and nothing else");
    }

    #[test]
    fn a_further_operator_makes_an_identity_without_touching_the_recipients() {
        let dir = tempfile::tempdir().unwrap();
        let identity = dir.path().join("identity.age");
        let (recipient, made) = Keys::make_identity(&identity).unwrap();
        assert!(made);
        assert_eq!(Keys::make_identity(&identity).unwrap(), (recipient.clone(), false));
        let keys = Keys::load(&dir.path().join(RECIPIENTS_FILE), Some(&identity)).unwrap();
        assert_eq!((keys.recipients(), keys.own_recipients()), (vec![], vec![recipient]));
    }

    #[test]
    fn a_stranger_cannot_open_a_data_key() {
        let (_, wrapped) = Keys::ephemeral().new_data_key().unwrap();
        assert_eq!(Keys::ephemeral().open(&wrapped), None);
    }

    #[test]
    fn a_bad_recipient_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(RECIPIENTS_FILE);
        fs_err::write(&path, "# ours\n\nage1nonsense # ada\n").unwrap();
        let error = Keys::load(&path, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("line 3 of the recipients file `{}` is not an age recipient: `age1nonsense`", path.display())
        );
    }

    #[test]
    fn the_identity_is_looked_up_in_the_documented_order() {
        let env = |pairs: &'static [(&str, &str)]| {
            Keys::identity_path(move |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()))
        };
        assert_eq!(env(&[("FREEHOLD_IDENTITY", "/k"), ("HOME", "/h")]), Some("/k".into()));
        assert_eq!(env(&[("XDG_CONFIG_HOME", "/c"), ("HOME", "/h")]), Some("/c/freehold/identity.age".into()));
        assert_eq!(env(&[("HOME", "/h")]), Some("/h/.config/freehold/identity.age".into()));
        assert_eq!(env(&[]), None);
    }
}
