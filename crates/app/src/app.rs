//! An app: its `.env` under `$ABRA_DIR`, what is remembered of it, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use freehold_model::Sensitive;
use freehold_recipe::{AppPath, AppType, EnvFile, Recipe, RecipeError, check_new_domain, new_app, stack_name};
use freehold_recipe_source::{AbraDir, Mirror, Settings as SourceSettings, SourceError, Wanted};
use freehold_runtime::{RecordFile, Records};
use freehold_swarm::{Docker, Endpoint};

use crate::{AppError, AppSettings, Snapshots};

/// Where things are.
#[derive(Debug, Clone)]
pub struct Places {
    /// `$ABRA_DIR`.
    pub abra: AbraDir,
    /// What is remembered of apps: records, settings, releases, copies of data. Only its owner may read it.
    pub state: PathBuf,
    /// Where alerts lie.
    pub alerts: PathBuf,
    /// Where recipes come from.
    pub source: SourceSettings,
    /// Set to stop early.
    pub stop: Arc<AtomicBool>,
    /// What was found out already.
    pub known: Known,
}

/// What one run finds out once for all of its apps: a recipe is fetched once, the docker CLI is asked once where a server is.
#[derive(Debug, Clone, Default)]
pub struct Known(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    mirrors: BTreeMap<String, Mirror>,
    endpoints: BTreeMap<String, Endpoint>,
    /// Recipes whose warnings were told.
    told: BTreeSet<String>,
}

impl Known {
    fn found(&self) -> MutexGuard<'_, Found> {
        // A map is whole also when somebody panicked beside it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a server is, for tests.
    #[cfg(test)]
    pub(crate) fn with_endpoint(server: &str, endpoint: Endpoint) -> Self {
        let known = Self::default();
        known.found().endpoints.insert(server.to_owned(), endpoint);
        known
    }
}

/// An app that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApp {
    /// Its place.
    pub path: AppPath,
    /// The recipe.
    pub recipe: String,
    /// The version; the newest when left out.
    pub version: Option<String>,
    /// Values of its `.env`.
    pub env: BTreeMap<String, String>,
}

/// An app.
#[derive(Debug, Clone)]
pub struct App {
    /// Its place under `$ABRA_DIR`.
    pub path: AppPath,
    /// Its `.env` as it is there.
    pub env: EnvFile,
    /// The recipe, and the version that is pinned.
    pub kind: AppType,
    /// The name of its stack.
    pub stack: String,
    /// What is said of it.
    pub settings: AppSettings,
    /// What is remembered of it.
    pub dir: PathBuf,
    /// Values of secrets that are handed over for this run, by the recipe's names. They are kept nowhere.
    pub values: BTreeMap<String, Sensitive<Vec<u8>>>,
}

impl Places {
    /// The records of all apps.
    pub fn records(&self) -> Records {
        Records::new(self.state.join("records"))
    }

    /// Makes the directory of what is remembered, which copies of data lie in: for its owner alone.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make_private(&self) -> Result<(), AppError> {
        use std::os::unix::fs::PermissionsExt as _;
        fs_err::create_dir_all(&self.state).map_err(AppError::file("make", &self.state))?;
        let owner = std::fs::Permissions::from_mode(0o700);
        fs_err::set_permissions(&self.state, owner).map_err(AppError::file("make private", &self.state))
    }

    /// The repository of a recipe, fetched once when it can be.
    ///
    /// # Errors
    /// What fetching gives.
    pub fn mirror(&self, recipe: &str) -> Result<Mirror, AppError> {
        if let Some(known) = self.known.found().mirrors.get(recipe) {
            return Ok(known.clone());
        }
        let mirror = Mirror::open(recipe, &self.source)?;
        self.known.found().mirrors.insert(recipe.to_owned(), mirror.clone());
        Ok(mirror)
    }

    /// What should be known of a recipe that was fetched.
    pub(crate) fn tell_of(&self, mirror: &Mirror, tell: &dyn Fn(&str)) {
        mirror.warnings.iter().for_each(|warning| tell(warning));
        self.known.found().told.insert(mirror.recipe().to_owned());
    }

    /// What should be known of recipes that were fetched and nobody was told yet.
    pub fn untold(&self) -> Vec<String> {
        let Found { mirrors, told, .. } = &mut *self.known.found();
        let untold = mirrors.iter().filter(|(recipe, _)| told.insert((*recipe).clone()));
        untold.flat_map(|(recipe, one)| one.warnings.iter().map(move |text| format!("{recipe}: {text}"))).collect()
    }

    /// The Docker of a server.
    ///
    /// # Errors
    /// There is no such context, or its Docker cannot be reached.
    pub fn docker(&self, server: &str) -> Result<Docker, AppError> {
        let known = self.known.found().endpoints.get(server).cloned();
        let endpoint = match known {
            Some(known) => known,
            None => Endpoint::of_server(server)?,
        };
        self.known.found().endpoints.insert(server.to_owned(), endpoint.clone());
        Ok(Docker::connect(endpoint)?)
    }

    /// Makes an app's `.env` out of its recipe's sample.
    ///
    /// # Errors
    /// The recipe cannot be had, has no such version, or the app is there already; the values make no app of that recipe; there is
    /// no such server.
    pub fn create(&self, new: &NewApp) -> Result<(), AppError> {
        check_new_domain(&new.path.domain)?;
        if new.path.server != "default" {
            // A file under the name of a context that nobody has belongs to no Docker.
            Endpoint::of_server(&new.path.server)?;
        }
        let mirror = self.mirror(&new.recipe)?;
        let wanted = new.version.as_deref().map_or(Wanted::Newest, wanted);
        let revision = mirror.resolve(&wanted)?;
        let recipe = Recipe::of(mirror.tree(&revision.commit)?.texts())?;
        let sample = recipe.texts.get(".env.sample").map_or("", String::as_str);
        let kind = AppType { recipe: new.recipe.clone(), pin: Some(revision.pin) };
        let mut env = new_app(sample, &new.path, &kind)?;
        for (name, value) in &new.env {
            env.set(name, value)?;
        }
        let (said, _) = meaning(&new.path, &env)?;
        if said.recipe != kind.recipe {
            return Err(RecipeError::OtherRecipe { recipe: kind.recipe, said: said.recipe }.into());
        }
        // What is no recipe, or cannot be read, is told before there is a file of it.
        recipe.compose_files(&env)?;
        Ok(self.abra.create(&new.path, &env)?)
    }

    /// Sets variables of an app's `.env`, also of one that cannot be opened because of what they were.
    ///
    /// # Errors
    /// There is no such app, what comes of it is none, or the file cannot be written.
    pub fn set(&self, path: &AppPath, values: &BTreeMap<String, String>) -> Result<EnvFile, AppError> {
        let before = self.abra.read(path)?;
        self.changed(path, &before, values)
    }

    fn changed(
        &self,
        path: &AppPath,
        before: &EnvFile,
        values: &BTreeMap<String, String>,
    ) -> Result<EnvFile, AppError> {
        let mut env = before.clone();
        for (name, value) in values {
            env.set(name, value)?;
        }
        if env != *before {
            meaning(path, &env)?;
            self.abra.save(path, before, &env)?;
        }
        Ok(env)
    }
}

/// What the record of the app at a place is kept under; its `.env` does not say.
pub fn workload_of(path: &AppPath) -> String {
    match path.server.as_str() {
        "default" => path.domain.clone(),
        server => format!("{}@{server}", path.domain),
    }
}

/// What an app's `.env` makes of it: its recipe with the pin, and the name of its stack. Without both it is no app.
fn meaning(path: &AppPath, env: &EnvFile) -> Result<(AppType, String), AppError> {
    Ok((AppType::of(env)?, stack_name(&path.domain, env)?))
}

/// A recipe's name without what may be left out of an address.
fn plain(recipe: &str) -> &str {
    let recipe = recipe.split_once("://").map_or(recipe, |(_, rest)| rest).trim_end_matches('/');
    recipe.strip_suffix(".git").unwrap_or(recipe)
}

/// What a version's text asks for: a commit when it looks like one.
pub(crate) fn wanted(text: &str) -> Wanted {
    match text.parse() {
        Ok(freehold_recipe::Pin::Commit { hash, .. }) => Wanted::Commit(hash),
        _ => Wanted::Version(text.to_owned()),
    }
}

impl App {
    /// Opens an app that is there. `given` settings take the place of those that are remembered.
    ///
    /// # Errors
    /// There is no such app, or its `.env` cannot be read.
    pub fn open(
        places: &Places,
        domain: &str,
        server: Option<&str>,
        given: Option<AppSettings>,
    ) -> Result<Self, AppError> {
        let path = places.abra.find(domain, server)?;
        let env = places.abra.read(&path)?;
        let (kind, stack) = meaning(&path, &env)?;
        let dir = places.state.join(&path.server).join(domain);
        let settings = match given {
            Some(settings) => settings,
            None => AppSettings::remembered(&dir)?.unwrap_or_default(),
        };
        if let Some(other) = settings.domain.as_deref().filter(|other| *other != domain) {
            return Err(AppError::OtherApp { domain: domain.to_owned(), settings: other.to_owned() });
        }
        Ok(Self { path, env, kind, stack, settings, dir, values: BTreeMap::new() })
    }

    /// Opens an app as its settings declare it: made when it is not there, its `.env` with their values. The settings are
    /// remembered once it was decided on with them ([`crate::converge`]).
    ///
    /// # Errors
    /// As [`App::open`] and [`Places::create`]; the settings cannot be used.
    pub fn declare(
        places: &Places,
        domain: &str,
        server: Option<&str>,
        settings: AppSettings,
    ) -> Result<Self, AppError> {
        settings.rollout(domain)?;
        if let (Err(SourceError::NoApp { .. }), Some(recipe)) = (places.abra.find(domain, server), &settings.recipe) {
            let path = AppPath::new(server.unwrap_or("default"), domain)?;
            let version = settings.version.clone();
            places.create(&NewApp { path, recipe: recipe.clone(), version, env: settings.env.clone() })?;
        }
        let mut app = Self::open(places, domain, server, Some(settings))?;
        app.check_recipe()?;
        let values = app.settings.env.clone();
        app.set(places, &values)?;
        Ok(app)
    }

    /// Whether it is an app of the recipe that is declared.
    fn check_recipe(&self) -> Result<(), AppError> {
        let said = &self.kind.recipe;
        let Some(recipe) = self.settings.recipe.as_ref().filter(|recipe| plain(recipe) != plain(said)) else {
            return Ok(());
        };
        Err(AppError::OtherRecipe { domain: self.domain().to_owned(), recipe: recipe.clone(), said: said.clone() })
    }

    /// The app's domain.
    pub fn domain(&self) -> &str {
        &self.path.domain
    }

    /// What alerts are named after. One domain on two servers is two apps.
    pub fn name(&self) -> String {
        self.settings.name.clone().unwrap_or_else(|| self.workload())
    }

    /// The name of its record.
    pub fn workload(&self) -> String {
        workload_of(&self.path)
    }

    /// Its record, locked for this process. Its `.env` is read once more: whoever had the lock may have pinned another version.
    ///
    /// # Errors
    /// Somebody else works on it, another app has its stack, or it runs under an earlier name.
    pub fn lock(&mut self, places: &Places) -> Result<RecordFile, AppError> {
        places.make_private()?;
        let lock = places.records().lock(&self.workload())?;
        self.env = places.abra.read(&self.path)?;
        self.kind = AppType::of(&self.env)?;
        self.stack = stack_name(self.domain(), &self.env)?;
        crate::last_stack::check(places, self)?;
        let Some(other) = self.other_with(places, &self.stack)? else { return Ok(lock) };
        let (domain, stack) = (self.domain().to_owned(), self.stack.clone());
        // The one that runs under this name keeps it.
        let is_here = crate::last_stack::noted(self)?.as_ref() == Some(&stack);
        let renamed = if is_here { other.clone() } else { domain.clone() };
        Err(AppError::SharedStack { domain, other, stack, renamed })
    }

    /// Another app of its server that has this stack: by a copied `STACK_NAME`, or for names are cut. To Docker the two are one.
    pub(crate) fn other_with(&self, places: &Places, stack: &str) -> Result<Option<String>, AppError> {
        let is_other = |path: &AppPath| path.server == self.path.server && path.domain != self.path.domain;
        // What cannot be read, or has no stack, can have no stack of this name either.
        let stack_of = |path: &AppPath| stack_name(&path.domain, &places.abra.read(path).ok()?).ok();
        let mut others = places.abra.apps()?.into_iter().filter(is_other);
        Ok(others.find(|path| stack_of(path).as_deref() == Some(stack)).map(|path| path.domain))
    }

    /// The Docker that it runs on.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn docker(&self, places: &Places) -> Result<Docker, AppError> {
        places.docker(&self.path.server)
    }

    /// Its copies of data.
    pub fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.dir.join("snapshots"))
    }

    /// Sets variables of its `.env`, where they have other values.
    ///
    /// # Errors
    /// What comes of it is no app, or the file cannot be written, or was changed by somebody else meanwhile.
    pub fn set(&mut self, places: &Places, values: &BTreeMap<String, String>) -> Result<(), AppError> {
        self.env = places.changed(&self.path, &self.env, values)?;
        (self.kind, self.stack) = meaning(&self.path, &self.env)?;
        Ok(())
    }

    /// Pins what runs in its `.env`, as abra does after a deploy.
    ///
    /// # Errors
    /// As [`App::set`].
    pub fn pin(&mut self, places: &Places, version: &str) -> Result<(), AppError> {
        let before = places.abra.read(&self.path)?;
        let mut env = before.clone();
        self.kind = AppType { recipe: self.kind.recipe.clone(), pin: Some(version.parse()?) };
        self.kind.write(&mut env)?;
        if env != before {
            places.abra.save(&self.path, &before, &env)?;
        }
        self.env = env;
        Ok(())
    }
}
