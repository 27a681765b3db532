//! `$ABRA_DIR`: the apps that abra and Freehold share, one file each, `servers/SERVER/DOMAIN.env`.
//!
//! Files are followed through symlinks and replaced where they lie, whole or not at all, with their mode and owner's bits; a file
//! that somebody changed meanwhile is left alone. What a file means is `freehold-recipe`'s matter.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use freehold_model::{did_you_mean, limits};
use freehold_recipe::{AppPath, EnvFile, RecipeError};

use crate::SourceError;
use crate::error::file;

/// The directory that abra keeps its apps in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbraDir {
    root: PathBuf,
}

impl AbraDir {
    /// That directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where abra looks: `ABRA_DIR`, or `.abra` in the home directory. The caller gives what its environment says.
    pub fn of_environment(abra_dir: Option<&OsStr>, home: Option<&OsStr>) -> Option<Self> {
        let given = abra_dir.filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let at_home = || home.filter(|home| !home.is_empty()).map(|home| Path::new(home).join(".abra"));
        given.or_else(at_home).map(Self::new)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The file of an app.
    pub fn file(&self, app: &AppPath) -> PathBuf {
        self.root.join(app.relative())
    }

    /// All apps, by server and name.
    ///
    /// # Errors
    /// [`SourceError::File`].
    pub fn apps(&self) -> Result<Vec<AppPath>, SourceError> {
        let mut apps = Vec::new();
        for server in names_in(&self.root.join("servers"))? {
            for name in names_in(&self.root.join("servers").join(&server))? {
                let app = AppPath::of_relative(&format!("servers/{server}/{name}"));
                apps.extend(app.filter(|app| self.file(app).is_file()));
            }
        }
        apps.sort();
        Ok(apps)
    }

    /// The app of a name, on the given server or on the only one that has it.
    ///
    /// # Errors
    /// [`SourceError::NoApp`], [`SourceError::SeveralApps`].
    pub fn find(&self, domain: &str, server: Option<&str>) -> Result<AppPath, SourceError> {
        let apps = self.apps()?;
        let is_it = |app: &&AppPath| app.domain == domain && server.is_none_or(|server| app.server == server);
        let found: Vec<&AppPath> = apps.iter().filter(is_it).collect();
        match found.as_slice() {
            [app] => Ok((*app).clone()),
            [] => {
                let meant = did_you_mean(domain, apps.iter().map(|app| app.domain.as_str())).map(str::to_owned);
                Err(SourceError::NoApp { domain: domain.to_owned(), meant: meant.filter(|name| name != domain) })
            }
            several => {
                let servers = several.iter().map(|app| app.server.clone()).collect();
                Err(SourceError::SeveralApps { domain: domain.to_owned(), servers })
            }
        }
    }

    /// Reads the file of an app.
    ///
    /// # Errors
    /// [`SourceError::NoApp`], [`SourceError::File`], and what is wrong in it with the place.
    pub fn read(&self, app: &AppPath) -> Result<EnvFile, SourceError> {
        let path = self.file(app);
        let text = match fs_err::read(&path) {
            Ok(bytes) => text_of(&path, bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(SourceError::NoApp { domain: app.domain.clone(), meant: None });
            }
            Err(error) => return Err(file("read", &path)(error)),
        };
        Ok(EnvFile::parse(&path.to_string_lossy(), &text)?)
    }

    /// Writes the file of a new app; only its owner may read it.
    ///
    /// # Errors
    /// [`SourceError::AppExists`], [`SourceError::File`].
    pub fn create(&self, app: &AppPath, env: &EnvFile) -> Result<(), SourceError> {
        let path = self.file(app);
        let parent = path.parent().unwrap_or(&self.root);
        fs_err::create_dir_all(parent).map_err(file("make the directory", parent))?;
        let draft = draft(parent, env.text(), 0o600)?;
        match draft.persist_noclobber(&path) {
            Ok(_) => sync(parent),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(SourceError::AppExists { domain: app.domain.clone(), file: path })
            }
            Err(error) => Err(file("write", &path)(error.error)),
        }
    }

    /// Replaces the file of an app, when it still is what `before` read. A symlink stays one. Nothing is written when
    /// nothing changed.
    ///
    /// # Errors
    /// [`SourceError::Changed`], [`SourceError::File`].
    pub fn save(&self, app: &AppPath, before: &EnvFile, env: &EnvFile) -> Result<(), SourceError> {
        let named = self.file(app);
        let path = fs_err::canonicalize(&named).map_err(file("find", &named))?;
        let now = fs_err::read(&path).map_err(file("read", &path))?;
        if now != before.text().as_bytes() {
            return Err(SourceError::Changed { file: named });
        }
        if before.text() == env.text() {
            return Ok(());
        }
        let mode = fs_err::metadata(&path).map_err(file("read", &path))?.permissions().mode() & 0o7777;
        let parent = path.parent().unwrap_or(&self.root);
        draft(parent, env.text(), mode)?.persist(&path).map_err(|error| file("write", &path)(error.error))?;
        sync(parent)
    }

    /// Removes the file of an app.
    ///
    /// # Errors
    /// [`SourceError::File`].
    pub fn remove(&self, app: &AppPath) -> Result<(), SourceError> {
        let path = self.file(app);
        fs_err::remove_file(&path).map_err(file("remove", &path))
    }
}

/// The names in a directory; none when it is not there.
fn names_in(directory: &Path) -> Result<Vec<String>, SourceError> {
    let entries = match fs_err::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(file("read the directory", directory)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(file("read the directory", directory))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String, SourceError> {
    let name = path.to_string_lossy().into_owned();
    if bytes.len() > limits::RECIPE_FILE_BYTES {
        let most = limits::RECIPE_FILE_BYTES;
        return Err(RecipeError::TooLarge { file: name, bytes: bytes.len(), most }.into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
        let at = freehold_recipe::Place::of(&name, &text, good);
        let hint = Some("save it as UTF-8".to_owned());
        RecipeError::Env { at, reason: "this is not UTF-8".to_owned(), hint }.into()
    })
}

fn draft(parent: &Path, text: &str, mode: u32) -> Result<tempfile::NamedTempFile, SourceError> {
    let failed = |error| file("write a file in", parent)(error);
    let mut draft = tempfile::Builder::new().prefix(".freehold-").tempfile_in(parent).map_err(failed)?;
    let written = draft.write_all(text.as_bytes()).and_then(|()| {
        draft.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
        draft.as_file().sync_all()
    });
    written.map_err(file("write a file in", parent))?;
    Ok(draft)
}

fn sync(directory: &Path) -> Result<(), SourceError> {
    let synced = fs_err::File::open(directory).and_then(|opened| opened.sync_all());
    synced.map_err(file("write the directory", directory))
}
