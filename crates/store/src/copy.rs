//! Taking paths from a binary cache that lies in a directory, with Nix checking hashes and signatures.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::error::StoreError;
use crate::messages::Progress;
use crate::nix::Nix;
use crate::realise::{chunks, name_some};
use crate::run;

impl Nix {
    /// Copies exactly these paths from the binary cache in `dir` into the store. `paths` must be in the order of references,
    /// and what they refer to beside themselves must be in the store.
    ///
    /// `trusted_keys` are Nix's `trusted-public-keys`, separated by blanks; a Nix daemon that does not trust us goes by its own.
    ///
    /// # Errors
    /// Nix's own words, for example when a signature is missing. [`StoreError::Stopped`] after `stop` was set.
    pub fn copy_from_directory(
        &self,
        dir: &Path,
        paths: &[String],
        trusted_keys: &str,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), StoreError> {
        for chunk in chunks(paths.to_vec()) {
            let what = format!("take {}", name_some(&chunk));
            let mut command = self.command("nix");
            command
                .args(["--extra-experimental-features", "nix-command", "--log-format", "internal-json"])
                .args(["--option", "trusted-public-keys", trusted_keys, "--option", "require-sigs", "true"])
                .args(["--option", "substituters", ""])
                .args(["copy", "--no-recursive", "--from"])
                .arg(format!("file://{}", dir.display()))
                .args(&chunk);
            let ended = run::watched(command, &what, stop, progress)?;
            if !ended.status.success() {
                return Err(run::failure(&what, &ended));
            }
        }
        Ok(())
    }
}
