//! Where a recipe comes from: the first of three that applies, and only what holds no secret.

use std::path::Path;

use freehold_recipe::{custom_remote, recipe_folder};

use crate::git::{Git, without_userinfo};
use crate::{Settings, SourceError};

/// Where the recipes of Co-op Cloud live.
pub const FORGE: &str = "https://git.coopcloud.tech/coop-cloud";

/// A repository that a recipe is fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub(crate) url: String,
    /// Who named it.
    pub named_by: NamedBy,
}

/// Who named a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// `--recipe-base` or `FREEHOLD_RECIPE_BASE`.
    Base,
    /// The `origin` of abra's work tree of the recipe.
    AbraOrigin,
    /// The recipe's own name: `mygit.org/myorg/cool`.
    Recipe,
    /// Nobody: the forge of Co-op Cloud.
    Forge,
}

impl Remote {
    /// The URL; it holds no secret.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where a recipe is fetched from.
    ///
    /// # Errors
    /// [`SourceError::Remote`] for what is not taken, and a name that is none.
    pub fn of(recipe: &str, settings: &Settings) -> Result<Self, SourceError> {
        let folder = recipe_folder(recipe)?;
        let (url, named_by) = if let Some(base) = &settings.base {
            (below(base, recipe), NamedBy::Base)
        } else if let Some(url) = origin(&settings.abra_dir.join("recipes").join(folder), settings)? {
            (url, NamedBy::AbraOrigin)
        } else if let Some(url) = custom_remote(recipe) {
            (url, NamedBy::Recipe)
        } else {
            (format!("{FORGE}/{recipe}.git"), NamedBy::Forge)
        };
        check(&url)?;
        Ok(Self { url, named_by })
    }
}

impl std::fmt::Display for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`", without_userinfo(&self.url))
    }
}

/// `BASE/RECIPE`; in a directory of repositories also `BASE/RECIPE.git`.
fn below(base: &str, recipe: &str) -> String {
    let plain = format!("{}/{recipe}", base.trim_end_matches('/'));
    let with_git = format!("{plain}.git");
    match plain.strip_prefix("file://") {
        Some(path) if !Path::new(path).exists() && Path::new(&format!("{path}.git")).exists() => with_git,
        Some(_) => plain,
        None => with_git,
    }
}

/// The `origin` of a work tree; its other settings are left alone.
fn origin(work_tree: &Path, settings: &Settings) -> Result<Option<String>, SourceError> {
    if !work_tree.join(".git").exists() {
        return Ok(None);
    }
    let git = Git::local("read the origin of a recipe's work tree", settings);
    let config = work_tree.join(".git/config");
    // A work tree whose `.git` is a file keeps its settings elsewhere; git finds them.
    let args: Vec<String> = match config.to_str() {
        Some(config) if work_tree.join(".git").is_dir() => {
            ["config", "--file", config, "--get", "remote.origin.url"].map(str::to_owned).into()
        }
        _ => ["config", "--local", "--get", "remote.origin.url"].map(str::to_owned).into(),
    };
    let answer = git.run(work_tree, args, b"")?;
    let url = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    Ok((answer.status.success() && !url.is_empty()).then_some(url))
}

/// Takes URLs that git reaches by itself and that hold no secret.
fn check(url: &str) -> Result<(), SourceError> {
    let wrong = |reason| Err(SourceError::Remote { remote: without_userinfo(url), reason });
    if url.starts_with('-') || url.chars().any(char::is_control) {
        return wrong("it is no address");
    }
    if url.contains("::") {
        return wrong("it would run a program of its own");
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        let is_scp =
            url.split_once(':').is_some_and(|(host, path)| !host.contains('/') && !host.is_empty() && !path.is_empty());
        return if is_scp || url.starts_with('/') { Ok(()) } else { wrong("it is no address") };
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    match scheme {
        "https" | "http" if user.is_some() => wrong("it may hold a secret, which would stand in arguments and files"),
        "https" | "http" if rest.contains(['?', '#']) => wrong("it may hold a secret behind its `?` or `#`"),
        "ssh" | "git" if user.is_some_and(|user| user.contains(':')) => {
            wrong("it holds a secret, which would stand in arguments and files")
        }
        "https" | "http" | "ssh" | "git" if authority.is_empty() => wrong("it names no host"),
        "https" | "http" | "ssh" | "git" | "file" => Ok(()),
        _ => wrong("git has no such transport"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_secrets_are_taken() {
        for url in [
            "https://git.example.org/a/b.git",
            "ssh://git@git.example.org:2222/a/b.git",
            "git@git.example.org:a/b.git",
            "file:///srv/recipes/a",
            "/srv/recipes/a",
        ] {
            assert!(check(url).is_ok(), "{url}");
        }
        for url in [
            "https://me:pw@git.example.org/a",
            "https://t0ken@git.example.org/a",
            "https://git.example.org/a?private_token=t0ken",
            "ssh://me:pw@git.example.org/a",
            "ext::sh -c touch",
            "--upload-pack=x",
            "ftp://x/a",
            "a/b",
            "https:///a",
            "http://x/\na",
        ] {
            let error = check(url).unwrap_err().to_string();
            assert!(!error.contains("pw") && !error.contains("t0ken@"), "{error}");
        }
    }

    #[test]
    fn a_base_has_one_repository_per_recipe() {
        let scratch = freehold_testkit::Scratch::new();
        scratch.dir("a");
        scratch.dir("b.git");
        let base = format!("file://{}/", scratch.path().display());
        assert!(below(&base, "a").ends_with("/a") && below(&base, "b").ends_with("/b.git"));
        assert_eq!(below("https://git.example.org/x", "a"), "https://git.example.org/x/a.git");
    }
}
