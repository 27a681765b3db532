//! Private bare mirrors of recipes' repositories: fetched whole or not at all, and good for use when the remote is away.
//!
//! A mirror belongs to one remote, has no remote in its configuration and no work tree. Nothing is ever removed from it, so a
//! commit that was deployed once can be deployed again, whatever became of its branch or tag.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use freehold_model::{chain, limits};
use freehold_recipe::{Pin, RecipeError, Version, find_version, recipe_folder};

use crate::error::file;
use crate::git::{Answer, Git};
use crate::{Remote, Settings, SourceError, lock};

/// A file in a mirror that was written when it was brought up to date last.
const FETCHED: &str = "fetched";

/// What a recipe's commit is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The newest release; the newest commit when there is no version at all.
    Newest,
    /// A version by its name, or by its left half where that is enough.
    Version(String),
    /// A commit by its hash, at least seven characters.
    Commit(String),
}

/// A tag of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeTag {
    /// Its name.
    pub name: String,
    /// Whether it is an object of its own; abra refuses recipes that have lightweight ones.
    pub is_annotated: bool,
    /// The object that it names: the tag's own, or the commit.
    pub object: String,
    /// The commit that it leads to; `None` when it leads to another tag, or to none.
    pub commit: Option<String>,
}

/// A commit of a recipe, and what an app's `TYPE` says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The whole hash.
    pub commit: String,
    /// The version, or the commit when it was asked for by that.
    pub pin: Pin,
}

/// A recipe's repository on this machine.
#[derive(Debug, Clone)]
pub struct Mirror {
    pub(crate) recipe: String,
    pub(crate) path: PathBuf,
    pub(crate) settings: Settings,
    tags: Vec<RecipeTag>,
    /// Where it was fetched from.
    pub remote: Remote,
    /// What a person should hear: that the remote could not be reached, that a tag was moved.
    pub warnings: Vec<String>,
}

impl Mirror {
    /// Fetches a recipe, or opens what was fetched before when the remote cannot be reached or `settings.offline` says so.
    ///
    /// # Errors
    /// [`SourceError::Fetch`] and [`SourceError::Offline`] when there is no mirror to fall back on, [`SourceError::Locked`],
    /// [`SourceError::Stopped`].
    pub fn open(recipe: &str, settings: &Settings) -> Result<Self, SourceError> {
        let remote = Remote::of(recipe, settings)?;
        let name = format!("{}-{:016x}.git", recipe_folder(recipe)?, fnv1a(remote.url.as_bytes()));
        let path = settings.cache.join(name);
        let (recipe, settings) = (recipe.to_owned(), settings.clone());
        let mirror = Self { recipe, path, settings, tags: Vec::new(), remote, warnings: Vec::new() };
        match mirror.settings.offline {
            false => mirror.fetched(),
            true if mirror.path.exists() => mirror.with_tags(),
            true => Err(mirror.offline()),
        }
    }

    fn fetched(mut self) -> Result<Self, SourceError> {
        let settings = &self.settings;
        fs_err::create_dir_all(&settings.cache).map_err(file("make the directory", &settings.cache))?;
        let lock_path = self.path.with_extension("lock");
        let lock = lock::take(&lock_path, &self.path, limits::RECIPE_LOCK, &settings.stop)?;
        let fetched = if self.path.exists() { self.update(&lock) } else { self.make(&lock) };
        match fetched {
            Err(error @ (SourceError::Stopped { .. } | SourceError::Start { .. })) => Err(error),
            Err(error) if self.path.exists() => {
                let since = self.fetched_at().map_or_else(|| "before".to_owned(), |at| format!("at {at}"));
                self.warnings.push(format!("using what was fetched {since}: {}", chain(&error)));
                self.with_tags()
            }
            Err(error) => Err(error),
            Ok(()) => Ok(self),
        }
    }

    fn with_tags(mut self) -> Result<Self, SourceError> {
        self.tags = tags_of(&self.path, &self.settings)?;
        Ok(self)
    }

    /// When it was brought up to date last, to the second; unknown of one that an older version made.
    fn fetched_at(&self) -> Option<jiff::Timestamp> {
        let at = fs_err::metadata(self.path.join(FETCHED)).and_then(|file| file.modified()).ok()?;
        jiff::Timestamp::try_from(at).ok()?.round(jiff::Unit::Second).ok()
    }

    /// The recipe's name.
    pub fn recipe(&self) -> &str {
        &self.recipe
    }

    /// Where it lies on this machine.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All tags, as they were when it was opened.
    pub fn tags(&self) -> &[RecipeTag] {
        &self.tags
    }

    /// All versions that have a tag, oldest first.
    pub fn versions(&self) -> Vec<Version> {
        self.versions_of(|_| true)
    }

    /// The versions that are releases, oldest first: their tags are annotated. A lightweight one may be moved without anybody
    /// seeing it, and is deployed only when it is named, if at all.
    pub fn releases(&self) -> Vec<Version> {
        self.versions_of(|tag| tag.is_annotated)
    }

    fn versions_of(&self, counts: impl Fn(&RecipeTag) -> bool) -> Vec<Version> {
        let counted = self.tags.iter().filter(|tag| counts(tag));
        let mut versions: Vec<Version> = counted.filter_map(|tag| tag.name.parse().ok()).collect();
        versions.sort();
        versions
    }

    /// The commit that is asked for.
    ///
    /// # Errors
    /// [`RecipeError::NoVersion`] and [`SourceError::NoCommit`].
    pub fn resolve(&self, wanted: &Wanted) -> Result<Revision, SourceError> {
        let (versions, releases) = (self.versions(), self.releases());
        let version = match wanted {
            Wanted::Version(name) => Some(find_version(&versions, name)?),
            // Where there is no release, a version is nearer to one than a commit; lint says what it is.
            Wanted::Newest => releases.last().or(versions.last()),
            Wanted::Commit(hash) => return self.commit(hash),
        };
        match version {
            Some(version) => {
                let known = self.tags.iter().find(|tag| tag.name == version.to_string());
                let commit = match known.and_then(|tag| tag.commit.clone()) {
                    Some(commit) => Some(commit),
                    None => self.parse(&format!("refs/tags/{version}^{{commit}}"))?,
                };
                let gone = || RecipeError::NoVersion { version: version.to_string(), hint: None };
                Ok(Revision { commit: commit.ok_or_else(gone)?, pin: Pin::Version(version.clone()) })
            }
            None => self.commit(&self.head()?),
        }
    }

    fn commit(&self, hash: &str) -> Result<Revision, SourceError> {
        let missing = || SourceError::NoCommit { recipe: self.recipe.clone(), commit: hash.to_owned() };
        let is_hash = (7..=64).contains(&hash.len()) && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let commit = if is_hash { self.parse(&format!("{hash}^{{commit}}"))? } else { None };
        let commit = commit.ok_or_else(missing)?;
        // abra shows and writes eight characters.
        let hash = commit.chars().take(8).collect();
        Ok(Revision { pin: Pin::Commit { hash, is_dirty: false }, commit })
    }

    /// The newest commit of the default branch.
    fn head(&self) -> Result<String, SourceError> {
        let found = self.parse("refs/freehold/head^{commit}")?;
        found.ok_or_else(|| SourceError::NoCommit { recipe: self.recipe.clone(), commit: "HEAD".to_owned() })
    }

    fn parse(&self, name: &str) -> Result<Option<String>, SourceError> {
        let git = Git::local("look a commit up", &self.settings);
        let answer = git.run(&self.path, ["rev-parse", "--verify", "--quiet", "--end-of-options", name], b"")?;
        let hash = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        Ok((answer.status.success() && !hash.is_empty()).then_some(hash))
    }

    /// Makes the mirror beside its place and moves it there when it is whole.
    fn make(&mut self, lock: &std::fs::File) -> Result<(), SourceError> {
        let draft = self.path.with_extension("draft");
        // Whoever left one behind had the lock that we have now.
        if draft.exists() {
            fs_err::remove_dir_all(&draft).map_err(file("remove the unfinished mirror", &draft))?;
        }
        fs_err::create_dir_all(&draft).map_err(file("make the directory", &draft))?;
        if let Err(error) = self.fill(&draft, lock) {
            let _ = fs_err::remove_dir_all(&draft);
            return Err(error);
        }
        fs_err::rename(&draft, &self.path).map_err(file("put the mirror in its place", &self.path))?;
        self.tags = tags_of(&self.path, &self.settings)?;
        Ok(())
    }

    fn fill(&self, draft: &Path, lock: &std::fs::File) -> Result<(), SourceError> {
        let git = Git { lock: Some(lock), ..Git::local("make a mirror", &self.settings) };
        git.ask(draft, ["init", "--quiet", "--bare", "--template=", "."], b"")?;
        self.fetch(draft, lock)
    }

    fn update(&mut self, lock: &std::fs::File) -> Result<(), SourceError> {
        remove_locks(&self.path);
        let before = tags_of(&self.path, &self.settings)?;
        self.fetch(&self.path, lock)?;
        self.tags = tags_of(&self.path, &self.settings)?;
        let after: BTreeMap<&str, &str> =
            self.tags.iter().map(|tag| (tag.name.as_str(), tag.object.as_str())).collect();
        for RecipeTag { name, object, .. } in &before {
            match after.get(name.as_str()) {
                Some(now) if now != object => {
                    self.warnings.push(format!("the version `{name}` is not what it was: its tag was moved"))
                }
                Some(_) => {}
                None => self.warnings.push(format!("the version `{name}` was withdrawn: its tag is gone")),
            }
        }
        Ok(())
    }

    /// Fetches whole or not at all.
    fn fetch(&self, into: &Path, lock: &std::fs::File) -> Result<(), SourceError> {
        let mut answer = self.try_fetch(into, lock)?;
        if !answer.status.success() && is_conflict(&answer.reason) {
            let in_the_way = self.refs_in_the_way(into, lock)?;
            if !in_the_way.is_empty() {
                self.change_refs(into, lock, "delete", &in_the_way)?;
                let again = self.try_fetch(into, lock);
                if !again.as_ref().is_ok_and(|answer| answer.status.success()) {
                    // What came in between is told; a mirror without these would still be whole as far as its remote is.
                    let _ = self.change_refs(into, lock, "create", &in_the_way);
                }
                answer = again?;
            }
        }
        if answer.status.success() {
            // For a message only.
            let _ = fs_err::write(into.join(FETCHED), "");
            return Ok(());
        }
        let remote = self.remote.to_string();
        Err(SourceError::Fetch { recipe: self.recipe.clone(), remote, reason: answer.reason })
    }

    fn try_fetch(&self, into: &Path, lock: &std::fs::File) -> Result<Answer, SourceError> {
        let output = limits::RECIPE_STDERR_BYTES as u64;
        let watched = Some((into, limits::RECIPE_MIRROR_BYTES));
        let git = Git { watched, output, ..self.git("fetch the recipe", lock) };
        let branches = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let common = [
            "fetch",
            "--quiet",
            "--atomic",
            "--prune",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--",
        ];
        let args = |head: &'static [&'static str]| {
            common.iter().copied().chain([self.remote.url.as_str()]).chain(branches).chain(head.iter().copied())
        };
        let answer = git.run(into, args(&["+HEAD:refs/freehold/head"]), b"")?;
        match !answer.status.success() && answer.reason.contains("remote ref HEAD") {
            true => git.run(into, args(&[]), b""),
            false => Ok(answer),
        }
    }

    /// Branches and tags that the remote has no longer and whose names stand in the way of new ones: where `x` was, git makes no `x/y`,
    /// not even while it removes `x`.
    fn refs_in_the_way(&self, into: &Path, lock: &std::fs::File) -> Result<Vec<(String, String)>, SourceError> {
        let refs = |output: Vec<u8>| -> Vec<(String, String)> {
            let text = String::from_utf8_lossy(&output).into_owned();
            let pair = |line: &str| line.split_once(char::is_whitespace).map(|(hash, name)| (name.into(), hash.into()));
            text.lines().filter_map(pair).collect()
        };
        let ask = ["ls-remote", "--quiet", "--refs", "--heads", "--tags", "--", self.remote.url.as_str()];
        let there = refs(self.git("list the recipe's branches", lock).ask(into, ask, b"")?);
        let ask = ["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"];
        let mut here = refs(Git::local("list the branches", &self.settings).ask(into, ask, b"")?);
        let is_below = |name: &str, of: &str| name.strip_prefix(of).is_some_and(|rest| rest.starts_with('/'));
        here.retain(|(own, _)| {
            there.iter().all(|(name, _)| name != own)
                && there.iter().any(|(name, _)| is_below(name, own) || is_below(own, name))
        });
        Ok(here)
    }

    /// Deletes or creates all of these, or none.
    fn change_refs(
        &self,
        into: &Path,
        lock: &std::fs::File,
        verb: &str,
        refs: &[(String, String)],
    ) -> Result<(), SourceError> {
        let lines: String = refs.iter().map(|(name, hash)| format!("{verb} {name} {hash}\n")).collect();
        let git = Git { limit: limits::RECIPE_READ, ..self.git("make room for renamed branches", lock) };
        git.ask(into, ["update-ref", "--stdin"], lines.as_bytes()).map(drop)
    }

    /// A call of git that may take as long as the remote does.
    fn git<'a>(&'a self, what: &'static str, lock: &'a std::fs::File) -> Git<'a> {
        Git { limit: limits::RECIPE_FETCH, lock: Some(lock), ..Git::local(what, &self.settings) }
    }

    fn offline(&self) -> SourceError {
        SourceError::Offline { recipe: self.recipe.clone(), remote: self.remote.to_string() }
    }
}

pub(crate) fn tags_of(repository: &Path, settings: &Settings) -> Result<Vec<RecipeTag>, SourceError> {
    let format = "--format=%(refname:strip=2)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)";
    let output = Git::local("list the tags", settings).ask(repository, ["for-each-ref", format, "refs/tags"], b"")?;
    let text = String::from_utf8_lossy(&output);
    let tags = text.lines().filter_map(|line| {
        let mut fields = line.split('\0');
        let (name, kind, object) = (fields.next()?, fields.next()?, fields.next()?);
        let commit = match (kind, fields.next()?, fields.next()?) {
            ("commit", _, _) => Some(object.to_owned()),
            (_, "commit", inner) => Some(inner.to_owned()),
            _ => None,
        };
        Some(RecipeTag { name: name.to_owned(), is_annotated: kind == "tag", object: object.to_owned(), commit })
    });
    Ok(tags.collect())
}

/// Whether git could not make a branch or tag because another one has its place.
fn is_conflict(reason: &str) -> bool {
    ["cannot lock ref", "cannot create", "conflict"].iter().any(|words| reason.contains(words))
}

/// Locks of a git that was killed: nobody else is here, so they are nobody's.
fn remove_locks(mirror: &Path) {
    let mut next = vec![mirror.to_owned(), mirror.join("refs")];
    while let Some(dir) = next.pop() {
        for entry in fs_err::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if dir.starts_with(mirror.join("refs")) && path.is_dir() {
                next.push(path);
            } else if path.extension().is_some_and(|end| end == "lock") {
                // git says so if it is still there.
                let _ = fs_err::remove_file(path);
            }
        }
    }
}

/// Tells remotes apart in names of directories; not against people who mean harm, who would have to choose the remote.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
