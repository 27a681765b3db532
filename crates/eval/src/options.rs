//! What an evaluator is started with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the deployment's root comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A Nix file: a root, a function `{ freehold, ... }:` of it, or the older `nixops4Deployments` shape.
    File(PathBuf),
    /// An attribute of a flake.
    Flake {
        /// Flake reference as `nix` takes it: a path, `git+https://…`, `.`.
        reference: String,
        /// Attribute path: `["freehold"]`. Empty: the first that is there of `freehold`, the file `instead`, `nixops4`, and
        /// `nixops4Deployments`.
        attribute: Vec<String>,
        /// A file that is taken when the flake has no `freehold` and no attribute is named.
        instead: Option<PathBuf>,
        /// `--override-input NAME REFERENCE`.
        override_inputs: Vec<(String, String)>,
        /// Write `flake.lock` as needed; otherwise locks that it lacks are worked out for this evaluation only.
        write_lock: bool,
    },
}

impl Source {
    /// How messages call it.
    pub fn describe(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Flake { reference, attribute, .. } if attribute.is_empty() => reference.clone(),
            Self::Flake { reference, attribute, .. } => format!("{reference}#{}", attribute.join(".")),
        }
    }
}

/// The programs of Nix.
#[derive(Debug, Clone)]
pub struct NixPrograms {
    /// The directory that has them all: `nix`, `nix-instantiate`, `nix-store`.
    pub bin_dir: PathBuf,
}

impl NixPrograms {
    /// Those in `bin_dir`. (Which Nix is used is found out in `freehold-store`, for all that runs one.)
    pub fn in_dir(bin_dir: impl Into<PathBuf>) -> Self {
        Self { bin_dir: bin_dir.into() }
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }
}

/// What an evaluator is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the deployment's root comes from.
    pub source: Source,
    /// Our Nix library: a directory with `default.nix`.
    pub library: PathBuf,
    /// Program and leading arguments that end up in [`crate::bridge_main`]; the program is an absolute path.
    pub bridge: Vec<OsString>,
    /// Which Nix.
    pub nix: NixPrograms,
    /// Confine the evaluator with Landlock where the kernel has it.
    pub confine: bool,
    /// What the built-in providers offer: `freehold.providers` of the export contract.
    pub providers: serde_json::Value,
    /// Nix's full traces in messages.
    pub show_trace: bool,
    /// `resourceProviderSystem`; `None` for the system of this machine.
    pub system: Option<String>,
    /// The deployment's directory: Nix's working directory.
    pub base_dir: PathBuf,
    /// Variables set for Nix on top of those that are let through.
    pub env: Vec<(OsString, OsString)>,
}

impl Options {
    /// The usual ones for a file.
    pub fn for_file(file: &Path, library: &Path, bridge: Vec<OsString>, nix: NixPrograms) -> Self {
        Self {
            source: Source::File(file.to_owned()),
            library: library.to_owned(),
            bridge,
            nix,
            confine: true,
            providers: serde_json::json!({}),
            show_trace: false,
            system: None,
            base_dir: file.parent().unwrap_or(Path::new("/")).to_owned(),
            env: Vec::new(),
        }
    }
}
