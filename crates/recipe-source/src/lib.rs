//! Recipes from their git repositories, and the directory of apps that abra keeps.
//!
//! A recipe is fetched into a private bare mirror and read at a commit, so that nobody's work tree matters and a remote that is
//! away does no harm. git itself is asked for everything, credentials included. Deliberately without Docker, and without a view on
//! what a recipe means: `freehold-recipe` has that.
//!
//! Read on in `remote.rs` (where a recipe comes from), `mirror.rs` (fetching, versions, commits), `tree.rs` (its files),
//! `work_tree.rs` (`--chaos`), `abra_dir.rs` (apps), `git.rs` (how git is run).

mod abra_dir;
mod error;
mod git;
mod lock;
mod mirror;
mod remote;
mod tree;
mod work_tree;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use abra_dir::AbraDir;
pub use error::SourceError;
pub use mirror::{Mirror, RecipeTag, Revision, Wanted};
pub use remote::{FORGE, NamedBy, Remote};
pub use tree::{RecipeFile, Tree};
pub use work_tree::WorkTree;

/// Where recipes come from and where they are kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory of the mirrors, which is ours alone.
    pub cache: PathBuf,
    /// `$ABRA_DIR`: its work trees name remotes, and `--chaos` reads them.
    pub abra_dir: PathBuf,
    /// `--recipe-base` or `FREEHOLD_RECIPE_BASE`: a URL with one repository per recipe below it.
    pub base: Option<String>,
    /// Fetch nothing.
    pub offline: bool,
    /// Further settings for git, such as `credential.helper=/path/of/a/program`, for a service that has no home. No secrets:
    /// they are given as arguments.
    pub git_settings: Vec<String>,
    /// Set to stop git early.
    pub stop: Arc<AtomicBool>,
}

impl Settings {
    /// The usual: the forge, or what abra's work trees say.
    pub fn new(cache: impl Into<PathBuf>, abra_dir: impl Into<PathBuf>) -> Self {
        let (cache, abra_dir) = (cache.into(), abra_dir.into());
        Self { cache, abra_dir, base: None, offline: false, git_settings: Vec::new(), stop: Arc::default() }
    }
}
