//! What a release is composed of: a commit in the recipe's mirror, or with `--chaos` the work tree as it lies there.

use freehold_recipe::{Pin, Tag};
use freehold_recipe_source::{Mirror, Tree, WorkTree};

use crate::release::hex;
use crate::{AppError, AppRelease};

/// Where the files of a release come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The private mirror of the recipe.
    Mirror(Box<Mirror>),
    /// A work tree of a person.
    Work(Box<WorkTree>),
}

impl Source {
    /// The recipe's files at a commit; a work tree has only those that it has.
    pub(crate) fn tree(&self, commit: &str) -> Result<Tree, AppError> {
        match self {
            Self::Mirror(mirror) => Ok(mirror.tree(commit)?),
            Self::Work(work) => Ok(work.tree.clone()),
        }
    }

    /// Whether a release can come from here.
    pub(crate) fn has(&self, release: &AppRelease, env: &freehold_recipe::EnvFile) -> bool {
        match self {
            Self::Mirror(_) => true,
            Self::Work(work) => release_of(work, env) == *release,
        }
    }

    /// The tags of the repository, as lint looks at them; a work tree is not released.
    pub(crate) fn tags(&self) -> Vec<Tag> {
        let Self::Mirror(mirror) = self else { return Vec::new() };
        let tags = mirror.tags().iter();
        tags.map(|tag| Tag { name: tag.name.clone(), is_annotated: tag.is_annotated }).collect()
    }
}

/// What a work tree would be as a release: two of one commit with other changes are two releases.
pub(crate) fn release_of(work: &WorkTree, env: &freehold_recipe::EnvFile) -> AppRelease {
    let mut all = String::new();
    for (path, file) in &work.tree.files {
        all += &format!("{path} {} {}\n", file.is_executable, hex(&file.contents, 64));
    }
    AppRelease::of(&work.pin, &hex(&all, 12), env)
}

/// Whether a version is of a work tree that had changes: nobody can compose it again.
pub(crate) fn is_dirty(version: &str) -> bool {
    matches!(version.parse(), Ok(Pin::Commit { is_dirty: true, .. }))
}
