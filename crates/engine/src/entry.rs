//! Where a deployment comes from: the first that is there of `--file`, `freehold.nix`, a flake, and NixOps4's own places.

use std::path::{Path, PathBuf};

use freehold_eval::Source;

use crate::EngineError;

/// The entry point of a deployment.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The deployment's directory: relative paths in inputs are relative to it.
    pub dir: PathBuf,
    /// What is evaluated.
    pub source: Source,
}

impl Entry {
    /// Looks in `cwd`, or takes `file`; `override_inputs` are for flakes alone.
    ///
    /// # Errors
    /// When there is nothing, or inputs are overridden where there are none.
    pub fn discover(
        cwd: &Path,
        file: Option<&Path>,
        override_inputs: &[(String, String)],
    ) -> Result<Self, EngineError> {
        if let Some(file) = file {
            return Self::of_file(cwd, file, override_inputs);
        }
        let here = |name: &str| Some(cwd.join(name)).filter(|p| p.is_file());
        if let Some(file) = here("freehold.nix") {
            return Self::of_file(cwd, &file, override_inputs);
        }
        let old = here("nixops4.nix");
        let Some(flake) = here("flake.nix") else {
            return match old {
                Some(file) => Self::of_file(cwd, &file, override_inputs),
                None => Err(EngineError::NoEntry { dir: cwd.to_owned() }),
            };
        };
        // Which attribute a flake has it says itself when it is evaluated. That takes its inputs, which somebody who has a
        // `nixops4.nix` and does not know us need not have at hand.
        let may_be_ours = || fs_err::read_to_string(&flake).unwrap_or_default().contains("freehold");
        if let Some(file) = old.as_ref().filter(|_| !may_be_ours()) {
            return Self::of_file(cwd, file, override_inputs);
        }
        let source = Source::Flake {
            reference: cwd.display().to_string(),
            attribute: Vec::new(),
            instead: old,
            override_inputs: override_inputs.to_vec(),
            write_lock: true,
        };
        Ok(Self { dir: cwd.to_owned(), source })
    }

    fn of_file(cwd: &Path, file: &Path, override_inputs: &[(String, String)]) -> Result<Self, EngineError> {
        let file = cwd.join(file);
        if file.is_dir() {
            let dir = fs_err::canonicalize(&file).map_err(|source| EngineError::ReadEntry { file, source })?;
            return Self::discover(&dir, None, override_inputs);
        }
        if let Some((name, _)) = override_inputs.first() {
            return Err(EngineError::OverrideWithoutFlake { input: name.clone() });
        }
        let file =
            fs_err::canonicalize(&file).map_err(|source| EngineError::ReadEntry { file: file.clone(), source })?;
        let dir = file.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self { dir, source: Source::File(file) })
    }

    /// How messages call it.
    pub fn describe(&self) -> String {
        self.source.describe()
    }
}
