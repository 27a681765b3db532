//! Options of commands that move the manifest on: who signs, and what may be built on.

use std::path::PathBuf;

use clap::ValueHint;
use freehold_nar::{SecretKey, TrustedKeys};
use freehold_publish::Publisher;

use crate::commands::cache::keys;
use crate::failure::Failure;
use crate::session::Session;

/// Who signs, and what may be built on.
#[derive(Debug, clap::Args)]
pub(crate) struct Signing {
    /// File of the signing key [default: $NIX_CACHE_KEY, then ~/.config/nix/cache-priv-key.pem]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key: Option<PathBuf>,
    /// A key whose manifests are built on beside one's own: NAME:BASE64, or a file that holds it
    #[arg(long, value_name = "KEY")]
    trusted_key: Vec<String>,
    /// Take over a manifest that nobody who is trusted has signed, as it is
    #[arg(long)]
    adopt: bool,
}

/// The keys of a command.
pub(crate) struct Signer {
    pub(crate) key: SecretKey,
    trusted: TrustedKeys,
    adopts: bool,
}

impl Signing {
    /// The keys, read.
    pub(crate) fn signer(&self, session: &Session) -> Result<Signer, Failure> {
        let trusted = keys::trusted(&self.trusted_key)?;
        Ok(Signer { key: keys::signing(self.key.as_deref(), session)?, trusted, adopts: self.adopt })
    }
}

impl Signer {
    pub(crate) fn publisher(&self) -> Publisher<'_> {
        Publisher { key: &self.key, trusted: &self.trusted, adopts: self.adopts }
    }
}
