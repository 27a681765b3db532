//! Values out of files that are encrypted with sops, decrypted by the real `sops`.
//!
//! sops finds its keys itself (`SOPS_AGE_KEY_FILE`, a key service, …). Beside that it is offered the host's ed25519 SSH key as an age
//! identity, made in the way of ssh-to-age, so that a host needs no further key. Nothing is written to disk, no value and no key
//! is ever an argument.
//!
//! Sources: OpenSSH `PROTOCOL.key` (the file), RFC 8032 5.1.5 (the scalar of an ed25519 key), age's specification (the text form).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use freehold_model::{Sensitive, limits};
use freehold_swarm::run_within;
use sha2::{Digest as _, Sha512};

use crate::AppError;

/// The key that hosts have.
const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
/// Names another.
const HOST_KEY_VARIABLE: &str = "FREEHOLD_SSH_HOST_KEY";
const ARMOUR: (&str, &str) = ("-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----");

/// A value out of an encrypted file: the one under `key` (`a/b` for a nested one), or the whole file without one.
///
/// # Errors
/// [`AppError::Sops`] with what sops says.
pub fn decrypt(file: &Path, key: Option<&str>) -> Result<Sensitive<Vec<u8>>, AppError> {
    let wrong = |reason: String, hint: &str| AppError::Sops { file: file.to_owned(), reason, hint: hint.to_owned() };
    fs_err::metadata(file).map_err(AppError::file("read the encrypted file", file))?;
    let mut command = Command::new("sops");
    command.arg("--decrypt");
    if let Some(key) = key {
        let path: String = key.split('/').map(|part| format!("[{}]", serde_json::Value::from(part))).collect();
        command.args(["--extract", &path]);
    }
    command.arg(file);
    if let Some(identity) = host_identity()? {
        // Beside those that are there: sops tries all.
        let given = std::env::var("SOPS_AGE_KEY").unwrap_or_default();
        command.env("SOPS_AGE_KEY", format!("{given}\n{}", identity.expose()));
    }
    answer(&mut command, limits::SOPS).map_err(|(reason, hint)| wrong(reason, hint))
}

/// What it gives; else what is wrong, and the way out.
fn answer(command: &mut Command, limit: Duration) -> Result<Sensitive<Vec<u8>>, (String, &'static str)> {
    let ended = run_within(command, limit, limits::DOCKER_STACK_BYTES).map_err(|error| {
        (format!("`sops` cannot be run: {error}"), "install sops (https://getsops.io) and put it on the PATH")
    })?;
    let out = Sensitive::new(ended.out);
    match ended.well {
        // A value that is cut off is none.
        Some(true) if out.expose().len() < limits::DOCKER_STACK_BYTES => return Ok(out),
        Some(true) => return Err(("the value is too large".to_owned(), "a secret may have 500 KiB")),
        Some(false) => {}
        None => {
            let reason = format!("`sops` does not come to an end within {} s", limit.as_secs());
            return Err((reason, "does `sops --decrypt FILE` ask something, or does its key service not answer?"));
        }
    }
    let words = String::from_utf8_lossy(&ended.err);
    let words: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).take(6).collect();
    let words: String = words.join("; ").chars().take(limits::DOCKER_WORDS_BYTES).collect();
    let hint = if words.contains("component [") {
        "the file has no such key; `sops FILE` shows those that it has"
    } else {
        "encrypt it for this host, too: `sops updatekeys FILE` after adding what `freehold app secret recipient` prints"
    };
    Err((words, hint))
}

/// The age recipient of this host's SSH key (`age1…`), for `.sops.yaml`.
///
/// # Errors
/// The key cannot be read, or is none that sops could use.
pub fn recipient_of_host() -> Result<String, AppError> {
    let path = host_key();
    let secret = scalar(&path)?.ok_or_else(|| AppError::Sops {
        file: path.clone(),
        reason: "there is no such key".to_owned(),
        hint: format!(
            "`ssh-keygen -t ed25519 -N '' -f {}` makes one; {HOST_KEY_VARIABLE} names another",
            path.display()
        ),
    })?;
    let public = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(*secret.expose()));
    encode("age", public.as_bytes()).ok_or(AppError::Random)
}

fn host_key() -> PathBuf {
    let named = std::env::var_os(HOST_KEY_VARIABLE).filter(|name| !name.is_empty());
    named.map_or_else(|| PathBuf::from(HOST_KEY), PathBuf::from)
}

/// The host's SSH key as an age identity; `None` where there is none, or not for us.
fn host_identity() -> Result<Option<Sensitive<String>>, AppError> {
    let identity = match scalar(&host_key()) {
        Ok(secret) => secret.and_then(|secret| encode("age-secret-key-", secret.expose())),
        // sops may have a key of its own; what is wrong here is told when it has none.
        Err(_) => None,
    };
    Ok(identity.map(|text| Sensitive::new(text.to_uppercase())))
}

fn encode(kind: &str, bytes: &[u8]) -> Option<String> {
    bech32::encode::<bech32::Bech32>(bech32::Hrp::parse(kind).ok()?, bytes).ok()
}

/// The X25519 scalar of an ed25519 key; `None` when there is no such file.
fn scalar(path: &Path) -> Result<Option<Sensitive<[u8; 32]>>, AppError> {
    let text = match fs_err::read_to_string(path) {
        Ok(text) => Sensitive::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(AppError::file("read the host's SSH key", path)(error)),
    };
    let odd = || AppError::Sops {
        file: path.to_owned(),
        reason: "it is no ed25519 key of OpenSSH without a passphrase".to_owned(),
        hint: format!("{HOST_KEY_VARIABLE} names another key"),
    };
    let seed = seed_of(text.expose()).ok_or_else(odd)?;
    let mut scalar = [0_u8; 32];
    let digest = Sha512::digest(seed.expose());
    scalar.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    Ok(Some(Sensitive::new(scalar)))
}

/// The seed in a private key file of OpenSSH.
fn seed_of(text: &str) -> Option<Sensitive<[u8; 32]>> {
    let inner = text.trim().strip_prefix(ARMOUR.0)?.strip_suffix(ARMOUR.1)?;
    let inner: String = inner.split_whitespace().collect();
    let bytes = Sensitive::new(base64::engine::general_purpose::STANDARD.decode(inner).ok()?);
    let mut rest = bytes.expose().strip_prefix(b"openssh-key-v1\0")?;
    let (cipher, _kdf, _options) = (text_of(&mut rest)?, text_of(&mut rest)?, text_of(&mut rest)?);
    if cipher != b"none" || number(&mut rest)? != 1 {
        return None;
    }
    let _public = text_of(&mut rest)?;
    let mut keys = text_of(&mut rest)?;
    let (check, again) = (number(&mut keys)?, number(&mut keys)?);
    if check != again || text_of(&mut keys)? != b"ssh-ed25519" {
        return None;
    }
    let _public = text_of(&mut keys)?;
    // The seed, and the public key once more.
    let private = text_of(&mut keys)?;
    Some(Sensitive::new(private.get(..32)?.try_into().ok()?))
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_be_bytes(*head))
}

fn text_of<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sops_that_hangs_is_given_up_and_a_value_is_whole() {
        let told =
            |script: &str, seconds| answer(Command::new("sh").args(["-c", script]), Duration::from_secs(seconds));
        assert_eq!(told("printf value", 600).unwrap().expose(), b"value");
        let (reason, hint) = told("sleep 600", 1).unwrap_err();
        assert_eq!(reason, "`sops` does not come to an end within 1 s");
        assert!(hint.contains("key service"), "{hint}");
        assert_eq!(told("echo no key >&2; exit 1", 600).unwrap_err().0, "no key");
    }

    #[test]
    fn the_seed_is_read_out_of_a_key_file_of_openssh() {
        // A key file as PROTOCOL.key describes it. That sops decrypts with what comes of it is a story of `tests/secrets`.
        let seed: Vec<u8> = (0..32).collect();
        let text = |parts: &[&[u8]]| -> Vec<u8> {
            parts
                .iter()
                .flat_map(|part| [&u32::try_from(part.len()).unwrap().to_be_bytes()[..], part].concat())
                .collect()
        };
        let private = [seed.as_slice(), &[9; 32]].concat();
        let keys = [&[0, 0, 0, 7, 0, 0, 0, 7][..], &text(&[b"ssh-ed25519", &[9; 32], &private, b"me"])].concat();
        let mut file = b"openssh-key-v1\0".to_vec();
        file.extend(text(&[b"none", b"none", b""]));
        file.extend([0, 0, 0, 1]);
        file.extend(text(&[b"public", &keys]));
        let armoured = |bytes: &[u8]| {
            format!("{}\n{}\n{}\n", ARMOUR.0, base64::engine::general_purpose::STANDARD.encode(bytes), ARMOUR.1)
        };
        assert_eq!(seed_of(&armoured(&file)).unwrap().expose().as_slice(), seed);
        assert!(encode("age-secret-key-", &[1; 32]).unwrap().starts_with("age-secret-key-1"));
        // Cut anywhere it is no key.
        for length in 0..file.len() - 8 {
            assert!(seed_of(&armoured(&file[..length])).is_none(), "{length}");
        }
        assert!(seed_of("-----BEGIN RSA PRIVATE KEY-----").is_none());
    }
}
