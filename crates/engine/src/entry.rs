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
        let flake = here("flake.nix").map(|f| fs_err::read_to_string(f).unwrap_or_default());
        // Which attribute a flake has is for Nix to say; its text only decides which of the two is asked for.
        let mentions = |name: &str| flake.as_deref().is_some_and(|text| text.contains(name));
        let of_flake = |attribute: &str| Self {
            dir: cwd.to_owned(),
            source: Source::Flake {
                reference: cwd.display().to_string(),
                attribute: vec![attribute.to_owned()],
                override_inputs: override_inputs.to_vec(),
                write_lock: true,
            },
        };
        if flake.is_some() && (mentions("freehold") && !mentions("nixops4")) {
            return Ok(of_flake("freehold"));
        }
        if let Some(file) = here("nixops4.nix") {
            return Self::of_file(cwd, &file, override_inputs);
        }
        match flake {
            Some(_) if mentions("nixops4Deployments") => Ok(of_flake("nixops4Deployments")),
            Some(_) if mentions("nixops4") => Ok(of_flake("nixops4")),
            Some(_) => Ok(of_flake("freehold")),
            None => Err(EngineError::NoEntry { dir: cwd.to_owned() }),
        }
    }

    fn of_file(cwd: &Path, file: &Path, override_inputs: &[(String, String)]) -> Result<Self, EngineError> {
        if let Some((name, _)) = override_inputs.first() {
            return Err(EngineError::OverrideWithoutFlake { input: name.clone() });
        }
        let mut file = cwd.join(file);
        if file.is_dir() {
            file = file.join("freehold.nix");
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
