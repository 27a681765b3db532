//! A release of an app: the recipe's version, its commit, and the digest of the app's `.env`. Equal releases deploy the same.

use freehold_recipe::{EnvFile, Pin};
use freehold_rollout::Release;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::AppError;

/// The label by which services tell their release.
pub(crate) const LABEL: &str = "freehold.release";

/// What a release is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRelease {
    /// The version, or the commit of a work tree, as `TYPE` names it.
    pub version: String,
    /// The first twelve digits of the commit.
    pub commit: String,
    /// The first twelve digits of the digest of the `.env`.
    pub env: String,
}

impl AppRelease {
    /// Of a commit of the recipe, with the `.env` as it is.
    pub fn of(pin: &Pin, commit: &str, env: &EnvFile) -> Self {
        Self { version: pin.to_string(), commit: commit.chars().take(12).collect(), env: env_digest(env) }
    }

    /// From the identity of a release; `None` when it is not one of an app.
    pub fn parse(id: &str) -> Option<Self> {
        let mut words = id.split(' ').map(str::to_owned);
        let (version, commit, env) = (words.next()?, words.next()?, words.next()?);
        words.next().is_none().then_some(Self { version, commit, env })
    }

    /// As the rollout knows it.
    ///
    /// # Errors
    /// It cannot be one.
    pub fn to_release(&self, domain: &str) -> Result<Release, AppError> {
        let payload = json!({ "version": self.version, "commit": self.commit });
        let wrong = |source| AppError::Release { domain: domain.to_owned(), source };
        Release::new(self.to_string(), payload).map_err(wrong)
    }

    /// The name of what is kept of it on disk.
    pub(crate) fn folder(&self) -> String {
        hex(self.to_string(), 16)
    }
}

impl std::fmt::Display for AppRelease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.version, self.commit, self.env)
    }
}

/// The version of a release's identity, for people.
pub(crate) fn version_of(release: &Release) -> String {
    AppRelease::parse(release.id()).map_or_else(|| release.id().to_owned(), |release| release.version)
}

/// What of an `.env` makes a difference to what is deployed: every variable but the pin, which the release names itself.
pub(crate) fn env_digest(env: &EnvFile) -> String {
    let mut text = String::new();
    for (name, value) in env.variables() {
        if !["TYPE", "RECIPE"].contains(&name.as_str()) {
            text += &format!("{name}={}:{value}\n", value.len());
        }
    }
    hex(&text, 12)
}

/// The first digits of what SHA-256 makes of something.
pub(crate) fn hex(of: impl AsRef<[u8]>, digits: usize) -> String {
    Sha256::digest(of).iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).map(char::from).take(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_version_commit_and_env_and_not_the_pin() {
        let env = |text: &str| EnvFile::parse("x.env", text).unwrap();
        let pin: Pin = "1.0.0+1.2".parse().unwrap();
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let release = AppRelease::of(&pin, commit, &env("TYPE=x\nA=1\n"));
        assert_eq!(release, AppRelease::of(&pin, commit, &env("# hello\nTYPE=x:1.0.0+1.2\nA='1'\n")));
        assert_ne!(release, AppRelease::of(&pin, commit, &env("TYPE=x\nA=2\n")));
        assert!(release.to_string().starts_with("1.0.0+1.2 0123456789ab "), "{release}");
        assert_eq!(AppRelease::parse(&release.to_string()), Some(release));
        assert_eq!(AppRelease::parse("1.0.0"), None);
    }
}
