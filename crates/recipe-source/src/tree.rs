//! The files of a commit, as texts or in a directory of the caller's. Nothing in a recipe can reach out of it.
//!
//! A symlink is followed within the recipe and written as a copy; one that leads anywhere else is refused, and so are names that
//! no recipe needs. Submodules are left out: Co-op Cloud has none.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use freehold_model::limits;
use freehold_recipe::Texts;
use fs_err::os::unix::fs::OpenOptionsExt;

use crate::error::file;
use crate::git::Git;
use crate::{Mirror, SourceError};

/// How many symlinks may lead to each other.
const LINKS: usize = 8;

/// A file of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeFile {
    /// What is in it.
    pub contents: Vec<u8>,
    /// Whether it is a program.
    pub is_executable: bool,
}

/// All files of a recipe at one commit, or of a work tree, by their path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// The files.
    pub files: BTreeMap<String, RecipeFile>,
}

/// An entry as git lists it.
struct Entry {
    mode: String,
    object: String,
    size: u64,
    path: String,
}

impl Mirror {
    /// The files of a commit.
    ///
    /// # Errors
    /// [`SourceError::Unsafe`], [`SourceError::TooLarge`], [`SourceError::Git`].
    pub fn tree(&self, commit: &str) -> Result<Tree, SourceError> {
        let entries = self.entries(commit)?;
        let mut blobs = self.blobs(&entries)?.into_iter();
        let (mut files, mut links) = (BTreeMap::new(), BTreeMap::new());
        for entry in entries {
            let contents = blobs.next().unwrap_or_default();
            if entry.mode == "120000" {
                links.insert(entry.path, String::from_utf8_lossy(&contents).into_owned());
            } else {
                files.insert(entry.path, RecipeFile { contents, is_executable: entry.mode == "100755" });
            }
        }
        Tree::of(&self.recipe, files, &links)
    }

    fn entries(&self, commit: &str) -> Result<Vec<Entry>, SourceError> {
        let git = Git::local("list the files of the recipe", &self.settings);
        let listed =
            git.ask(&self.path, ["ls-tree", "-r", "-z", "--long", "--full-tree", "--end-of-options", commit], b"")?;
        let mut entries = Vec::new();
        for line in String::from_utf8_lossy(&listed).split('\0').filter(|line| !line.is_empty()) {
            let odd = || SourceError::Git { what: "list the files of the recipe", reason: format!("it says `{line}`") };
            let (facts, path) = line.split_once('\t').ok_or_else(odd)?;
            let facts: Vec<&str> = facts.split_whitespace().collect();
            let [mode, kind, object, size] = facts.as_slice() else { return Err(odd()) };
            if *kind == "blob" {
                let size = size.parse().map_err(|_| odd())?;
                let [mode, object, path] = [*mode, *object, path].map(str::to_owned);
                entries.push(Entry { mode, object, size, path });
            }
        }
        let sizes = entries.iter().map(|entry| entry.size);
        check_size(&self.recipe, entries.len(), sizes.fold(0, u64::saturating_add))?;
        Ok(entries)
    }

    /// The contents of all entries in their order.
    fn blobs(&self, entries: &[Entry]) -> Result<Vec<Vec<u8>>, SourceError> {
        let names: String = entries.iter().map(|entry| format!("{}\n", entry.object)).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let what = "read the files of the recipe";
        let output = Git::local(what, &self.settings).ask(&self.path, ["cat-file", "--batch"], names.as_bytes())?;
        let mut rest = output.as_slice();
        let mut blobs = Vec::new();
        for entry in entries {
            let odd = || SourceError::Git { what, reason: format!("it gives no `{}`", entry.path) };
            let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(odd)?;
            let size = usize::try_from(entry.size).map_err(|_| odd())?;
            let contents = rest.get(end + 1..end + 1 + size).ok_or_else(odd)?;
            let is_it = rest[..end] == *format!("{} blob {size}", entry.object).as_bytes();
            if !is_it {
                return Err(odd());
            }
            blobs.push(contents.to_vec());
            rest = rest.get(end + size + 2..).unwrap_or_default();
        }
        Ok(blobs)
    }
}

impl Tree {
    /// Puts files and symlinks together, and refuses what leads out.
    pub(crate) fn of(
        recipe: &str,
        files: BTreeMap<String, RecipeFile>,
        links: &BTreeMap<String, String>,
    ) -> Result<Self, SourceError> {
        let refused =
            |path: &str, reason| SourceError::Unsafe { recipe: recipe.to_owned(), path: path.to_owned(), reason };
        if let Some((path, reason)) = files.keys().chain(links.keys()).find_map(|path| Some((path, bad_path(path)?))) {
            return Err(refused(path, reason));
        }
        let mut copies: Vec<(String, RecipeFile)> = Vec::new();
        let mut size = files.values().map(|file| file.contents.len() as u64).sum();
        for path in links.keys() {
            let target = follow(path, links).ok_or_else(|| refused(path, "is a symlink that leads out of it"))?;
            let inside = files.get(&target).ok_or_else(|| refused(path, "is a symlink to no file of it"))?;
            size += inside.contents.len() as u64;
            check_size(recipe, files.len() + copies.len() + 1, size)?;
            copies.push((path.clone(), inside.clone()));
        }
        let mut all = files;
        all.extend(copies);
        Ok(Self { files: all })
    }

    /// The files that are text, by their path, and those that are not: what `freehold-recipe` reads.
    pub fn texts(&self) -> Texts {
        Texts::of(self.files.iter().map(|(path, file)| (path.as_str(), file.contents.as_slice())))
    }

    /// Writes all files into a directory, which must be empty or not there.
    ///
    /// # Errors
    /// [`SourceError::File`].
    pub fn write(&self, directory: &Path) -> Result<(), SourceError> {
        fs_err::create_dir_all(directory).map_err(file("make the directory", directory))?;
        let is_empty = fs_err::read_dir(directory).map_err(file("read the directory", directory))?.next().is_none();
        if !is_empty {
            return Err(file("write a recipe into", directory)(std::io::ErrorKind::DirectoryNotEmpty.into()));
        }
        for (path, contents) in &self.files {
            let to = directory.join(path);
            let parent = to.parent().unwrap_or(directory);
            fs_err::create_dir_all(parent).map_err(file("make the directory", parent))?;
            let mode = if contents.is_executable { 0o755 } else { 0o644 };
            let mut options = fs_err::OpenOptions::new();
            // New, so that nothing is written through what somebody put there meanwhile.
            let written = options.write(true).create_new(true).mode(mode).open(&to).and_then(|mut opened| {
                opened.set_permissions(std::fs::Permissions::from_mode(mode))?;
                std::io::Write::write_all(&mut opened, &contents.contents)
            });
            written.map_err(file("write", &to))?;
        }
        Ok(())
    }
}

fn check_size(recipe: &str, files: usize, bytes: u64) -> Result<(), SourceError> {
    let what = if files > limits::RECIPE_TREE_FILES {
        format!("{files} files; {} are the most", limits::RECIPE_TREE_FILES)
    } else if bytes > limits::RECIPE_TREE_BYTES {
        format!("{bytes} bytes; {} are the most", limits::RECIPE_TREE_BYTES)
    } else {
        return Ok(());
    };
    Err(SourceError::TooLarge { recipe: recipe.to_owned(), what })
}

fn bad_path(path: &str) -> Option<&'static str> {
    if path.contains(['\\', '\u{fffd}']) || path.chars().any(char::is_control) {
        return Some("has a name that is not plain text");
    }
    let is_bad = |part: &str| matches!(part, "" | "." | "..") || part.eq_ignore_ascii_case(".git");
    path.split('/').any(is_bad).then_some("leads out of it")
}

/// Where a symlink leads within the recipe; `None` when it leads out, or in a circle.
fn follow(link: &str, links: &BTreeMap<String, String>) -> Option<String> {
    let mut path = link.to_owned();
    for _ in 0..LINKS {
        let Some(target) = links.get(&path) else { return Some(path) };
        if target.starts_with('/') || target.is_empty() {
            return None;
        }
        let mut parts: Vec<&str> = path.split('/').collect();
        parts.pop();
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()?),
                part => parts.push(part),
            }
        }
        path = parts.join("/");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_recipe() {
        let link = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let links = [
            link("a", "b/c"),
            link("b/c", "../d"),
            link("e", "../x"),
            link("f", "/etc/passwd"),
            link("g", "g"),
            link("h/i", "./../d"),
        ]
        .into();
        let ends = ["a", "b/c", "e", "f", "g", "h/i"].map(|from| follow(from, &links));
        assert_eq!(ends, [Some("d".to_owned()), Some("d".to_owned()), None, None, None, Some("d".to_owned())]);
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for path in ["../a", "a/../b", "/a", "a//b", ".git/config", "a/.GIT/hooks/x", "a\\b", "a\nb", "."] {
            let files = [(path.to_owned(), RecipeFile { contents: Vec::new(), is_executable: false })].into();
            assert!(matches!(Tree::of("r", files, &BTreeMap::new()), Err(SourceError::Unsafe { .. })), "{path}");
        }
    }
}
