//! Recipe and `.env` become a stack: composed by Docker, labelled, and kept for as long as it may be deployed again.
//!
//! What is kept is a directory per release, named after its identity: the recipe's files (configs are read from them when the
//! stack is handed in) and the document. A rollback needs neither git nor the `.env` of then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use freehold_recipe::{
    APP_SERVICE, AppLabels, AppType, ComposeFile, EnvFile, Finding, Pin, Recipe, Secret, ServedRule, Severity, Stack,
    Subject, Tag, TakenPort, forbidden_fields, foreign_files, lint, place_of, secrets,
};
use freehold_recipe_source::Tree;
use freehold_runtime::write_durably;
use freehold_swarm::{Compose, Docker, SwarmError};

use crate::release::LABEL;
use crate::source::Source;
use crate::{App, AppError, AppRelease};

/// An app at one version, composed.
#[derive(Debug, Clone)]
pub struct Composed {
    /// The recipe.
    pub recipe: Recipe,
    /// The compose files that count.
    pub files: Vec<ComposeFile>,
    /// What Docker makes of them, with the app's labels.
    pub stack: Stack,
    /// The secrets that it needs.
    pub secrets: Vec<Secret>,
    /// The `.env`, pinned to this version.
    pub env: EnvFile,
}

/// What others have in the Swarm, and on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Others {
    /// Ports.
    pub ports: Vec<TakenPort>,
    /// Rules by which a proxy routes to them.
    pub rules: Vec<ServedRule>,
}

/// A release that can be deployed at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its directory.
    pub dir: PathBuf,
}

const DOCUMENT: &str = "stack.json";

impl Composed {
    /// Composes an app. The recipe's files are written into `directory`, which must be new.
    ///
    /// # Errors
    /// What the recipe gets wrong, and what `docker stack config` says.
    pub fn of(app: &App, tree: &Tree, pin: &Pin, directory: &Path) -> Result<Self, AppError> {
        tree.write(directory)?;
        let recipe = Recipe::of(tree.texts())?;
        let mut env = app.env.clone();
        AppType { recipe: app.kind.recipe.clone(), pin: Some(pin.clone()) }.write(&mut env)?;
        let files = recipe.compose_files(&env)?;
        let variables = recipe.variables(&env, &app.stack);
        let names = env.compose_files();
        refuse(&forbidden_fields(&files), "")?;
        refuse(&foreign_files(&files), "")?;
        let composed = Compose { directory, files: &names, variables: &variables }.run();
        let text = composed.map_err(|error| explained(error, &files, app.domain()))?;
        let mut stack = Stack::parse(&text)?;
        check_files(&stack, &files, directory)?;
        let secrets = secrets(&stack, &files, &env, recipe.sample.as_ref())?;
        stack.set_app_labels(&app.stack, &AppLabels { recipe: app.kind.recipe.clone(), pin: pin.clone() })?;
        stack.leave_out_unset(&freehold_swarm::CLI_ENVIRONMENT);
        stack.expose_env(&variables)?;
        Ok(Self { recipe, files, stack, secrets, env })
    }

    /// Composes an app for a look, and forgets its files again.
    ///
    /// # Errors
    /// As [`Composed::of`].
    pub fn look(app: &App, tree: &Tree, pin: &Pin) -> Result<Self, AppError> {
        let draft = look_dir(app);
        remove(&draft)?;
        let made = Self::of(app, tree, pin, &draft.join("recipe"));
        remove(&draft)?;
        made
    }

    /// What breaks, or may, by what is known without a Swarm and with the ports that others have.
    pub fn lint(&self, app: &App, tags: &[Tag], others: &Others) -> Vec<Finding> {
        lint(&Subject {
            files: &self.files,
            texts: &self.recipe.texts,
            env: &self.env,
            sample: self.recipe.sample.as_ref(),
            abra_sh: &self.recipe.abra_sh,
            stack: &self.stack,
            stack_name: &app.stack,
            domain: app.domain(),
            tags,
            wildcard: None,
            taken: &others.ports,
            served: &others.rules,
        })
    }
}

impl Release {
    /// The place of a release of an app.
    pub fn of(app: &App, release: &AppRelease) -> Self {
        Self { dir: app.dir.join("releases").join(release.folder()) }
    }

    /// The document that is handed in.
    pub fn document(&self) -> PathBuf {
        self.dir.join(DOCUMENT)
    }

    /// The stack, when this release was prepared before.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn stack(&self) -> Result<Option<Stack>, AppError> {
        let path = self.document();
        match fs_err::read_to_string(&path) {
            // Its `$` are doubled for Docker; names and images have none.
            Ok(text) => Ok(Some(Stack::parse(&text)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AppError::file("read", path)(error)),
        }
    }

    /// Composes a release and keeps it. One that is kept already, and comes out the same, is left as it is; so is one that nobody can
    /// compose again: of another `.env`, of a work tree, of a commit that is gone.
    ///
    /// # Errors
    /// As [`Composed::of`], what lint finds wrong, and files that cannot be written.
    pub(crate) fn prepare(
        &self,
        app: &App,
        release: &AppRelease,
        source: &Source,
        docker: &Docker,
        lints: bool,
        tell: &dyn Fn(&str),
    ) -> Result<(Stack, Vec<Secret>), AppError> {
        let pin: Pin = release.version.parse()?;
        // Of its secrets only the names are known; they exist, for it ran.
        let kept = |error: AppError| self.stack()?.map(|stack| (stack, Vec::new())).ok_or(error);
        if AppRelease::of(&pin, &release.commit, &app.env) != *release {
            return kept(AppError::EnvChanged { release: release.to_string() });
        }
        let tree = match source.tree(&release.commit) {
            Ok(tree) => tree,
            Err(error) => return kept(error),
        };
        let parent = self.dir.parent().unwrap_or(&self.dir);
        fs_err::create_dir_all(parent).map_err(AppError::file("make", parent))?;
        let draft = self.dir.with_extension("draft");
        remove(&draft)?;
        let mut composed = Composed::of(app, &tree, &pin, &draft.join("recipe"))?;
        let findings = composed.lint(app, &source.tags(), &Others::of(app, docker, &composed.stack)?);
        if lints {
            refuse(&findings, "; `--no-lint` deploys it as it is")?;
        }
        findings.iter().filter(|one| is_worth_telling(one)).for_each(|finding| tell(&finding.to_string()));
        composed.stack.set_label(LABEL, &release.to_string());
        // Configs are named by their paths, and those will be others.
        let from = draft.display().to_string();
        let text = composed.stack.to_deploy().replace(&from, &self.dir.display().to_string());
        write_durably(&draft.join(DOCUMENT), text.as_bytes())?;
        // What `docker stack deploy` would refuse is refused now, while all still runs.
        let names = [DOCUMENT.to_owned()];
        Compose { directory: &draft, files: &names, variables: &BTreeMap::new() }
            .run()
            .map_err(|error| explained(error, &composed.files, app.domain()))?;
        if fs_err::read(self.document()).is_ok_and(|there| there == text.as_bytes()) {
            remove(&draft)?;
        } else {
            remove(&self.dir)?;
            fs_err::rename(&draft, &self.dir).map_err(AppError::file("put in its place", &self.dir))?;
        }
        Ok((Stack::parse(&text)?, composed.secrets))
    }

    /// Forgets what is kept of it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget(&self) -> Result<(), AppError> {
        remove(&self.dir)
    }
}

/// Where an app is composed for a look.
pub(crate) fn look_dir(app: &App) -> PathBuf {
    app.dir.join(format!("look-{}", std::process::id()))
}

impl Others {
    /// What others have. Ports of this machine are tried when Docker runs on it, and only those that the app does not have yet.
    pub(crate) fn of(app: &App, docker: &Docker, stack: &Stack) -> Result<Self, AppError> {
        let (mut ports, mut own) = (Vec::new(), Vec::new());
        for (port, protocol, by) in docker.published_ports()? {
            if by == app.stack {
                own.push((port, protocol));
            } else {
                ports.push(TakenPort { port, protocol, by: format!("the stack {by}") });
            }
        }
        let is_new = |port: &(u16, String)| !own.contains(port) && !ports.iter().any(|one| one.port == port.0);
        let wanted = stack.ports().into_iter().filter_map(|port| Some((port.published?, port.protocol)));
        let here: Vec<TakenPort> = wanted
            .filter(|port| docker.endpoint().is_local() && is_new(port) && is_bound(port.0, &port.1))
            .map(|(port, protocol)| TakenPort { port, protocol, by: "a process of this machine".to_owned() })
            .collect();
        ports.extend(here);
        let rules = docker.route_rules()?.into_iter().filter(|(_, by)| *by != app.stack);
        let rules = rules.map(|(rule, by)| ServedRule { rule, by: format!("the stack {by}") }).collect();
        Ok(Self { ports, rules })
    }
}

/// Whether something listens on a port of this machine.
fn is_bound(port: u16, protocol: &str) -> bool {
    let address = (std::net::Ipv4Addr::UNSPECIFIED, port);
    let tried = match protocol {
        "udp" => std::net::UdpSocket::bind(address).map(drop),
        "tcp" => std::net::TcpListener::bind(address).map(drop),
        _ => return false,
    };
    tried.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

/// Docker's refusal with its place in the recipe, or with the setting that it asks for.
fn explained(error: SwarmError, files: &[ComposeFile], domain: &str) -> AppError {
    let SwarmError::Cli { words, .. } = &error else { return error.into() };
    if let Some((name, said)) =
        words.split_once("required variable ").and_then(|(_, rest)| rest.split_once(" is missing"))
    {
        let said = said.split_once(": ").map_or("", |(_, said)| said).split('"').next().unwrap_or_default();
        let reason = if said.is_empty() { String::new() } else { format!(": {said}") };
        return AppError::Required { domain: domain.to_owned(), name: name.to_owned(), reason };
    }
    match place_of(files, words) {
        Some(at) => AppError::Refused { at, source: error },
        None => error.into(),
    }
}

/// Docker looks for the files of configs only when it deploys them, after what ran was stopped, and anywhere on this machine.
fn check_files(stack: &Stack, files: &[ComposeFile], directory: &Path) -> Result<(), AppError> {
    let root = fs_err::canonicalize(directory).map_err(AppError::file("find", directory))?;
    let is_own = |path: &str| fs_err::canonicalize(path).is_ok_and(|path| path.starts_with(&root) && path.is_file());
    let Some((section, key, path)) = stack.files().into_iter().find(|(_, _, path)| !is_own(path)) else {
        return Ok(());
    };
    let at = files.iter().rev().find_map(|file| file.place_in(section, key));
    let at = at.map_or_else(String::new, |at| format!("{at}: "));
    let path = Path::new(path).strip_prefix(directory).unwrap_or(Path::new(path)).display().to_string();
    Err(AppError::NoFile { at, key: key.to_owned(), path })
}

/// Fields that are ignored and variables that are empty: one should know when it is deployed.
fn is_worth_telling(finding: &Finding) -> bool {
    finding.code == "ignored-field" || (finding.severity <= Severity::Warning && finding.code != "lightweight-tag")
}

fn refuse(findings: &[Finding], way_out: &str) -> Result<(), AppError> {
    let errors: Vec<&Finding> = findings.iter().filter(|one| one.severity == Severity::Error).collect();
    let Some(first) = errors.first() else { return Ok(()) };
    let told =
        |one: &&Finding| one.at.as_ref().map_or_else(|| one.message.clone(), |at| format!("{at}: {}", one.message));
    let findings: Vec<String> = errors.iter().map(told).collect();
    Err(AppError::Lint { findings: findings.join("; "), hint: format!("{}{way_out}", first.hint) })
}

/// The names of the services of a stack, and the images of those that are to run.
pub(crate) fn services(stack: &Stack) -> (Vec<String>, Vec<String>) {
    let names = stack.services().map(|service| service.name.to_owned()).collect();
    let running = stack.services().filter(|service| service.replicas() != Some(0));
    (names, running.map(|service| service.image().to_owned()).collect())
}

/// The labels of the service `app`.
pub(crate) fn app_labels(services: &[freehold_swarm::RunningService]) -> BTreeMap<String, String> {
    let app = services.iter().find(|service| service.name == APP_SERVICE).or(services.first());
    app.map(|service| service.labels.clone()).unwrap_or_default()
}

pub(crate) fn remove(dir: &Path) -> Result<(), AppError> {
    match fs_err::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(AppError::file("remove", dir)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_are_made_of_files_of_the_recipe() {
        let scratch = freehold_testkit::Scratch::new();
        let own = scratch.write("recipe/app.conf", "a");
        let other = scratch.write("other", "b");
        let told = |path: &Path| {
            let stack = format!("configs: {{c: {{file: {}}}}}\nservices: {{}}\n", path.display());
            let checked = check_files(&Stack::parse(&stack).unwrap(), &[], &scratch.join("recipe"));
            checked
                .map_err(|error| (error.to_string().replace(&scratch.path().display().to_string(), ""), error.hint()))
        };
        assert_eq!(told(&own), Ok(()));
        assert_eq!(
            told(&scratch.join("recipe/gone")).unwrap_err().0,
            "`c` is made of `gone`, which the recipe does not have"
        );
        let (said, hint) = told(&other).unwrap_err();
        assert_eq!(said, "`c` is made of `/other`, which the recipe does not have");
        assert_eq!(hint.as_deref(), Some("configs and secrets are made of files of the recipe, never of the host"));
        assert!(told(&scratch.join("recipe/../other")).is_err() && told(Path::new("/etc/passwd")).is_err());
    }
}
