//! What can be wrong with the texts of a binary cache.

use freehold_model::ErrorKind;

/// Why a text of a binary cache, or a key, cannot be used. No part of a secret key appears in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NarError {
    /// Not the form of a store path.
    #[error("`{text}` is no store path: {reason}")]
    BadPath {
        /// What was given, cut to a line.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not the form of a SHA-256 hash.
    #[error("`{text}` is no SHA-256 hash")]
    BadHash {
        /// What was given, cut to a line.
        text: String,
    },
    /// A narinfo that Nix would not have written.
    #[error("not a narinfo: {reason}")]
    BadNarInfo {
        /// What is wrong with it.
        reason: String,
    },
    /// A `nix-cache-info` that Nix would not have written.
    #[error("not a nix-cache-info: {reason}")]
    BadCacheInfo {
        /// What is wrong with it.
        reason: String,
    },
    /// A public key that cannot be read.
    #[error("not a public key: {reason}")]
    BadPublicKey {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A secret key that cannot be read.
    #[error("not a secret key: {reason}")]
    BadSecretKey {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name that no key can have.
    #[error("`{name}` cannot be the name of a key")]
    BadKeyName {
        /// What was given.
        name: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers for a key: {reason}")]
    NoRandomness {
        /// What it said.
        reason: String,
    },
}

impl NarError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadPath { .. } | Self::BadHash { .. } | Self::BadKeyName { .. } => ErrorKind::User,
            Self::BadNarInfo { .. }
            | Self::BadCacheInfo { .. }
            | Self::BadPublicKey { .. }
            | Self::BadSecretKey { .. } => ErrorKind::Config,
            Self::NoRandomness { .. } => ErrorKind::Host,
        }
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::BadPath { .. } => "a store path is the store's directory, 32 characters, a dash and a name".to_owned(),
            Self::BadPublicKey { .. } => {
                "a public key is one line `NAME:BASE64`, as in the `.pub` file that `freehold cache keygen` writes".to_owned()
            }
            Self::BadSecretKey { .. } => {
                "a secret key is one line `NAME:BASE64`; `freehold cache keygen NAME` and `nix-store --generate-binary-cache-key` make them"
                    .to_owned()
            }
            Self::BadKeyName { .. } => {
                "use a name without colons and blanks, for example the cache's host name and a number: `cache.example.org-1`".to_owned()
            }
            _ => return None,
        })
    }
}

/// The first characters of a foreign text, fit for one line of a message.
pub(crate) fn shown(text: &str) -> String {
    let clean: String = text.chars().take(120).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(120).is_some() { format!("{clean}…") } else { clean }
}
