//! What can be wrong with a manifest, said with the place and the way out.

use freehold_model::{ErrorKind, Pointer, did_you_mean};

/// Why a manifest cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Larger than any manifest.
    #[error("the manifest has {bytes} bytes; {most} are the most")]
    TooLarge {
        /// How large.
        bytes: usize,
        /// How large it may be.
        most: usize,
    },
    /// Of a version that is not known.
    #[error("the manifest is of version {found}; this version of freehold knows version {}", crate::VERSION)]
    Version {
        /// As it stands there.
        found: String,
    },
    /// Not JSON, or not of the shape.
    #[error("`{at}` cannot be read: {}", brief(.reason))]
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
    #[error("the signature of `{key}` is not of this manifest: it was changed after it was signed")]
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
            write!(f, "service `{service}`: ")?;
        }
        write!(f, "`{}` {}", self.at, self.message)
    }
}

impl ManifestError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unsigned | Self::Untrusted { .. } | Self::Tampered { .. } => ErrorKind::Config,
            _ => ErrorKind::User,
        }
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Version { .. } => Some("it was made by a newer freehold: install that one here, too".to_owned()),
            Self::Read { at, reason } => read_hint(at, reason),
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

/// Names of fields whose values are a choice, with the choices: messages about them name no choices themselves.
const CHOICES: [(&str, &str); 2] = [
    ("protectSystem", "it may be true, false, \"full\" or \"strict\""),
    ("protectHome", "it may be true, false, \"read-only\" or \"tmpfs\""),
];

fn read_hint(at: &str, reason: &str) -> Option<String> {
    if let Some((_, hint)) = CHOICES.iter().find(|(field, _)| at.ends_with(field)) {
        return Some((*hint).to_owned());
    }
    let unknown = reason.strip_prefix("unknown field `").or_else(|| reason.strip_prefix("unknown variant `"))?;
    let mut names = unknown.split('`').step_by(2);
    let given = names.next()?;
    let known: Vec<&str> = unknown.split('`').skip(2).step_by(2).collect();
    match did_you_mean(given, known.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if known.is_empty() => None,
        None => Some(format!("there is: {}", known.join(", "))),
    }
}

/// A reason without the list of what would have been right, which the hint gives when it helps.
fn brief(reason: &str) -> &str {
    match reason {
        _ if reason.starts_with("unknown ") => reason.split(", expected").next().unwrap_or(reason),
        _ if reason.starts_with("data did not match any variant") => "it is none of the choices",
        _ => reason,
    }
}

fn list(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn keys(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
