//! abra's work tree of a recipe (`$ABRA_DIR/recipes/RECIPE`), which only `--chaos` looks at: as it is, changes included.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use freehold_recipe::{Pin, recipe_folder};

use crate::error::file;
use crate::git::Git;
use crate::tree::RecipeFile;
use crate::{Settings, SourceError, Tree};

/// A recipe as it lies in a work tree.
#[derive(Debug, Clone)]
pub struct WorkTree {
    /// Where.
    pub path: PathBuf,
    /// The commit, and whether there are changes: what the label `chaos-version` says.
    pub pin: Pin,
    /// The files, those that git would ignore left out.
    pub tree: Tree,
}

impl WorkTree {
    /// Reads the work tree of a recipe.
    ///
    /// # Errors
    /// [`SourceError::NoWorkTree`], [`SourceError::Git`], [`SourceError::Unsafe`], [`SourceError::TooLarge`].
    pub fn open(recipe: &str, settings: &Settings) -> Result<Self, SourceError> {
        let path = settings.abra_dir.join("recipes").join(recipe_folder(recipe)?);
        if !path.join(".git").exists() {
            return Err(SourceError::NoWorkTree { path });
        }
        let ask = |what, args: &[&str]| {
            let answer = Git::local(what, settings).ask(&path, args, b"")?;
            Ok::<String, SourceError>(String::from_utf8_lossy(&answer).into_owned())
        };
        let commit = ask("tell the commit of the work tree", &["rev-parse", "--verify", "HEAD^{commit}"])?;
        let status = ask("tell what changed in the work tree", &["status", "--porcelain", "--untracked-files=all"])?;
        let listed =
            ask("list the files of the work tree", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        let hash = commit.trim().chars().take(8).collect();
        let pin = Pin::Commit { hash, is_dirty: !status.trim().is_empty() };
        let tree = read(recipe, &path, listed.split('\0').filter(|name| !name.is_empty()))?;
        Ok(Self { path, pin, tree })
    }
}

fn read<'a>(recipe: &str, root: &Path, names: impl Iterator<Item = &'a str>) -> Result<Tree, SourceError> {
    let (mut files, mut links) = (BTreeMap::new(), BTreeMap::new());
    let mut bytes = 0;
    for name in names {
        let path = root.join(name);
        // Deleted and not yet committed, or a submodule.
        let Ok(metadata) = fs_err::symlink_metadata(&path) else { continue };
        if metadata.is_symlink() {
            let target = fs_err::read_link(&path).map_err(file("read the link", &path))?;
            links.insert(name.to_owned(), target.to_string_lossy().into_owned());
        } else if metadata.is_file() {
            bytes += metadata.len();
            if bytes > freehold_model::limits::RECIPE_TREE_BYTES {
                let what = format!("more than {} bytes", freehold_model::limits::RECIPE_TREE_BYTES);
                return Err(SourceError::TooLarge { recipe: recipe.to_owned(), what });
            }
            let contents = fs_err::read(&path).map_err(file("read", &path))?;
            let is_executable = metadata.permissions().mode() & 0o100 != 0;
            files.insert(name.to_owned(), RecipeFile { contents, is_executable });
        }
    }
    Tree::of(recipe, files, &links)
}
