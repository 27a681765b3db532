//! What can be wrong with a manifest, said with the place and the way out.

use freehold_model::{ErrorKind, Pointer, limits};

use crate::words;

/// Why a manifest cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Larger than any manifest.
    #[error("`/` has {bytes} bytes or more; {most} are the most of a manifest")]
    TooLarge {
        /// How large.
        bytes: usize,
        /// How large it may be.
        most: usize,
    },
    /// Of a version that is not known.
    #[error("`/version` is {found}; this version of freehold knows version {}", crate::VERSION)]
    Version {
        /// As it stands there.
        found: String,
    },
    /// Not JSON, or not of the shape.
    #[error("`{at}` cannot be read: {}", words::said(.reason))]
    Read {
        /// The field, as a JSON pointer; `/` for the whole.
        at: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Values that mean nothing or contradict each other.
    #[error("{}", list(.0))]
    Mistakes(Vec<Mistake>),
    /// No service of that name.
    #[error("there is no service `{name}` in the manifest")]
    NoService {
        /// The name.
        name: String,
        /// A name that may be meant.
        meant: Option<String>,
    },
    /// A new service without what it cannot do without.
    #[error("service `{name}` is new and {what} is not given")]
    Missing {
        /// The service.
        name: String,
        /// What is missing.
        what: &'static str,
    },
    /// A value for a field that cannot be put there.
    #[error("`{pointer}` cannot be set: {reason}")]
    Set {
        /// The field.
        pointer: String,
        /// Why not.
        reason: String,
    },
    /// Nobody signed it.
    #[error("the manifest is not signed")]
    Unsigned,
    /// Signed, but by none of the keys that are trusted.
    #[error("the manifest is signed by {}, and by no key that is trusted", keys(.by))]
    Untrusted {
        /// The names of the keys as the signatures give them.
        by: Vec<String>,
    },
    /// A trusted key's name stands beside a signature that is not of this manifest.
    #[error(
        "the signature of `{key}` is not of this manifest: it was changed after it was signed, or another key of that name signed it"
    )]
    Tampered {
        /// The key.
        key: String,
    },
}

/// One thing that must be mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where, as a JSON pointer.
    pub at: Pointer,
    /// What kind of mistake, in a word for programs: `bad-value`, `port-taken`.
    pub code: &'static str,
    /// The service that it is part of.
    pub service: Option<String>,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub hint: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(service) = &self.service {
            write!(f, "service `{}`: ", service.escape_debug())?;
        }
        write!(f, "`{}` {}", self.at, self.message)
    }
}

impl ManifestError {
    /// Of one that was not even fetched whole.
    pub fn of_more_than(bytes: u64) -> Self {
        Self::TooLarge { bytes: usize::try_from(bytes).unwrap_or(usize::MAX), most: limits::MANIFEST_BYTES }
    }

    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unsigned | Self::Untrusted { .. } | Self::Tampered { .. } => ErrorKind::Config,
            _ => ErrorKind::User,
        }
    }

    /// Where it is wrong, as JSON pointers, each with a word for programs; nothing when it is not about a place.
    pub fn places(&self) -> Vec<(String, &'static str)> {
        match self {
            Self::TooLarge { .. } => vec![("/".to_owned(), "too-large")],
            Self::Version { .. } => vec![("/version".to_owned(), "unknown-version")],
            Self::Read { at, reason } => vec![(at.clone(), code_of(reason))],
            Self::Mistakes(all) => all.iter().map(|mistake| (mistake.at.to_string(), mistake.code)).collect(),
            Self::Unsigned => vec![("/signatures".to_owned(), "not-signed")],
            Self::Untrusted { .. } => vec![("/signatures".to_owned(), "not-trusted")],
            Self::Tampered { .. } => vec![("/signatures".to_owned(), "wrong-signature")],
            Self::NoService { .. } | Self::Missing { .. } | Self::Set { .. } => Vec::new(),
        }
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TooLarge { .. } => Some("divide the services among several buckets".to_owned()),
            Self::Version { found } => Some(match found.parse::<u64>() {
                Ok(found) if found > u64::from(crate::VERSION) => {
                    "it was made by a newer freehold: install that one here, too".to_owned()
                }
                _ => format!("write the number as it is: `\"version\": {}`", crate::VERSION),
            }),
            Self::Read { at, reason } => words::hint(at, reason),
            Self::Mistakes(mistakes) => mistakes.first().map(|mistake| mistake.hint.clone()),
            Self::NoService { meant: Some(name), .. } => Some(format!("did you mean `{name}`?")),
            Self::NoService { .. } => Some("`freehold manifest show` lists them".to_owned()),
            Self::Missing { what, .. } => Some(match *what {
                "a store path" => "say `--store-path PATH` or `--installable INSTALLABLE`".to_owned(),
                _ => "say `--command COMMAND`".to_owned(),
            }),
            Self::Set { .. } => {
                Some("write `FIELD/FIELD=JSON`, such as `systemd/restartSec=10` or `revision='\"v2\"'`".to_owned())
            }
            Self::Unsigned => {
                Some("publish it again with a key, or let the agent take it with `--allow-unsigned`".to_owned())
            }
            Self::Untrusted { .. } => {
                Some("give the signer's public key as `--trusted-key`, if it is to be trusted".to_owned())
            }
            Self::Tampered { .. } => {
                Some("publish again; if nobody changed it by hand, look who can write to the bucket".to_owned())
            }
        }
    }
}

/// What kind of mistake it is that JSON is not of the shape.
fn code_of(reason: &str) -> &'static str {
    match reason {
        _ if reason.starts_with("unknown field") => "unknown-field",
        _ if reason.starts_with("missing field") => "missing-field",
        _ if reason.starts_with("duplicate field") => "duplicate-field",
        _ if reason.starts_with("unknown variant") || reason.starts_with("data did not match") => "unknown-word",
        _ if reason.starts_with("invalid value") => "out-of-range",
        _ if reason.starts_with("invalid") || reason == "it is no JSON object" => "wrong-type",
        _ => "no-json",
    }
}

fn list(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn keys(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
